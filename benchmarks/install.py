"""Install the engines to compare with, as far as that goes, and say what is missing.

    python -m benchmarks install [--dry-run] [--torch-index URL]

`pip install '.[bench]'` brings what installs plainly. PyTorch has a build without CUDA,
a tenth of the size, on its own index; the packages on top of it ask for versions and
build tools that they do not need, and so come without their dependencies.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import shlex
import subprocess
import sys

CPU_INDEX = "https://download.pytorch.org/whl/cpu"
TOOLS = ("setuptools", "wheel", "ninja", "pybind11")
WANTED = {"torch": "2.13.0", "sparselab": "0.2.2", "sparseprop": "0.1.14"}


def commands(index: str) -> dict[str, list[list[str]]]:
    """What pip is told for each package."""
    pinned = {name: f"{name}=={version}" for name, version in WANTED.items()}
    extra = ["--extra-index-url", index] if index else []
    build = ["--no-deps", "--no-build-isolation"]
    return {
        "torch": [["install", pinned["torch"], *extra]],
        "sparselab": [["install", "--no-deps", pinned["sparselab"]]],
        "sparseprop": [
            ["install", *TOOLS],
            ["install", *build, pinned["sparseprop"]],  # compiles C++
        ],
    }


def main() -> None:
    """Run pip for each package; the exit status says whether all are there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dry-run", action="store_true", help="only show commands")
    parser.add_argument(
        "--torch-index", default=CPU_INDEX, help="'' for pip's own indexes alone"
    )
    options = parser.parse_args()
    missing = []
    for name, steps in commands(options.torch_index).items():
        try:
            there = importlib.metadata.version(name).split("+")[0]
        except importlib.metadata.PackageNotFoundError:
            there = None
        if there == WANTED[name]:
            print(f"{name} {there} is installed")
            continue
        for step in steps:
            command = [sys.executable, "-m", "pip", *step]
            print(shlex.join(command), flush=True)
            if not options.dry_run and subprocess.run(command, check=False).returncode:
                missing.append(name)
                break
    if missing:
        print("missing:", ", ".join(missing))
        print("Benchmarks go on without, and say so in their tables.")
        raise SystemExit(1)


if __name__ == "__main__":
    main()
