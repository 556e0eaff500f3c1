"""Pictures: what they show, and that drawing them leaves no trace."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sparsenn import plot, pruning
from sparsenn.sparse import SparsePattern

pytest.importorskip("matplotlib")


def test_curves_are_labelled() -> None:
    fig = plot.curves(
        {"dense": ([1, 2, 3], [0.5, 0.9, 0.95]), "SET": ([1, 2, 3], [0.4, 0.8, 0.9])}
    )
    (ax,) = fig.axes
    assert ax.get_xlabel() == "epoch" and ax.get_ylabel() == "test accuracy (%)"
    assert [text.get_text() for text in ax.texts] == ["SET", "dense"]
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [50, 90, 95])
    low, high = ax.get_ylim()
    assert low < 40 and high > 95


def test_curves_without_anything() -> None:
    plot.curves({})
    plot.curves({"a": ([], [])})
    plot.curves({"a": ([1], [float("nan")])})
    plot.curves({"a": ([1], [0.5])})


def test_names_at_the_ends_do_not_overlap() -> None:
    fig = plot.curves({f"n{i}": ([1, 2], [0.1, 0.9 + i * 1e-4]) for i in range(5)})
    (ax,) = fig.axes
    low, high = ax.get_ylim()
    heights = sorted(text.xy[1] for text in ax.texts)
    assert min(np.diff(heights)) > 0.05 * (high - low)


def test_connections_per_input() -> None:
    mask = np.random.default_rng(0).random((7, 300)) < 0.3
    pattern = SparsePattern.from_mask(mask)
    np.testing.assert_array_equal(plot.connections_per_input(pattern), mask.sum(axis=0))
    full = plot.connections_per_input(SparsePattern.full((4, 3)))
    np.testing.assert_array_equal(full, [4, 4, 4])


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((4, 6), (4, 6)),
        ((4, 6, 3), (4, 6)),
        ((4, 6, 1), (4, 6)),
        ((24,), None),
        ((1, 24), None),
        ((2, 3, 4), None),
    ],
)
def test_what_counts_as_an_image(
    shape: tuple[int, ...], expected: tuple[int, int] | None
) -> None:
    counts = np.arange(int(np.prod(shape)))
    image = plot.as_image(counts, shape)
    if expected is None:
        assert image is None
    else:
        assert image is not None and image.shape == expected
        assert image.sum() == counts.sum()


def test_maps_share_one_scale() -> None:
    maps = {"before": np.full((3, 4), 5), "after": np.arange(12).reshape(3, 4)}
    fig = plot.pixel_maps(maps, title="t")
    limits = {image.get_clim() for ax in fig.axes for image in ax.images}
    assert limits == {(0, 11)}
    assert plot.curves_and_maps({"a": ([1], [0.5])}, maps).axes


def test_layer_densities() -> None:
    fig = plot.layer_densities(["0", "2"], [0.05, 1.0], [1234, 10])
    (ax,) = fig.axes
    assert [bar.get_width() for bar in ax.patches] == [5.0, 100.0]
    assert [text.get_text() for text in ax.texts] == ["1,234", "10"]


def test_same_picture_same_bytes(tmp_path: Path) -> None:
    found = []
    for name in ("a.png", "b.png"):
        plot.save(plot.layer_densities(["0"], [0.5], [3]), tmp_path / name)
        found.append((tmp_path / name).read_bytes())
    assert found[0] == found[1]


def test_leaves_no_trace() -> None:
    """No pyplot, no backend, no figure kept: safe in notebooks and on servers."""
    code = (
        "import sys, matplotlib\n"
        # Reading the backend would choose one.
        "names = [n for n in matplotlib.rcParams if n != 'backend']\n"
        "before = [matplotlib.rcParams[n] for n in names]\n"
        "from sparsenn import plot\n"
        "plot.curves({'a': ([1, 2], [0.1, 0.2])})\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
        "assert [matplotlib.rcParams[n] for n in names] == before\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_missing_matplotlib_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert not plot.available()
    with pytest.raises(ImportError, match=r"pip install 'sparsenn\[plot\]'"):
        plot.figure(1, 1)


def test_heatmap_writes_every_number_and_sets_the_last_column_apart() -> None:
    table = np.array([[0.5, 0.25, np.nan], [1.0, 0.0, 0.75]])
    fig = plot.heatmap(
        table, ["0 %", "90 %"], ["a", "b", "c"], last=("full model", [0.5, 0.1])
    )
    ax, bar = fig.axes
    found = sorted(text.get_text() for text in ax.texts)
    assert found == sorted(["50.0", "25.0", "100.0", "0.0", "75.0", "50.0", "10.0"])
    assert [t.get_text() for t in ax.get_xticklabels()] == ["a", "b", "c", "full model"]
    places = ax.get_xticks()
    assert places[3] - places[2] > 1.2 * (places[2] - places[1])
    assert bar.get_ylabel() == "test accuracy (%)"
    cells = {patch.get_xy(): patch.get_facecolor() for patch in ax.patches}
    assert len(cells) == 7
    assert cells[(-0.5, 0.5)][:2] > cells[(0.5, 0.5)][:2], "higher is not brighter"
    with pytest.raises(ValueError, match="names of 1 rows and 3 columns"):
        plot.heatmap(table, ["x"], ["a", "b", "c"])
    with pytest.raises(ValueError, match=r"last column has shape \(1,\)"):
        plot.heatmap(table, ["x", "y"], ["a", "b", "c"], last=("full", [1.0]))
    plot.heatmap(np.zeros((0, 0)), [], [])


def test_heatmap_of_a_sensitivity() -> None:
    result = pruning.Sensitivity(
        ("stem", "head"),
        (("0.weight",), ("2.weight",)),
        (10, 20),
        (0.0, 0.9),
        np.array([[0.9, 0.8], [0.9, 0.4]]),
        np.array([0.9, 0.1]),
        0.9,
    )
    fig = plot.sensitivity(result, title="digits")
    labels = [t.get_text() for t in fig.axes[0].get_yticklabels()]
    assert labels == ["0 %", "90 %"]
    assert {t.get_text() for t in fig.axes[0].texts} == {"90.0", "80.0", "40.0", "10.0"}
