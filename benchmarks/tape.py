"""Overhead of the tape: microseconds a node on a scalar chain of 1,000 products."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

from sparsenn.autograd import Tensor, no_grad

NODES = 1000


def best(f: Callable[[], None], repeats: int = 30) -> float:
    """Least seconds of some repeats of a call."""
    times = []
    for _ in range(repeats):
        start = perf_counter()
        f()
        times.append(perf_counter() - start)
    return min(times)


def chain(x: Tensor, factor: Tensor) -> Tensor:
    """Multiply a scalar many times."""
    for _ in range(NODES):
        x = x * factor
    return x


def main() -> None:
    """Print forward, backward and total."""
    factor = Tensor(1.0001)
    for name, second in (("by a constant", False), ("by a variable", True)):
        x = Tensor(1.0, requires_grad=True)
        y = Tensor(1.0001, requires_grad=True) if second else factor

        def forward(x: Tensor = x, y: Tensor = y) -> None:
            chain(x, y)

        def both(x: Tensor = x, y: Tensor = y) -> None:
            chain(x, y).backward()

        def plain(x: Tensor = x, y: Tensor = y) -> None:
            with no_grad():
                chain(x, y)

        total = best(both) / NODES * 1e6
        ahead = best(forward) / NODES * 1e6
        print(
            f"{name:14s} no_grad {best(plain) / NODES * 1e6:5.2f} us  "
            f"forward {ahead:5.2f} us  forward + backward {total:5.2f} us a node"
        )


if __name__ == "__main__":
    main()
