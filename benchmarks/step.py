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
DENSE = "PyTorch dense"


def engines() -> dict[str, Callable[..., Any]]:
    """Name of each engine and the function that makes its step."""
    from benchmarks import ours, peers

    return {
        "sparsenn": ours.sparsenn,
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


def main() -> None:
    """Parse the command line, check, time, report."""
    parser = harness.arguments(__doc__.splitlines()[0])
    parser.add_argument("--arch", default="784-1000-1000-1000-10")
    parser.add_argument("--density", type=float, default=0.04)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--repeat", type=int, default=10, help="steps a turn")
    parser.add_argument("--base", default="SparseLab")
    parser.add_argument("--only", help="comma-separated names of engines")
    options = parser.parse_args()
    machine.limit_threads(options.threads)

    from benchmarks.problem import problem

    sizes = [int(n) for n in options.arch.split("-")]
    task = problem(sizes, options.density, options.batch)
    chosen = options.only.split(",") if options.only else list(engines())
    runs: dict[str, Callable[[], float]] = {}
    losses: dict[str, list[float]] = {}
    missing = []
    for name in chosen:
        try:
            step = engines()[name](task, options.threads)
        except ImportError as error:
            missing.append({"name": name, "cpu_ms": "not installed"})
            print(f"{name}: not installed ({error})")
            continue
        feed = itertools.cycle(task.batches)
        runs[name] = lambda step=step, feed=feed: step(*next(feed))
        losses[name] = [runs[name]() for _ in range(CHECKED_STEPS)]
    wrong = disagreements(losses)
    if wrong:
        raise SystemExit("losses disagree\n" + "\n".join(wrong))

    key = "cpu_ms" if options.threads == 1 else "wall_ms"
    timings = harness.interleave(runs, options.rounds, options.repeat)
    rows = harness.compare(timings, options.base, key)
    harness.report(
        options,
        rows + missing,
        {**harness.TIMES, "ratio": f"times {options.base}"},
        f"Training step, {options.arch}, {task.nnz} connections, batch {options.batch}",
        [f"Losses of the first {CHECKED_STEPS} steps agree: {len(losses)} engine(s)."],
        nnz=task.nnz,
        losses=losses,
    )


if __name__ == "__main__":
    main()
