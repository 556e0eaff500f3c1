"""Every benchmark, one process after the other; then the report and its charts.

    python -m benchmarks all [--quick] [--out DIR] [--only NAME,...]

One JSON file a run, README.md and the charts go to DIR. A benchmark that fails is
reported and the others go on; the exit status is then 1.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

from benchmarks import report
from benchmarks.__main__ import names

TWO = str(min(2, len(os.sched_getaffinity(0))))
Run = tuple[str, str, str]
#: Name of the JSON file, benchmark, options. All others run once, as they are.
RUNS: tuple[Run, ...] = (
    ("ceilings", "ceilings", ""),
    ("density", "density", ""),
    ("batch", "batch", ""),
    ("width", "width", ""),
    (
        "train-wide",
        "train",
        "--arch 3072-4000-1000-4000-10 --density 0.1,0.05,0.02 --rounds 9 "
        f"--threads {TWO} --only 'sparsenn,SparseLab,PyTorch dense'",
    ),
    ("train-set", "train", ""),
    (
        "train-lenet",
        "train",
        "--arch 784-300-100-10 --density 0.1 --batch 32 --rounds 31",
    ),
    ("threads", "threads", ""),
    ("memory", "memory", ""),
    ("growth", "growth", ""),
)
QUICK_RUNS = ("train-wide", "train-lenet")  # --quick: train-set stands for them


def plan(only: str | None, quick: bool) -> list[Run]:
    """The runs asked for: those above, then every other benchmark."""
    known = {benchmark for _, benchmark, _ in RUNS}
    others = [(name, name, "") for name in names() if name not in known]
    runs = [run for run in (*RUNS, *others) if not quick or run[0] not in QUICK_RUNS]
    if only is None:
        return runs
    chosen = set(only.split(","))
    unknown = chosen - {part for run in runs for part in run[:2]}
    if unknown:
        raise SystemExit(
            f"all: unknown {', '.join(sorted(unknown))}; --only takes "
            + ", ".join(run[0] for run in runs)
        )
    return [run for run in runs if chosen & set(run[:2])]


def main() -> None:
    """Run what was asked for, then write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=report.HERE / "results")
    parser.add_argument("--only", metavar="NAME,...", help="these runs alone")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: do they run?")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    failed = []
    start = time.monotonic()
    for name, benchmark, arguments in plan(options.only, options.quick):
        command = [sys.executable, "-m", "benchmarks", benchmark]
        command += ["--json", str((options.out / f"{name}.json").resolve())]
        command += ["--quick"] if options.quick else shlex.split(arguments)
        print(f"== {name} ({time.monotonic() - start:.0f}s)", flush=True)
        root = Path(__file__).parents[1]
        if subprocess.run(command, cwd=root, check=False).returncode:
            failed.append(name)
        print(flush=True)
    report.write(options.out)
    print(f"== done ({time.monotonic() - start:.0f}s): {options.out / 'README.md'}")
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
