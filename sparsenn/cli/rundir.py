"""The directory of a run: what lies where, and whether it may be used."""

from __future__ import annotations

import os
from pathlib import Path

from sparsenn.cli.config import Config, make_config, read_toml
from sparsenn.cli.errors import UsageError
from sparsenn.files import atomic_write


class RunDirectory:
    """Paths of a run.

    Parameters
    ----------
    path : path
        RUN; need not exist yet.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.model = self.path / "model.safetensors"
        self.checkpoint = self.path / "checkpoint.safetensors"
        self.config = self.path / "config.toml"
        self.history = self.path / "history.json"
        self.result = self.path / "result.json"

    def holds_run(self) -> bool:
        """Whether a run got as far as something worth keeping: not only settings."""
        return any(path.exists() for path in self._own() if path != self.config)

    def check_new(self) -> None:
        """UsageError if a new run cannot be put here."""
        if self.path.exists() and not self.path.is_dir():
            raise UsageError(f"--out {self.path}: exists and is not a directory")
        if self.holds_run():
            raise UsageError(
                f"--out {self.path}: already holds a run; choose another directory, go "
                "on with --resume, or replace it with --overwrite"
            )
        parent = self.path
        while not parent.exists():
            parent = parent.parent
        if not parent.is_dir():
            raise UsageError(f"--out {self.path}: {parent} is not a directory")
        if not os.access(parent, os.W_OK | os.X_OK):
            raise UsageError(f"--out {self.path}: {parent} cannot be written to")

    def create(self, config: Config) -> None:
        """Makes the directory and writes ``config.toml``."""
        self.path.mkdir(parents=True, exist_ok=True)
        with atomic_write(self.config, "w") as file:
            file.write(config.to_toml())

    def sweep(self) -> None:
        """Removes what a write that was killed left behind."""
        for path in self.path.glob(".*.tmp"):
            if any(path.name.startswith(f".{own.name}.") for own in self._own()):
                path.unlink(missing_ok=True)

    def _own(self) -> tuple[Path, ...]:
        return self.model, self.checkpoint, self.history, self.result, self.config

    def clear(self) -> None:
        """Removes the files of an earlier run, and nothing else."""
        for path in self._own():
            path.unlink(missing_ok=True)

    def read_config(self) -> Config:
        """The settings that the run was begun with."""
        if not self.config.exists():
            raise UsageError(f"{self.path}: holds no run to resume (no config.toml)")
        file = read_toml(self.config)
        return make_config(None, {}, file)


def default_path(data: str, method: str, seed: int) -> Path:
    """``runs/DATA-METHOD-seedSEED``, numbered if that is taken."""
    name = Path(data).name.split(".")[0] or "run"
    base = Path("runs") / f"{name}-{method}-seed{seed}"
    path, number = base, 1
    while path.exists():
        number += 1
        path = base.with_name(f"{base.name}-{number}")
    return path


def model_path(given: str | os.PathLike[str]) -> Path:
    """The model file of a RUN directory, or the file itself.

    Raises
    ------
    UsageError
        If there is none; says what to do.
    """
    path = Path(given)
    if not path.exists():
        raise UsageError(f"{path}: no such file or directory")
    if not path.is_dir():
        return path
    run = RunDirectory(path)
    if run.model.exists():
        return run.model
    if run.checkpoint.exists():
        raise UsageError(
            f"{path}: training has not finished; go on with `sparsenn train --resume "
            f"{path}`, or give {run.checkpoint}"
        )
    raise UsageError(f"{path}: holds no model.safetensors")
