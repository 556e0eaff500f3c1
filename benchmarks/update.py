"""One SET update of a wide sparse perceptron against its training step.

An update drops, grows, and carries values and momentum along. Whatever the first step
on the new pattern costs beyond a later one is counted as part of the update.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from benchmarks import harness, machine

UPDATE, AFTER, STEP = "update", "first step after", "training step"


def timings(
    update: Callable[[], Any], step: Callable[[], Any], rounds: int
) -> dict[str, harness.Timing]:
    """Update, first step on the new pattern, ordinary step, in that order."""
    found = {name: harness.Timing() for name in (UPDATE, AFTER, STEP)}
    for _ in range(rounds):
        for name, run in zip(found, (update, step, step), strict=True):
            once = harness.interleave({name: run}, rounds=1)[name]
            found[name].cpu += once.cpu
            found[name].wall += once.wall
    return found


def cost(ms: dict[str, float]) -> float:
    """Training steps that an update costs, its after-effects included."""
    return (ms[UPDATE] + ms[AFTER] - ms[STEP]) / ms[STEP]


def main() -> None:
    """Parse the command line, time, report."""
    parser = harness.arguments(__doc__ or "")
    parser.add_argument("--arch", default="784-30000-30000-30000-10")
    parser.add_argument("--density", type=float, default=0.001818)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--fraction", type=float, default=0.3, help="to drop")
    parser.add_argument("--rounds", type=int, default=7)
    options = harness.parse(parser, arch="64-100-10", density=0.2, batch=8, rounds=1)
    machine.limit_threads(options.threads)

    from benchmarks import ours
    from benchmarks.problem import problem
    from sparsenn import topology

    sizes = [int(n) for n in options.arch.split("-")]
    task = problem(sizes, options.density, options.batch, n_batches=8)
    model, optimizer, step = ours.train(task, options.threads)
    updater = topology.SET(model.parameters(), optimizer, seed=0)
    feed = itertools.cycle(task.batches)
    for _ in range(3):
        step(*next(feed))
    found = timings(
        lambda: updater.update(options.fraction),
        lambda: step(*next(feed)),
        options.rounds,
    )
    key = harness.clock(options.threads)
    rows = harness.compare(found, STEP, key)
    steps = cost({name: timing.row()[key] for name, timing in found.items()})
    changes = [f"{c.dropped}/{c.grown}" for c in updater.last_changes]
    harness.report(
        options,
        rows,
        {**harness.TIMES, "name": "part", "ratio": "training steps"},
        f"SET update, {options.arch}, {task.nnz} connections, batch {options.batch}",
        [
            f"An update costs {steps:.2f} training steps, its after-effects included.",
            f"Dropped/grown by the last update: {', '.join(changes)}.",
        ],
        nnz=task.nnz,
        training_steps_per_update=steps,
    )


if __name__ == "__main__":
    main()
