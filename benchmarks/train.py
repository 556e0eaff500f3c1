"""One training step of a sparse perceptron: sparsenn beside its peers.

Forward, cross-entropy, backward and SGD with momentum, ReLU and biases, float32. All
engines start from the same weights and see the same batches, and their losses must
agree before anything is timed.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from benchmarks import harness, machine

CHECKED_STEPS = 10
OURS, DENSE = "sparsenn", "PyTorch dense"
HEADINGS = {
    "density": "density",
    "nnz": "connections",
    "name": "engine",
    "ms": "ms a step",
    "least": "least",
    "most": "most",
    "speedup": "sparsenn is times as fast",
}


def engines() -> dict[str, Callable[..., Any]]:
    """Name of each engine and the function that makes its step."""
    from benchmarks import ours, peers

    return {
        OURS: ours.sparsenn,
        "SparseLab": peers.sparselab,
        "SparseProp": peers.sparseprop,
        "torch CSR": peers.torch_csr,
        DENSE: peers.torch_dense,
    }


def disagreements(losses: dict[str, list[float]]) -> list[str]:
    """Which engines' losses differ from the first engine's, and where.

    One float32 forward pass agrees to 1e-5; after a few updates with momentum the
    rounding has grown, but far less than a wrong gradient would show. The dense engine
    also moves the weights that are zero, so only its first loss is comparable.
    """
    names = list(losses)
    found = []
    for name in names[1:]:
        steps = 1 if DENSE in (name, names[0]) else CHECKED_STEPS
        for i in range(steps):
            a, b = losses[names[0]][i], losses[name][i]
            if abs(a - b) > (1e-5 if i == 0 else 1e-3) * abs(a):
                found.append(f"step {i}: {names[0]} {a:.7g}, {name} {b:.7g}")
                break
    return found


def measure(
    sizes: list[int],
    density: float,
    batch: int,
    threads: int,
    chosen: list[str],
    rounds: int,
    seconds: float = 0.05,
) -> tuple[list[dict[str, object]], dict[str, list[float]]]:
    """One row for each engine, and the losses of its first steps.

    Raises
    ------
    SystemExit
        If the losses disagree.
    """
    from benchmarks.problem import problem

    task = problem(sizes, density, batch, n_batches=min(64, 8192 // batch))
    runs: dict[str, Callable[[], float]] = {}
    losses: dict[str, list[float]] = {}
    missing = []
    for name in chosen:
        try:
            step = engines()[name](task, threads)
        except ImportError:
            missing.append(name)
            continue
        feed = itertools.cycle(task.batches)
        runs[name] = lambda step=step, feed=feed: step(*next(feed))
        losses[name] = [runs[name]() for _ in range(CHECKED_STEPS)]
    wrong = disagreements(losses)
    if wrong:
        raise SystemExit("losses disagree\n" + "\n".join(wrong))

    timings = harness.measure(runs, rounds, seconds)
    ms = {name: t.row()[harness.clock(threads)] for name, t in timings.items()}
    rows: list[dict[str, object]] = []
    for name in chosen:
        row: dict[str, object] = {"density": density, "nnz": task.nnz, "name": name}
        if name in missing:
            row["ms"] = "not installed"
        else:
            series = timings[name].cpu if threads == 1 else timings[name].wall
            row |= timings[name].row()
            row |= {"least": 1e3 * min(series), "most": 1e3 * max(series)}
            row["ms"] = ms[name]
            if OURS in ms and name != OURS:
                row["speedup"] = ms[name] / ms[OURS]
        rows.append(row)
    return rows, losses


def main() -> None:
    """Parse the command line, check, time, report."""
    parser = harness.arguments(__doc__ or "")
    parser.add_argument("--arch", default="784-1000-1000-1000-10")
    parser.add_argument("--density", type=harness.numbers, default="0.04")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--only", help="comma-separated names of engines")
    options = harness.parse(
        parser, arch="64-32-10", density="0.5,0.2", batch=8, rounds=1
    )
    machine.limit_threads(options.threads)

    sizes = [int(n) for n in options.arch.split("-")]
    chosen = options.only.split(",") if options.only else list(engines())
    rows, losses = [], {}
    for density in options.density:
        new, losses[density] = measure(
            sizes, density, options.batch, options.threads, chosen, options.rounds
        )
        rows += new
    clock = "processor" if options.threads == 1 else "wall"
    harness.report(
        options,
        rows,
        HEADINGS,
        f"Training step of {options.arch}, batch {options.batch}",
        [
            f"Medians of {clock} time. The losses of the first {CHECKED_STEPS} steps "
            "agree (PyTorch dense, which also moves the zeros: the first loss)."
        ],
        losses=losses,
    )


if __name__ == "__main__":
    main()
