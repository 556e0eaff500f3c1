"""One SET update of a wide sparse perceptron against its training step.

An update drops, grows, and carries values and momentum along. Whatever the first step
on the new pattern costs beyond a later one is counted as part of the update.
"""

from __future__ import annotations

import itertools

from benchmarks import harness, machine


def main() -> None:
    """Parse the command line, time, report."""
    parser = harness.arguments(__doc__.splitlines()[0])
    parser.add_argument("--arch", default="784-30000-30000-30000-10")
    parser.add_argument("--density", type=float, default=0.001818)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--fraction", type=float, default=0.3, help="to drop")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
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

    # In this order in every round: the step after the update is the first on it.
    parts = {
        "update": lambda: updater.update(options.fraction),
        "first step after": lambda: step(*next(feed)),
        "training step": lambda: step(*next(feed)),
    }
    timings = {name: harness.Timing() for name in parts}
    for _ in range(options.rounds):
        for name, run in parts.items():
            once = harness.interleave({name: run}, rounds=1)[name]
            timings[name].cpu += once.cpu
            timings[name].wall += once.wall
    key = "cpu_ms" if options.threads == 1 else "wall_ms"
    rows = harness.compare(timings, "training step", key)
    ms = {str(row["name"]): float(str(row[key])) for row in rows}
    extra = ms["update"] + ms["first step after"] - ms["training step"]
    cost = extra / ms["training step"]
    changes = [f"{c.dropped}/{c.grown}" for c in updater.last_changes]
    harness.report(
        options,
        rows,
        {**harness.TIMES, "name": "part", "ratio": "training steps"},
        f"SET update, {options.arch}, {task.nnz} connections, batch {options.batch}",
        [
            f"An update costs {cost:.2f} training steps, its after-effects included.",
            f"Dropped/grown by the last update: {', '.join(changes)}.",
        ],
        nnz=task.nnz,
        training_steps_per_update=cost,
    )


if __name__ == "__main__":
    main()
