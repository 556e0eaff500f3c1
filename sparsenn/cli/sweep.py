"""`sparsenn sweep`: a grid of runs, a table and pictures."""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from pathlib import Path
from typing import Any

from sparsenn.cli.config import density_of
from sparsenn.cli.errors import UsageError
from sparsenn.cli.grid import (
    PLURALS,
    Grid,
    check_seeds,
    parse_list,
    parse_seeds,
    read_grid,
)
from sparsenn.cli.jobs import Jobs
from sparsenn.cli.options import OPTIONS, Option, add_options
from sparsenn.cli.output import one_line, print_json
from sparsenn.cli.prepare import absolute, check, load_data
from sparsenn.cli.rundir import RunDirectory
from sparsenn.cli.sweepbar import SweepBar
from sparsenn.cli.sweepdir import SweepDirectory, begin, is_finished

HELP = "train every combination of methods, starts, densities and seeds"
DESCRIPTION = """\
Trains every combination of what the options list (comma-separated), each for several
seeds and in a process of its own, and compares them: means, 95 % intervals, pictures.
Takes every option of `sparsenn train`; each may be a list. A sweep that was interrupted
goes on with --resume, which also adds cells for what is newly listed."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what this command takes."""
    parser.add_argument(
        "data", nargs="?", metavar="DATA", help="as `sparsenn train` takes it"
    )
    parser.add_argument(
        "--seeds",
        metavar="N|LIST",
        help="how many seeds, from --seed on, or which (default 3)",
    )
    plurals = {name: plural for plural, name in PLURALS.items()}
    add_options(
        parser,
        parse=lambda option: lambda text: parse_list(option, text),
        plurals=plurals,
    )
    parser.add_argument(
        "--sparsities",
        "--sparsity",
        dest="sparsities",
        metavar="SPARSITY",
        help="1 - density, instead of it",
    )
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="a grid from a TOML file, lists or values; options win over it",
    )
    parser.add_argument(
        "--out", metavar="SWEEP", help="directory of the sweep (default sweeps/DATA)"
    )
    parser.add_argument(
        "--jobs",
        type=Option("jobs", "int", None, "", low=1, high=1024).parse,
        default=1,
        metavar="N",
        help="runs at a time, which share the threads (default 1)",
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on with the sweep that --out holds, or begin it; lists may grow",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace a sweep that --out holds"
    )
    parser.add_argument(
        "--keep-checkpoints",
        action="store_true",
        help="keep the checkpoint of a finished run",
    )


def run(args: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    grid, directory = _plan(args)
    cells = _checked(grid)
    if args.overwrite:
        directory.clear()
    places = directory.places(cells)
    directory.create(grid)
    todo = [path for path in places if not is_finished(path)]
    began = time.perf_counter()
    with SweepBar(len(places), len(places) - len(todo), quiet=args.quiet) as bar:
        jobs = Jobs(args.jobs, _threads(), bar.said)
        failed = {}
        try:
            for outcome in jobs.run(todo, lambda p: begin(p, places[p].config)):
                if outcome.status:
                    failed[outcome.directory.name] = outcome.message
                elif not args.keep_checkpoints:
                    RunDirectory(outcome.directory).checkpoint.unlink(missing_ok=True)
                bar.ended(outcome)
        except KeyboardInterrupt:
            go_on = f"sparsenn sweep --resume --out {shlex.quote(str(directory.path))}"
            raise KeyboardInterrupt(f"{go_on} goes on") from None
    finished = [path for path in places if is_finished(path)]
    return _end(args, directory, finished, failed, time.perf_counter() - began)


def _threads() -> int:
    import sparsenn

    return int(sparsenn.get_num_threads())


def _end(
    args: argparse.Namespace,
    directory: SweepDirectory,
    finished: list[Path],
    failed: dict[str, str],
    seconds: float,
) -> int:
    """Writes and prints what came of it."""
    from sparsenn import report
    from sparsenn.cli.report import title
    from sparsenn.cli.reporting import text_table, write_report

    runs = [report.read_run(path) for path in finished]
    files: list[str] = []
    found = report.groups(runs)
    if runs:
        about = ["Made by `sparsenn sweep --config sweep.toml`."]
        about += [f"Failed: {name}: {message}" for name, message in failed.items()]
        files = write_report(runs, directory.path, title(runs), "\n\n".join(about))
    for name, message in failed.items():
        print(f"sparsenn sweep: {name}: {message}", file=sys.stderr)
    if args.json:
        print_json(
            {
                "groups": report.rows(found),
                "runs": report.run_rows(runs),
                "failed": failed,
                "seconds": seconds,
                "out": str(directory.path),
                "files": files,
            }
        )
    elif runs:
        print(text_table(found))
        print(f"\n{directory.path}: {', '.join(files)}")
    return 1 if failed else 0


def _plan(args: argparse.Namespace) -> tuple[Grid, SweepDirectory]:
    """The grid and the directory, checked against each other."""
    if args.resume and args.overwrite:
        raise UsageError(
            "--resume goes on and --overwrite starts anew; give one of them"
        )
    values, seeds = read_grid(args.config) if args.config else ({}, None)
    data = values.pop("data", None)
    if args.data is not None:
        data = absolute(args.data)
    given = {o.name: getattr(args, o.name) for o in OPTIONS if hasattr(args, o.name)}
    if args.sparsities is not None:
        if "density" in given:
            raise UsageError("give --densities or --sparsities, not both")
        words = args.sparsities.split(",")
        given["density"] = [density_of(_number(word)) for word in words]
    values.update(given)
    first = values.pop("seed", [0])
    if len(first) > 1:
        raise UsageError("--seed is the first seed; list several with --seeds")
    if args.seeds is not None:
        seeds = parse_seeds(args.seeds, first[0])
    elif seeds is not None:
        seeds = check_seeds(seeds, first[0])
    directory = SweepDirectory(_out(args, data))
    if args.resume and directory.holds_sweep():
        old = directory.read_grid()
        new = Grid(data or old.data, values, old.seeds if seeds is None else seeds)
        return old.extended(new), directory
    if data is None:
        raise UsageError(
            "DATA is missing: a built-in name such as digits, or a path to a file"
        )
    if not (args.overwrite and directory.path.is_dir()):
        directory.check_new()
    default = check_seeds(3, first[0])
    return Grid(data, values, default if seeds is None else seeds), directory


def _out(args: argparse.Namespace, data: str | None) -> Path:
    if args.out is not None:
        return Path(args.out)
    if data is None:
        raise UsageError("DATA is missing, or --out with --resume")
    return Path("sweeps") / (Path(data).name.split(".")[0] or "sweep")


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"--sparsities must be numbers, got {text!r}") from None


def _checked(grid: Grid) -> list[Any]:
    """The cells, checked against the data, with their architectures complete."""
    cells = grid.cells()
    loaded: dict[str, Any] = {}
    seen: set[str] = set()
    for cell in cells:
        settings = cell.config.settings
        key = repr([settings[name] for name in ("label", "labels", "context")])
        if key not in loaded:
            loaded[key] = load_data(grid.data, settings)
        try:
            check(cell.config, loaded[key])
        except ValueError as error:
            raise UsageError(f"{cell.name}: {one_line(error)}") from error
        seen.add(cell.name)
    return cells
