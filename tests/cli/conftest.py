"""Running commands inside the test process."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sparsenn.cli import main


@dataclass
class Outcome:
    """Exit status and what was printed."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """Standard output, which must be exactly one JSON object."""
        found = json.loads(self.out)
        assert isinstance(found, dict)
        return found

    def failed_with(self, status: int) -> str:
        """The one line of an error."""
        assert self.status == status, self.err
        assert self.out == ""
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        assert "Traceback" not in lines[0]
        return lines[0]


@pytest.fixture
def pictures() -> None:
    """Ask for this to have pictures drawn, which takes most of a small run's time."""
    pytest.importorskip("matplotlib")


@pytest.fixture
def cli(
    request: pytest.FixtureRequest,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Callable[..., Outcome]:
    """Runs a command with a temporary directory as the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SPARSENN_DEBUG", raising=False)
    if "pictures" not in request.fixturenames:
        monkeypatch.setattr("sparsenn.plot.available", lambda: False)

    def run(*words: object) -> Outcome:
        capsys.readouterr()
        status = main([str(word) for word in words])
        captured = capsys.readouterr()
        return Outcome(status, captured.out, captured.err)

    return run


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A data file that trains in no time: 60 + 30 samples of 6 features, 3 classes."""
    rng = np.random.default_rng(3)
    y = np.arange(90) % 3
    x = rng.normal(0, 0.3, (90, 6)) + y[:, None]
    path = tmp_path / "small.npz"
    np.savez(
        path,
        x_train=x[:60].astype(np.float32),
        y_train=y[:60],
        x_test=x[60:].astype(np.float32),
        y_test=y[60:],
    )
    return path
