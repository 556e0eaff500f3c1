"""``python -m benchmarks NAME [options]`` runs ``benchmarks/NAME.py``.

A file here is a benchmark unless it is named below.
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

COMMANDS = ("all", "report", "history", "install")
SUPPORT = {
    *("__init__", "__main__", "harness", "machine", "problem", "peers", "ours"),
    *("products", "charts", "targets", "regressions"),
}


def names() -> list[str]:
    """The benchmarks in this folder, in alphabetical order."""
    here = Path(__file__).parent
    return sorted(
        p.stem for p in here.glob("*.py") if p.stem not in {*SUPPORT, *COMMANDS}
    )


def main() -> int:
    """Run the benchmark named first on the command line; 2 if there is none such."""
    arguments = sys.argv[1:]
    if not arguments or arguments[0] not in (*COMMANDS, *names()):
        print("usage: python -m benchmarks NAME [--help | options]")
        print("NAME is a benchmark:", ", ".join(names()))
        print("or a command:", ", ".join(COMMANDS))
        return 0 if arguments in (["-h"], ["--help"]) else 2
    name = f"benchmarks.{arguments[0]}"
    sys.argv = [f"python -m {name}", *arguments[1:]]
    runpy.run_module(name, run_name="__main__")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
