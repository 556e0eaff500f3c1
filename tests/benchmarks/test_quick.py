"""Every benchmark runs, on tiny sizes, and its results become a report."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

# Not installed with the package: they run from the checkout, as this test does.
sys.path.append(str(Path(__file__).parents[2]))

from benchmarks import __main__ as command
from benchmarks import ceilings, charts, density, harness, report, targets

ROOT = Path(__file__).parents[2]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """`python -m benchmarks` with the given arguments, in the checkout."""
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize("name", command.names())
def test_every_benchmark_runs(name: str, tmp_path: Path) -> None:
    """A quick run ends well; its file has rows, headings and the machine."""
    if name == "ceilings" and ceilings.compiler() is None:
        pytest.skip("no C compiler")
    file = tmp_path / f"{name}.json"
    done = run(name, "--quick", "--json", str(file))
    assert done.returncode == 0, done.stderr
    document = json.loads(file.read_text())
    assert document["rows"] and document["headings"] and document["options"]["quick"]
    assert {"cpu", "threads", "versions", "commit", "date"} <= set(document["machine"])
    shown = {key for row in document["rows"] for key in row}
    assert shown & set(document["headings"])
    missing = [
        str(row["name"]) for row in document["rows"] if "not installed" in row.values()
    ]
    report.write(tmp_path)
    text = (tmp_path / "README.md").read_text()
    assert document["title"] in text
    if missing:
        pytest.skip(f"ran, but not installed: {', '.join(sorted(set(missing)))}")


def test_history_records_and_compares() -> None:
    """The benchmarks whose history is kept run."""
    if importlib.util.find_spec("pytest_benchmark") is None:
        pytest.skip("pytest-benchmark is not installed")
    done = run("history", "try", "--quick")
    assert done.returncode == 0, done.stdout + done.stderr


def test_unknown_name_is_refused() -> None:
    """It exits with 2 and names what there is."""
    done = run("nothing")
    assert done.returncode == 2 and "density" in done.stdout


def test_break_even_is_between_the_points_around_one() -> None:
    """On the line between the logarithms: from 4 to 1/4, half-way in log density."""
    assert density.break_even([(0.1, 4.0), (0.4, 0.25)]) == pytest.approx(0.2)
    assert density.break_even([(0.1, 4.0), (0.4, 1.5)]) is None
    assert density.break_even([(0.1, 0.9), (0.4, 0.5)]) is None


def test_quick_gives_defaults_and_not_more() -> None:
    """What the command line says wins."""
    parser = harness.arguments("test")
    parser.add_argument("--width", type=int, default=4096)
    parse = harness.parse
    assert parse(parser, [], width=8).width == 4096
    assert parse(parser, ["--quick"], width=8).width == 8
    assert parse(parser, ["--quick", "--width", "9"], width=8).width == 9


def document(*rows: dict[str, object], **facts: object) -> dict[str, Any]:
    """The part of a result that targets, losses and charts read."""
    machine = {"cpu": "CPU", "sparsenn_isa": "avx", "threads": 2}
    options = {"quick": False, "arch": "9-9", "batch": 1, "threads": 2}
    return {
        "rows": list(rows),
        "options": options,
        "title": "T",
        "machine": machine,
    } | (facts)


def test_every_chart_is_drawn(tmp_path: Path) -> None:
    """From made-up figures, and each is left out where its figures are missing."""
    if not charts.available():
        pytest.skip("matplotlib is not installed")
    layer = [
        {"shape": f"{n}x{n}", "density": d, "batch": n, "product": p, "name": name}
        | {"gflops": 50.0, "speedup": s}
        for n in (32, 64)
        for d, s in ((0.1, 8.0), (0.9, 0.8))
        for p in (charts.FORWARD, charts.TRAINING)
        for name in ("sparsenn", "OpenBLAS")
    ]
    even = dict.fromkeys((charts.FORWARD, charts.TRAINING), 0.5)
    core = [
        {"isa": "avx", "name": name, "kib": kib, "rate": 100.0}
        for name, kib in (("fma", None), ("fma_load", None), ("load", 16))
    ]
    scaling = [
        {"work": "w", "name": "sparsenn", "threads": n, "scaling": n} for n in (1, 2)
    ]
    winners = [
        {"batch": 1, "density": d, "active": a, "blas": 10.0, "storage": "by column"}
        for d in (0.1, 0.2)
        for a in (0.1, 0.2)
    ]
    step = {"density": 0.1, "name": "SparseLab", "speedup": 3.5}
    documents = {
        "density": document(*layer, break_even=even),
        "batch": document(*layer),
        "width": document(*layer),
        "ceilings": document(*core, caches={"L2": 1 << 20}),
        "threads": document(*scaling),
        "train-wide": document(step),
        "k_winners": document(*winners),
    }
    drawn = charts.draw(documents, tmp_path)
    assert set(drawn) == set(charts.CHARTS)
    assert all((tmp_path / file).stat().st_size > 1000 for file in drawn)
    assert charts.draw({"threads": documents["threads"]}, tmp_path).keys() == {
        "threads.png"
    }


def test_targets_and_losses_read_the_rows() -> None:
    """A target finds its row, but not in a quick run; a slower product is a loss."""
    row = {"density": 0.04, "name": "SparseLab", "speedup": 3.5}
    step = next(t for t in targets.TARGETS if "784-1000" in t.work)
    assert step.value({"train-set": document(row)}) == 3.5
    assert step.met(3.5) and not step.met(2.9)
    with pytest.raises(LookupError):
        step.value({"train-set": document(row, options={"quick": True})})
    lost = {"train": document(row | {"speedup": 0.5})}
    assert "SparseLab is faster than sparsenn at density 0.04 (2x)" in report.losses(
        lost
    )
    assert report.losses({"train": document(row)}) == "Nowhere in what was measured."
