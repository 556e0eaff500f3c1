"""Overhead of the tape: microseconds a node on a scalar chain of 1,000 products."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any

from benchmarks import harness, machine

NODES = 1000
HEADINGS = {
    "name": "product",
    "plain": "not recorded: us a node",
    "forward": "recorded",
    "both": "forward and backward",
}


def best(f: Callable[[], None], repeats: int) -> float:
    """Least seconds of some repeats of a call."""
    times = []
    for _ in range(repeats):
        start = perf_counter()
        f()
        times.append(perf_counter() - start)
    return min(times)


def chain(x: Any, factor: Any) -> Any:
    """Multiply a scalar many times."""
    for _ in range(NODES):
        x = x * factor
    return x


def main() -> None:
    """Parse the command line, time, report."""
    parser = harness.arguments(__doc__ or "")
    parser.add_argument("--repeats", type=int, default=30)
    options = harness.parse(parser, repeats=2)
    machine.limit_threads(options.threads)
    from sparsenn.autograd import Tensor, no_grad

    rows = []
    for name, second in (("by a constant", False), ("by a variable", True)):
        x = Tensor(1.0, requires_grad=True)
        y = Tensor(1.0001, requires_grad=second)

        def forward(x: Any = x, y: Any = y) -> None:
            chain(x, y)

        def both(x: Any = x, y: Any = y) -> None:
            chain(x, y).backward()

        def plain(x: Any = x, y: Any = y) -> None:
            with no_grad():
                chain(x, y)

        row: dict[str, object] = {"name": name}
        for part, run in (("plain", plain), ("forward", forward), ("both", both)):
            row[part] = best(run, options.repeats) / NODES * 1e6
        rows.append(row)
    harness.report(options, rows, HEADINGS, f"Tape: a scalar chain of {NODES:,} nodes")


if __name__ == "__main__":
    main()
