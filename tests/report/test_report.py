"""Means, intervals, groups, tables and pictures of runs, on results written by hand."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sparsenn import report

Make = Callable[..., report.Run]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Writes the directory of a run and reads it."""

    def written(accuracy: float | None, curve: Any = (), **more: Any) -> report.Run:
        settings = {
            "method": "set", "init": "erk", "density": 0.1, "seed": 0, "epochs": 2,
            "data": "/somewhere/small.npz",
        }  # fmt: skip
        result = {
            "accuracy": accuracy, "density": 0.1, "nnz": 10, "seconds": 1.5,
            "train_flops": 2e9, "peak_rss_bytes": 5e7, "collapsed": False,
        }  # fmt: skip
        for name, value in more.items():
            (settings if name in settings else result)[name] = value
        path = tmp_path / str(len(list(tmp_path.iterdir())))
        path.mkdir()
        text = json.dumps({**result, "settings": settings})
        (path / "result.json").write_text(text)
        rows = [{"epoch": i + 1, "test_accuracy": a} for i, a in enumerate(curve)]
        (path / "history.json").write_text(json.dumps({"epochs": rows}))
        return report.read_run(path)

    return written


def test_interval_of_student() -> None:
    # Quantiles of a table: t(0.975) is 12.706 at 1 degree of freedom, 4.3027 at 2.
    two = report.estimate([1.0, 3.0])
    assert two.mean == 2.0 and two.n == 2
    assert two.half == pytest.approx(12.706 * math.sqrt(2) / math.sqrt(2), rel=1e-4)
    three = report.estimate([1.0, 2.0, 3.0])
    assert three.half == pytest.approx(4.3027 / math.sqrt(3), rel=1e-4)
    assert report.estimate([5.0]) == report.Estimate(5.0, None, 1)
    assert report.estimate([4.0, 4.0]).half == 0.0
    narrow = report.estimate([1.0, 2.0, 3.0], level=0.5).half
    assert narrow is not None and three.half is not None and narrow < three.half


@pytest.mark.parametrize(("values", "level"), [([], 0.95), ([1.0], 1.0), ([1.0], 0.0)])
def test_estimates_that_cannot_be(values: list[float], level: float) -> None:
    with pytest.raises(ValueError):
        report.estimate(values, level)


def test_runs_that_differ_by_the_seed_are_one_group(make: Make) -> None:
    runs = [make(0.8, seed=0), make(0.9, seed=1), make(0.5, density=0.05)]
    runs += [make(0.95, method="dense", density=1.0)]
    found = report.groups(runs)
    assert [(g.method, g.seeds) for g in found] == [
        ("dense", [0]),
        ("set", [0, 1]),
        ("set", [0]),
    ]
    assert report.varying(found) == ["method", "init", "density"]
    assert [g.label for g in found] == ["dense", "set", "set"]
    row = report.rows(found)[1]
    assert row["accuracy"] == pytest.approx(0.85) and row["seeds"] == [0, 1]
    assert row["accuracy_half"] == pytest.approx(12.706 * 0.05, rel=1e-4)
    assert row["density"] == 0.1 and row["density_reached"] == 0.1


def test_starts_name_groups_only_where_they_vary(make: Make) -> None:
    runs = [make(0.8), make(0.9, init="er"), make(0.7, method="gmp")]
    assert [g.label for g in report.groups(runs)] == ["set, er", "set, erk", "gmp"]


def test_other_settings_that_differ_are_shown_and_set_apart(make: Make) -> None:
    runs = [make(0.8, epochs=10), make(0.9, epochs=2)]
    found = report.groups(runs)
    assert report.varying(found)[3:] == ["epochs"]
    assert [g.settings["epochs"] for g in found] == [2, 10]
    header, cells = report.table_cells(found)
    assert header[:4] == ["method", "init", "epochs", "density"]
    assert [line[2] for line in cells] == ["2", "10"]


def test_the_same_run_twice_is_refused(make: Make) -> None:
    with pytest.raises(ValueError, match="are the same run"):
        report.groups([make(0.8), make(0.9)])


def test_tables(make: Make) -> None:
    runs = [make(0.8, seed=0), make(0.9, seed=1, collapsed=True)]
    found = report.groups(runs)
    lines = report.markdown(found).splitlines()
    assert lines[0].startswith("| method | init | density | accuracy |")
    assert "collapsed" in lines[0]
    assert (
        "| set | erk | 10.00 % | 85.00 ± 63.53 % | 2 G | 1.5 | 50 MB | 2 | 1 |"
        in (lines[2])
    )
    (row,) = csv.DictReader(io.StringIO(report.csv_text(report.rows(found))))
    assert row["seeds"] == "0 1" and float(row["accuracy"]) == pytest.approx(0.85)
    first, second = csv.DictReader(io.StringIO(report.csv_text(report.run_rows(runs))))
    assert (first["seed"], second["seed"], second["collapsed"]) == ("0", "1", "True")
    assert first["data"] == "small.npz"  # wherever it lay


def test_a_result_without_accuracy(make: Make) -> None:
    found = report.groups([make(None)])
    assert report.rows(found)[0].get("accuracy") is None
    assert report.table_cells(found)[1][0][3] == "-"


@pytest.mark.parametrize("text", ["{", "[]", '{"accuracy": 1}', '{"settings": 3}'])
def test_damaged_results_are_one_kind_of_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "result.json").write_text(text)
    with pytest.raises(report.ReportError, match=r"result\.json"):
        report.read_run(tmp_path)


def test_no_result(tmp_path: Path) -> None:
    with pytest.raises(report.ReportError, match="holds no finished run"):
        report.read_run(tmp_path)


@pytest.mark.parametrize("densities", [(0.1,), (0.1, 0.05), (0.2, 0.1, 0.05, 0.01)])
def test_pictures_show_every_group(make: Make, densities: tuple[float, ...]) -> None:
    pytest.importorskip("matplotlib")
    runs = [make(0.95, (0.9, 0.95), method="dense", density=1.0)]
    for density in densities:
        for seed in (0, 1):
            for method in ("set", "rigl"):
                accuracy = 0.9 - 0.01 / density + 0.001 * seed
                runs.append(
                    make(
                        accuracy,
                        (0.5, accuracy),
                        density=density,
                        seed=seed,
                        method=method,
                    )
                )
    found = report.groups(runs)
    fig = report.compare(found)
    assert len(fig.axes) == 2
    (legend,) = fig.legends
    names = [text.get_text() for text in legend.get_texts()]
    assert names == ["dense", "set", "rigl"]
    assert len(fig.axes[0].containers) == (
        2 if len(densities) > 2 else 2 * len(densities)
    )
    curves = report.learning_curves(found)
    assert len(curves.axes) == len(densities)
    for ax in curves.axes:  # dense is in every panel
        assert len(ax.lines) == 3


def test_facets_of_a_picture(make: Make) -> None:
    pytest.importorskip("matplotlib")
    runs = [make(0.8, (0.8,), epochs=1), make(0.9, (0.7, 0.9), epochs=2)]
    found = report.groups(runs)
    assert len(report.compare(found).axes) == 4
    titles = [ax.get_title(loc="left") for ax in report.learning_curves(found).axes]
    assert titles == ["epochs 1, density 10 %", "epochs 2, density 10 %"]
