"""Every benchmark runs, on tiny sizes, and its results become a report."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

# Not installed with the package: they run from the checkout, as this test does.
sys.path.append(str(Path(__file__).parents[2]))

from benchmarks import __main__ as command
from benchmarks import ceilings, density, harness, report, targets

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


def document(*rows: dict[str, object], quick: bool = False) -> dict[str, object]:
    """The part of a result that targets and losses read."""
    return {"rows": list(rows), "options": {"quick": quick}, "title": "T"}


def test_targets_and_losses_read_the_rows() -> None:
    """A target finds its row, but not in a quick run; a slower product is a loss."""
    row = {"density": 0.04, "name": "SparseLab", "speedup": 3.5}
    step = next(t for t in targets.TARGETS if "784-1000" in t.work)
    assert step.value({"train-set": document(row)}) == 3.5
    assert step.met(3.5) and not step.met(2.9)
    with pytest.raises(LookupError):
        step.value({"train-set": document(row, quick=True)})
    lost = {"train": document(row | {"speedup": 0.5})}
    assert "SparseLab is faster at density 0.04 (2x)" in report.losses(lost)
    assert report.losses({"train": document(row)}) == "Nowhere in what was measured."
