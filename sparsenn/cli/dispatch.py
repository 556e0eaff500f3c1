"""From the words of the command line to a command and an exit status."""

from __future__ import annotations

import argparse
import difflib
import errno
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from sparsenn.cli.errors import UsageError
from sparsenn.cli.options import Option
from sparsenn.cli.output import one_line

OK, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130

_COMMANDS = ("demo", "train", "sweep", "report", "prune",
             "sensitivity", "evaluate", "generate", "inspect", "doctor")  # fmt: skip
#: Errors of the file system that only a path which was given can cause.
_BAD_PATHS = (errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENOTDIR)
_THREADS = Option("threads", "int", None, "", low=1, high=4096)


class _Parser(argparse.ArgumentParser):
    """Reports bad usage as an exception, so that it becomes one line."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see {self.prog} --help)")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        # A command refuses its own unknown words: argparse would leave them to the
        # parser above, whose help does not list the command's options.
        namespace, unknown = super().parse_known_args(args, namespace)
        if unknown:
            known = [flag for flag in self._option_string_actions if flag[:2] == "--"]
            near = difflib.get_close_matches(unknown[0], known, 1, 0.8)
            hint = f"; did you mean {near[0]}?" if near else ""
            self.error(f"unrecognized arguments: {' '.join(unknown)}{hint}")
        return namespace, unknown


def _parser() -> _Parser:
    import sparsenn
    from sparsenn.cli import (
        demo,
        doctor,
        evaluate,
        generate,
        inspect,
        prune,
        report,
        sensitivity,
        sweep,
        train,
    )  # fmt: skip

    parser = _Parser(
        prog="sparsenn",
        description="Networks whose weights exist only where a connection exists.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--version", action="version", version=f"sparsenn {sparsenn.__version__}"
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    modules: tuple[Any, ...] = (
        demo, train, sweep, report, prune, sensitivity, evaluate, generate, inspect,
        doctor,
    )  # fmt: skip
    for name, module in zip(_COMMANDS, modules, strict=True):
        command = commands.add_parser(
            name,
            help=module.HELP,
            description=module.DESCRIPTION,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        module.add_arguments(command)
        command.add_argument(
            "--threads",
            type=_THREADS.parse,
            metavar="N",
            help="threads to compute with (default: all that this process may use); "
            "results do not depend on it",
        )
        command.add_argument(
            "--quiet", action="store_true", help="no progress on standard error"
        )
        command.add_argument(
            "--json", action="store_true", help="one JSON object on standard output"
        )
        command.set_defaults(run=module.run)
    return parser


def dispatch(argv: Sequence[str] | None = None) -> int:
    """Parses, runs, and turns every outcome into an exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    name = "sparsenn"
    if words and words[0] in _COMMANDS:
        name = f"sparsenn {words[0]}"
    try:
        return _run(_parser().parse_args(words))
    except SystemExit as stop:  # --help and --version
        return int(stop.code or 0)
    except KeyboardInterrupt as interrupt:
        hint = f"; {interrupt}" if str(interrupt) else ""
        _say(f"{name}: interrupted{hint}")
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read standard output has left; keep the interpreter from flushing.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as error:
        usage = _is_usage(error)
        if os.environ.get("SPARSENN_DEBUG"):
            raise
        text = one_line(error)
        if not usage and not isinstance(error, OSError | ArithmeticError):
            kind = type(error).__name__
            text = f"{kind}: {text} (SPARSENN_DEBUG=1 shows where)"
        _say(f"{name}: error: {text}")
        return USAGE if usage else FAILED


def _run(args: argparse.Namespace) -> int:
    import sparsenn
    from sparsenn.config import describe

    try:
        describe()
    except ValueError as error:  # SPARSENN_ISA names what there is not
        raise UsageError(one_line(error)) from error
    if args.threads is None:
        return int(args.run(args))
    before = sparsenn.get_num_threads()
    sparsenn.set_num_threads(args.threads)
    try:
        return int(args.run(args))
    finally:
        sparsenn.set_num_threads(before)


def _is_usage(error: Exception) -> bool:
    if isinstance(error, UsageError):
        return True
    if isinstance(error, OSError) and error.errno in _BAD_PATHS:
        return True
    from sparsenn.data import DataError
    from sparsenn.export.safetensors import FormatError
    from sparsenn.train import ResumeError

    return isinstance(error, FormatError | DataError | ResumeError)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
