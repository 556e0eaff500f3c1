"""`sparsenn report`: compares finished runs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from sparsenn.cli.errors import UsageError
from sparsenn.cli.output import one_line, print_json
from sparsenn.cli.sweepdir import SweepDirectory, is_finished

HELP = "compare finished runs: means and intervals over seeds"
DESCRIPTION = """\
Compares finished runs and sweeps from what is on disk. Runs whose settings differ by
the seed alone are one line: mean and 95 % interval. With --out, or for one sweep in its
own directory, the table and the pictures are written too."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what this command takes."""
    parser.add_argument(
        "paths", nargs="+", metavar="SWEEP|RUN", help="directories of sweeps or runs"
    )
    parser.add_argument(
        "--out",
        metavar="DIRECTORY",
        help="where to write the report (default: the sweep, if it is the only path)",
    )


def run(args: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    from sparsenn import report
    from sparsenn.cli.reporting import text_table, write_report

    directories = [run for path in args.paths for run in _runs(Path(path))]
    try:
        runs = [report.read_run(path) for path in dict.fromkeys(directories)]
        found = report.groups(runs)
    except ValueError as error:
        raise UsageError(one_line(error)) from error
    out = args.out
    if (
        out is None
        and len(args.paths) == 1
        and SweepDirectory(args.paths[0]).holds_sweep()
    ):
        out = args.paths[0]
    files: list[str] = []
    if out is not None:
        try:
            files = write_report(runs, Path(out), title(runs))
        except OSError as error:
            raise UsageError(f"--out {out}: {one_line(error)}") from error
    if args.json:
        print_json(
            {
                "groups": report.rows(found),
                "runs": report.run_rows(runs),
                "out": out,
                "files": files,
            }
        )
        return 0
    print(text_table(found))
    if files:
        print(f"\n{out}: {', '.join(files)}")
    return 0


def title(runs: list[Any]) -> str:
    """What a report is of: data and, if it is one, the architecture."""
    names = dict.fromkeys(Path(str(run.settings.get("data"))).name for run in runs)
    archs = dict.fromkeys(str(run.settings.get("arch")) for run in runs)
    return ", ".join([*names, *(archs if len(archs) == 1 else ())])


def _runs(path: Path) -> list[Path]:
    """Directories of the runs of a path: itself, or its finished cells."""
    if not path.exists():
        raise UsageError(f"{path}: no such file or directory")
    sweep = SweepDirectory(path)
    if not sweep.holds_sweep():
        return [path]
    cells = sweep.cells.iterdir() if sweep.cells.is_dir() else ()
    found = sorted(cell for cell in cells if is_finished(cell))
    if not found:
        raise UsageError(f"{path}: no cell of this sweep has finished")
    return found
