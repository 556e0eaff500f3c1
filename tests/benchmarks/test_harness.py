"""The benchmarks' own tools: what they time, compare and make."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

# Not installed with the package: they run from the checkout, as this test does.
sys.path.append(str(Path(__file__).parents[2]))

from benchmarks import harness, problem, train


def test_interleave_runs_every_engine_in_every_round() -> None:
    """Each engine runs rounds x repeat times, and starts change from round to round."""
    calls: list[str] = []
    runs = {name: lambda name=name: calls.append(name) for name in "abc"}
    timings = harness.interleave(runs, rounds=3, repeat=2)
    assert "".join(calls) == "aabbcc" + "bbccaa" + "ccaabb"
    assert all(len(t.cpu) == len(t.wall) == 3 for t in timings.values())


def test_ratios_are_to_the_base() -> None:
    """A median of 2 ms over one of 4 ms is half; an absent base gives no ratio."""
    timings = {
        "fast": harness.Timing([0.001, 0.002, 0.009], [0.001] * 3),
        "slow": harness.Timing([0.004] * 3, [0.004] * 3),
    }
    assert [r["ratio"] for r in harness.compare(timings, "slow")] == [0.5, 1.0]
    assert [r["ratio"] for r in harness.compare(timings, "absent")] == [None, None]


def test_report_writes_what_it_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The JSON file has the rows and the machine; the table has a line for each row."""
    file = tmp_path / "out.json"
    options = harness.arguments("test").parse_args(["--json", str(file)])
    rows = [{"name": "a", "cpu_ms": 1.23456}, {"name": "b", "cpu_ms": "not installed"}]
    harness.report(options, rows, {"name": "engine", "cpu_ms": "CPU ms"}, "Title")
    printed = capsys.readouterr().out
    assert "| a      | 1.23          |" in printed
    assert "| b      | not installed |" in printed
    document = json.loads(file.read_text())
    assert document["rows"] == rows
    assert {"cpu", "threads", "versions", "commit", "date"} <= set(document["machine"])


def test_problem_has_the_density_asked_for() -> None:
    """Counts add up, full layers are capped, weights are canonical CSR."""
    sizes = [784, 1000, 1000, 1000, 10]
    counts = problem.er_counts(sizes, 0.04)
    assert counts[-1] == 10 * 1000
    assert abs(sum(counts) - 0.04 * (784_000 + 2_000_000 + 10_000)) <= len(counts)
    task = problem.problem([20, 30, 5], 0.3, batch=8, n_batches=2)
    assert task.nnz == sum(problem.er_counts([20, 30, 5], 0.3))
    for weight in task.weights:
        assert weight.has_canonical_format and weight.dtype == np.float32


def test_disagreement_is_noticed() -> None:
    """A first loss off by 1e-4 is found; a dense engine's later losses are its own."""
    good = [1.0] * train.CHECKED_STEPS
    off = [1.0001, *good[1:]]
    assert train.disagreements({"a": good, "b": off})
    assert not train.disagreements({"a": good, "b": good})
    later = [1.0, *[0.5] * (train.CHECKED_STEPS - 1)]
    assert train.disagreements({"a": good, "b": later})
    assert not train.disagreements({"a": good, train.DENSE: later})
