"""On 1, 2, 4, ... threads: the training step, and a layer's products.

Wall time. The number of threads is set between turns in one process, for us and for
PyTorch alike.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable

from benchmarks import harness, machine

HEADINGS = {
    "work": "work",
    "name": "engine",
    "threads": "threads",
    "wall_ms": "wall ms",
    "scaling": "times as fast as on one",
}
Runs = dict[tuple[str, str, int], Callable[[], object]]


def steps(arch: str, density: float, batch: int, threads: list[int]) -> Runs:
    """The training step of every engine on each number of threads."""
    import sparsenn
    from benchmarks import ours, peers
    from benchmarks.problem import problem

    sizes = [int(n) for n in arch.split("-")]
    task = problem(sizes, density, batch, n_batches=8)
    setters: dict[str, Callable[[int], None]] = {"sparsenn": sparsenn.set_num_threads}
    made = {"sparsenn": ours.sparsenn(task, threads[-1])}
    try:
        import torch

        made["PyTorch dense"] = peers.torch_dense(task, threads[-1])
        setters["PyTorch dense"] = torch.set_num_threads
    except ImportError:
        print("PyTorch dense: not installed")
    feed = itertools.cycle(task.batches)

    def on(name: str, n: int) -> None:
        setters[name](n)
        made[name](*next(feed))

    work = f"training step of {arch}, density {density:g}, batch {batch}"
    return {
        (work, name, n): lambda name=name, n=n: on(name, n)
        for name in made
        for n in threads
    }


def layer(width: int, density: float, batch: int, threads: list[int]) -> Runs:
    """The products of one layer on each number of threads."""
    import sparsenn
    from benchmarks import products

    case = products.Case((width, width), density, batch)
    made = products.runs(case, [products.OURS], threads[-1])[0][products.OURS]

    def on(product: str, n: int) -> None:
        sparsenn.set_num_threads(n)
        made[product]()

    shape = f"{width} x {width}, density {density:g}, batch {batch}"
    return {
        (f"{product}, {shape}", "sparsenn", n): lambda p=product, n=n: on(p, n)
        for product in made
        for n in threads
    }


def main() -> None:
    """Parse the command line, check, time, report."""
    most = len(os.sched_getaffinity(0))
    parser = harness.arguments(__doc__ or "", threads=most)
    parser.add_argument("--arch", default="3072-4000-1000-4000-10")
    parser.add_argument("--density", type=harness.numbers, default="0.1,0.02")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--width", type=int, default=4096)
    parser.add_argument("--rounds", type=int, default=9)
    options = harness.parse(
        parser, arch="64-32-10", density="0.2", width=64, batch=8, rounds=1
    )
    machine.limit_threads(options.threads)

    powers = (1 << i for i in range(options.threads.bit_length()))
    threads = sorted({*powers, options.threads})
    rows: list[dict[str, object]] = []
    for density in options.density:
        made = steps(options.arch, density, options.batch, threads)
        made |= layer(options.width, density, options.batch, threads)
        named = {"/".join(map(str, key)): run for key, run in made.items()}
        timings = harness.measure(named, options.rounds)
        ms = {
            k: t.row()["wall_ms"] for k, t in zip(made, timings.values(), strict=True)
        }
        for (work, name, n), time in ms.items():
            row: dict[str, object] = {"work": work, "name": name, "threads": n}
            row |= {"wall_ms": time, "scaling": ms[work, name, 1] / time}
            rows.append(row)
    harness.report(options, rows, HEADINGS, f"Threads, 1 to {options.threads}")


if __name__ == "__main__":
    main()
