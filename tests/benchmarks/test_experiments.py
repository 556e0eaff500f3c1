"""Every experiment runs, on the embedded digits, and writes what it says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

# Not installed with the package: they run from the checkout, as this test does.
sys.path.append(str(Path(__file__).parents[2]))

from benchmarks.experiments import study
from benchmarks.experiments.__main__ import NAMES

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", NAMES)
def test_every_experiment_runs(name: str, tmp_path: Path) -> None:
    words = ["-m", "benchmarks.experiments", name, "--quick", "--jobs", "1"]
    done = subprocess.run(
        [sys.executable, *words, "--out", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / f"{name}.json").read_text())["rows"]
    assert rows and all(0 <= row["accuracy"] <= 1 for row in rows)
    text = (tmp_path / f"{name}.md").read_text()
    assert f"benchmarks.experiments {name}" in text


def test_an_interval_by_hand() -> None:
    """Of 1, 2, 3: t of two degrees of freedom is 4.3027, over the root of three."""
    mean, half = study.interval([1.0, 2.0, 3.0])
    assert mean == 2.0
    assert half == pytest.approx(4.302653 / 3**0.5)
    assert study.interval([0.5]) == (0.5, 0.0)
