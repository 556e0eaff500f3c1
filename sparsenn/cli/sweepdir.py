"""The directory of a sweep: its grid, its cells, and what came of them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from sparsenn.cli.config import Config
from sparsenn.cli.errors import UsageError
from sparsenn.cli.grid import Cell, Grid, check_seeds, read_grid
from sparsenn.cli.output import one_line
from sparsenn.cli.rundir import RunDirectory
from sparsenn.files import atomic_write


class SweepDirectory:
    """Paths of a sweep.

    Parameters
    ----------
    path : path
        SWEEP; need not exist yet.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.grid = self.path / "sweep.toml"
        self.cells = self.path / "cells"

    def holds_sweep(self) -> bool:
        """Whether a sweep was begun here."""
        return self.grid.exists()

    def check_new(self) -> None:
        """UsageError if a new sweep cannot be put here."""
        if self.holds_sweep():
            raise UsageError(
                f"--out {self.path}: already holds a sweep; go on with --resume, "
                "choose another directory, or replace it with --overwrite"
            )
        RunDirectory(self.path).check_new()

    def create(self, grid: Grid) -> None:
        """Makes the directory and writes ``sweep.toml``."""
        try:
            self.cells.mkdir(parents=True, exist_ok=True)
            with atomic_write(self.grid, "w") as file:
                file.write(grid.to_toml())
        except OSError as error:
            raise UsageError(f"--out {self.path}: {one_line(error)}") from error

    def clear(self) -> None:
        """Removes the cells of an earlier sweep, and nothing else."""
        if self.cells.is_dir():
            for cell in self.cells.iterdir():
                if (cell / "config.toml").exists():
                    shutil.rmtree(cell)
        self.grid.unlink(missing_ok=True)

    def read_grid(self) -> Grid:
        """What the sweep was asked to combine."""
        values, seeds = read_grid(self.grid)
        data = values.pop("data")
        return Grid(data, values, check_seeds(seeds))

    def places(self, cells: list[Cell]) -> dict[Path, Cell]:
        """The directory of each cell; an old one is known by its settings.

        Its name may be another, because names say what varied when it was begun.
        """
        there: dict[str, Path] = {}
        if self.cells.is_dir():
            for path in sorted(self.cells.iterdir()):
                run = RunDirectory(path)
                if run.config.exists():
                    there[run.read_config().to_toml()] = path
        taken = set(there.values())
        result: dict[Path, Cell] = {}
        for cell in cells:
            path = there.get(cell.config.to_toml(), self.cells / cell.name)
            if path in taken and cell.config.to_toml() not in there:
                raise UsageError(
                    f"{path}: holds a run of other settings; move it away, or start "
                    "another sweep with --out"
                )
            result[path] = cell
        return result


def is_finished(path: Path) -> bool:
    """Whether a cell's run has come to its result."""
    return RunDirectory(path).result.exists()


def begin(path: Path, config: Config) -> None:
    """Begins a cell's run: a process can then go on with it."""
    run = RunDirectory(path)
    if not run.config.exists():
        run.create(config)
    run.sweep()
