"""`sparsenn train`: one network, one method, one data set."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import Any

from sparsenn.cli.config import Config, density_of, make_config, read_toml
from sparsenn.cli.errors import UsageError
from sparsenn.cli.living import living_of
from sparsenn.cli.options import BY_NAME, Option, add_options
from sparsenn.cli.output import count, one_line, percent, print_json, size
from sparsenn.cli.prepare import absolute, prepare
from sparsenn.cli.rundir import RunDirectory, default_path
from sparsenn.cli.training import train_run

HELP = "train a network and keep the run in a directory"
DESCRIPTION = """\
Trains a network and keeps the run in a directory: model.safetensors,
checkpoint.safetensors, config.toml, history.json, result.json and, with matplotlib,
pictures.
The same command gives the same model, byte for byte, for any number of threads and
also when it was killed and resumed."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what this command takes."""
    parser.add_argument(
        "data",
        nargs="?",
        metavar="DATA",
        help="a built-in name (digits, mnist, fashion-mnist, cifar10, ...) or a path: "
        "directory of IDX files, .csv, .npz, .svm, .mat",
    )
    add_options(parser)
    parser.add_argument(
        "--sparsity",
        default=argparse.SUPPRESS,
        metavar="SPARSITY",
        type=_sparsity,
        help="1 - density, instead of it",
    )
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="settings from a TOML file; options win over it",
    )
    parser.add_argument(
        "--out",
        metavar="RUN",
        help="directory of the run (default runs/DATA-METHOD-seedSEED, numbered)",
    )
    parser.add_argument(
        "--resume",
        nargs="?",
        const=True,
        metavar="RUN",
        help="go on from the last checkpoint of RUN (or of --out); a run that was not "
        "begun is begun",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace a run that --out holds"
    )
    parser.add_argument(
        "--checkpoint-every",
        type=Option("checkpoint_every", "int", None, "", low=1).parse,
        metavar="STEPS",
        help="also save a checkpoint after so many steps (default: after every epoch)",
    )
    parser.add_argument(
        "--no-pictures", action="store_true", help="draw nothing at the end"
    )


def _sparsity(text: str) -> float:
    try:
        return density_of(float(text))
    except ValueError:
        raise UsageError(f"--sparsity must be a number, got {text!r}") from None


def run(args: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    config, directory, resuming = _plan(args)
    start = _checkpoint(directory) if resuming else None
    prepared = prepare(config, resuming=start is not None, quiet=args.quiet)
    config.settings["arch"] = prepared.arch
    if not args.quiet:
        cut_off = _cut_off(prepared.model) if start is None else ""
        told = (config.warning, prepared.warning, cut_off)
        for warning in filter(None, told):
            print(f"sparsenn train: warning: {warning}", file=sys.stderr)
    if resuming and directory.path.is_dir():
        directory.sweep()
    if start is None:
        if args.overwrite:
            directory.clear()
        try:
            directory.create(config)
        except OSError as error:
            raise UsageError(f"--out {directory.path}: {one_line(error)}") from error
    if not args.quiet:
        print(prepared.data.describe(), file=sys.stderr)
    try:
        result = train_run(
            prepared,
            config,
            directory,
            start,
            quiet=args.quiet,
            checkpoint_every=args.checkpoint_every,
            pictures=not args.no_pictures,
        )
    except KeyboardInterrupt:
        go_on = f"sparsenn train --resume {shlex.quote(str(directory.path))}"
        raise KeyboardInterrupt(f"{go_on} goes on") from None
    if args.json:
        print_json(result)
    else:
        _report(result)
    return 0


def _cut_off(model: Any) -> str:
    """What to say of a network whose output cannot depend on its input, or ""."""
    living = living_of(model)
    if living is None or not living.collapsed:
        return ""
    empty = [row["name"] for row in living.rows() if row["nnz"] == 0]
    what = (
        f"no connection in {', '.join(empty)}"
        if empty
        else ("no path leads from an input to an output")
    )
    return f"{what}: the output does not depend on the input; raise --density"


def _given(args: argparse.Namespace) -> dict[str, Any]:
    given = {name: getattr(args, name) for name in BY_NAME if hasattr(args, name)}
    if hasattr(args, "sparsity"):
        if "density" in given:
            raise UsageError("give --density or --sparsity, not both")
        given["density"] = args.sparsity
    return given


def _plan(args: argparse.Namespace) -> tuple[Config, RunDirectory, bool]:
    """Settings, directory, and whether there may be a checkpoint to go on from."""
    given = _given(args)
    data = None if args.data is None else absolute(args.data)
    if args.resume is not None:
        return _plan_resume(args, data, given)
    config = make_config(data, given, read_toml(args.config) if args.config else {})
    if args.out is None:
        settings = config.settings
        out = default_path(config.data, settings["method"], settings["seed"])
    else:
        out = Path(args.out)
    directory = RunDirectory(out)
    if not (args.overwrite and out.is_dir()):
        directory.check_new()
    return config, directory, False


def _plan_resume(
    args: argparse.Namespace, data: str | None, given: dict[str, Any]
) -> tuple[Config, RunDirectory, bool]:
    if args.overwrite:
        raise UsageError(
            "--resume goes on and --overwrite starts anew; give one of them"
        )
    named = args.resume is not True
    if named and args.out is not None and Path(args.out) != Path(args.resume):
        raise UsageError(f"--resume {args.resume} and --out {args.out} are two runs")
    if not named and args.out is None:
        raise UsageError("--resume needs the run: --resume RUN, or --out RUN beside it")
    directory = RunDirectory(args.resume if named else args.out)
    file = read_toml(args.config) if args.config else {}
    if not directory.config.exists() and not named:
        directory.check_new()
        return make_config(data, given, file), directory, True
    config = directory.read_config()
    asked = {**{k: v for k, v in file.items() if k != "data"}, **given}
    data = data if data is not None else file.get("data")
    if asked or data is not None:
        wanted = make_config(data or config.data, asked, {})
        different = wanted.differences(config)
        if different:
            raise UsageError(
                f"{directory.path}: cannot resume with other settings: "
                + ", ".join(different)
                + "; leave them out, or start another run with --out"
            )
    return config, directory, True


def _checkpoint(directory: RunDirectory) -> Any:
    """The checkpoint to go on from; None if the run was killed before its first."""
    from sparsenn.train import load_checkpoint

    if not directory.checkpoint.exists():
        return None
    return load_checkpoint(directory.checkpoint)


def _report(result: dict[str, Any]) -> None:
    where = ""
    if "val_accuracy" in result:
        where = (
            f" in epoch {result['epoch']}, the best of {result['epochs']} on the "
            f"validation part ({percent(result['val_accuracy'])})"
        )
    print(f"test accuracy {percent(result['accuracy'])}{where}")
    print(
        f"{count(result['nnz'])} connections ({percent(result['density'])} of dense), "
        f"{size(result['model_bytes'])} file, {result['seconds']:.1f} s"
    )
    print(f"{result['out']}: {', '.join(result['files'])}")
