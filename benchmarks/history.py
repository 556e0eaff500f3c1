"""Keep a few figures from commit to commit, and compare with the last ones kept.

    python -m benchmarks history record     measure regressions.py, keep the figures
    python -m benchmarks history compare    fail if a median is 15 % slower than kept
    python -m benchmarks history try        measure, and keep nothing

Figures lie in ``.benchmarks`` of the checkout, one file a recording, named by commit.
Comparisons hold on one machine only. By pytest-benchmark: asv builds every commit in an
environment of its own, which neither the compiler nor a shared machine thanks it for.
"""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
from pathlib import Path

from benchmarks import machine

ROOT = Path(__file__).parents[1]
PYTEST = (
    *("-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-c", "/dev/null"),
    *("--rootdir", str(ROOT), "--benchmark-timer=time.process_time"),
    *("--benchmark-warmup=on", "--benchmark-disable-gc"),
    *("--benchmark-columns=median,iqr,min,rounds", "--benchmark-sort=name"),
)


def main() -> None:
    """Record or compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("record", "compare", "try"))
    parser.add_argument("--slower", default="15%", help="of the median: a failure")
    parser.add_argument("--quick", action="store_true", help="a round each")
    options = parser.parse_args()
    if importlib.util.find_spec("pytest_benchmark") is None:
        raise SystemExit("history: needs pytest-benchmark: pip install '.[bench]'")
    machine.limit_threads(1)
    storage = f"--benchmark-storage=file://{ROOT / '.benchmarks'}"
    arguments = [*PYTEST, storage, str(ROOT / "benchmarks" / "regressions.py")]
    if options.what == "record":
        arguments += ["--benchmark-autosave"]
    elif options.what == "compare":
        fail = f"--benchmark-compare-fail=median:{options.slower}"
        arguments += ["--benchmark-compare", fail]
    if options.quick:
        arguments += ["--benchmark-max-time=0.01", "--benchmark-min-rounds=1"]
        arguments += ["--benchmark-warmup=off"]
    command = [sys.executable, "-m", "pytest", *arguments]
    raise SystemExit(subprocess.run(command, cwd=ROOT, check=False).returncode)


if __name__ == "__main__":
    main()
