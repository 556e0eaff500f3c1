"""`sparsenn doctor`: what this installation can do."""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
from typing import Any

from sparsenn.cli.output import print_json

HELP = "say how this installation is set up"
DESCRIPTION = """\
Says which instruction set, threads and optional packages this installation uses."""

_OPTIONAL = {
    "matplotlib": "pictures",
    "tqdm": "progress bars",
    "pooch": "downloads of data",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what this command takes: nothing of its own."""


def run(args: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    import numpy
    import scipy

    import sparsenn

    facts: dict[str, Any] = {
        "sparsenn": sparsenn.__version__,
        "python": platform.python_version(),
        "numpy": numpy.__version__,
        "scipy": scipy.__version__,
        **sparsenn.config.describe(),
        "SPARSENN_DATA": os.environ.get("SPARSENN_DATA"),
        "SPARSENN_ISA": os.environ.get("SPARSENN_ISA"),
    }
    packages = {
        name: importlib.util.find_spec(name) is not None for name in sorted(_OPTIONAL)
    }
    if args.json:
        print_json({**facts, "packages": packages})
        return 0
    for name, value in facts.items():
        if isinstance(value, tuple):
            value = ", ".join(value) or "none found"
        print(f"{name:15} {value if value is not None else 'not set'}")
    for name, there in packages.items():
        print(f"{name:15} {'there' if there else f'missing: no {_OPTIONAL[name]}'}")
    return 0
