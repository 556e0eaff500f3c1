"""What an update of each evolving method costs: training steps, and memory.

Each method evolves its own copy of one network. Whatever the first step on the new
pattern costs beyond a later one is counted as part of the update, and so is what the
backward pass does for it. Memory is NumPy's at its highest during the update, beyond
what there was before and after it, and what the method keeps between updates.
"""

from __future__ import annotations

import dataclasses
import gc
import itertools
import statistics
import time
import tracemalloc
from typing import Any

from benchmarks import harness, machine

# They have no updates apart from their steps.
EVERY_STEP = ("cs", "deepr")
HEADINGS = {
    "name": "method",
    "density": "density",
    "nnz": "connections",
    "step_ms": "step, ms",
    "update_ms": "update, ms",
    "steps": "training steps",
    "peak_mb": "memory of an update, MB",
    "weights_mb": "weights and state, MB",
}


def measure(name: str, sizes: list[int], density: float, options: Any) -> Any:
    """The row of a method."""
    import numpy as np

    from sparsenn import models, nn, optim, topology
    from sparsenn.sparse import SparseParameter

    recipe = topology.METHODS[name]
    assert recipe is not None
    model = models.mlp(sizes, recipe.start(density), seed=0)
    optimizer = optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    every = options.every
    topo = topology.make(
        name,
        model.parameters(),
        optimizer,
        steps_per_epoch=every,
        total_steps=every * (options.rounds + 3) * 4 // 3,
        density=density,
        every=every,
    )
    assert topo is not None
    if isinstance(topo.schedule, topology.Periodic):
        topo.schedule = dataclasses.replace(topo.schedule, doublings=())
    rng = np.random.default_rng(0)
    batches = [
        (
            np.asfortranarray(
                np.maximum(rng.standard_normal((options.batch, sizes[0])), 0),
                np.float32,
            ),
            rng.integers(0, sizes[-1], options.batch),
        )
        for _ in range(8)
    ]
    feed = itertools.cycle(batches)

    def step() -> tuple[float, bool]:
        """Seconds of a step, and whether the topology was updated in it."""
        x, y = next(feed)
        before = topo.updates
        gc.disable()
        start = time.perf_counter()
        topo.backward(nn.functional.cross_entropy(model(x), y))
        topo.step() or optimizer.step()
        optimizer.zero_grad()
        seconds = time.perf_counter() - start
        gc.enable()
        return seconds, topo.updates != before

    plain: list[float] = []
    updates: list[float] = []
    for _ in range(options.rounds):
        after = False
        for _ in range(every):
            seconds, changed = step()
            if changed:
                updates.append(seconds)
            elif after:
                updates[-1] += seconds
            else:
                plain.append(seconds)
            after = changed
    tracemalloc.start()
    peak = 0
    for _ in range(every + 1):
        base = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        if step()[1]:
            peak = tracemalloc.get_traced_memory()[1] - base
    tracemalloc.stop()
    weights = [p for p in model.parameters() if isinstance(p, SparseParameter)]
    kept = sum(
        p.nbytes + sum(a.nbytes for a in optimizer.state(p).values()) for p in weights
    )
    usual = statistics.median(plain)
    # An update is a step too, and so is the one after it: what they cost beyond that.
    apart = name not in EVERY_STEP
    update = statistics.median(updates) - 2 * usual if apart else 0.0
    return {
        "name": name,
        "density": density,
        "nnz": sum(p.nnz for p in weights),
        "step_ms": 1e3 * usual,
        "update_ms": 1e3 * update if apart else None,
        "steps": update / usual if apart else None,
        "peak_mb": peak / 1e6,
        "weights_mb": kept / 1e6,
    }


def main() -> None:
    """Parse the command line, time, report."""
    parser = harness.arguments(__doc__ or "")
    parser.add_argument("--arch", default="784-1000-1000-1000-10")
    parser.add_argument("--density", type=harness.numbers, default="0.04,0.01")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--every", type=int, default=10, help="steps between updates")
    parser.add_argument("--rounds", type=int, default=9)
    options = harness.parse(
        parser, arch="64-50-10", density="0.2", batch=8, every=3, rounds=2
    )
    machine.limit_threads(options.threads)

    from sparsenn import topology

    sizes = [int(n) for n in options.arch.split("-")]
    rows = [
        measure(name, sizes, density, options)
        for density in options.density
        for name, recipe in topology.METHODS.items()
        if recipe is not None
    ]
    harness.report(
        options,
        rows,
        HEADINGS,
        f"Updates of every method, {options.arch}, batch {options.batch}",
        [
            f"Here every method updates each {options.every} steps; its own interval "
            "divides the cost.",
            "gmp and granet are on their way from a denser start; cs and deepr change "
            "the topology in every step, which its time contains.",
        ],
    )


if __name__ == "__main__":
    main()
