"""What evolving costs: a SET update and growth by gradient, in training steps.

Growth searches the gradient of a whole layer, which is never stored, for its largest
entries outside the pattern; it needs the products dY^T X of every sparse layer, and is
held against those products alone, on dense BLAS, too.
"""

from __future__ import annotations

import itertools
from typing import Any

from benchmarks import harness, machine, update

HEADINGS = {
    "density": "density",
    "nnz": "connections",
    "name": "part",
    "ms": "ms",
    "steps": "training steps",
    "gemms": "times the products",
}


SET = "update of SET"
GRADIENT = "update that grows by gradient"
GROWTH = "its search of the gradient"
PRODUCTS = "the products that this needs, dense BLAS"


class ByGradient:
    """Grows where the gradient of one batch is largest (RigL, SNFS)."""

    regrow = revive = False
    window = 0  # the factors are those given here

    def __init__(self, sums: dict[int, Any]) -> None:
        self.sums = sums

    def __call__(self, layer: Any, keep: Any, count: int) -> Any:
        """CSR (indptr, indices) of `count` positions outside the pattern."""
        return self.sums[id(layer.param)].largest_outside(layer.pattern, count)


def checked(total: Any, pattern: Any, k: int) -> None:
    """Raises unless the positions grown are the largest free ones, in float64."""
    import numpy as np

    (dy, x), *_ = total.factors
    exact = np.abs(dy.T.astype(np.float64) @ x)
    exact[pattern.positions()] = -1
    indptr, indices = total.largest_outside(pattern, k)
    rows = np.repeat(np.arange(exact.shape[0]), np.diff(indptr))
    got = np.sort(exact[rows, indices])
    want = np.sort(np.partition(exact.ravel(), exact.size - k)[exact.size - k :])
    np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-6 * want.max())


def measure(
    sizes: list[int], density: float, batch: int, fraction: float, options: Any
) -> list[dict[str, object]]:
    """Rows of one density: step, SET update, growth, and the products it needs."""
    import numpy as np

    from benchmarks import ours
    from benchmarks.problem import problem
    from sparsenn import topology
    from sparsenn.ops import OuterSum
    from sparsenn.sparse import SparseParameter

    task = problem(sizes, density, batch, n_batches=8)
    model, optimizer, step = ours.train(task, options.threads)
    feed = itertools.cycle(task.batches)
    sparse = [
        p
        for p in model.parameters()
        if isinstance(p, SparseParameter) and not p.pattern.is_full
    ]
    for p in sparse:
        p.factors = []
    step(*next(feed))
    sums = [OuterSum(p.factors) for p in sparse]
    for p in sparse:
        p.factors = None
    tasks = [
        (t, p.pattern, int(fraction * p.nnz)) for t, p in zip(sums, sparse, strict=True)
    ]
    checked(*tasks[-1])
    pairs = []
    for total in sums:
        dy, x = total.factors[0]
        out = np.empty(total.shape, np.float32)
        pairs.append((np.ascontiguousarray(dy.T), np.asarray(x), out))

    def grow() -> None:
        for total, pattern, k in tasks:
            total.largest_outside(pattern, k)

    def products() -> None:
        for dy, x, out in pairs:
            np.matmul(dy, x, out=out)

    grow(), products()
    growth = harness.interleave({"growth": grow, "products": products}, options.rounds)
    key = harness.clock(options.threads)
    ms = {name: timing.row()[key] for name, timing in growth.items()}
    rows: list[dict[str, object]] = []

    def row(name: str, **other: object) -> None:
        rows.append({"density": density, "nnz": task.nnz, "name": name, **other})

    by_parameter = {id(p): total for p, total in zip(sparse, sums, strict=True)}
    by_gradient = topology.TopologyUpdater(
        model.parameters(),
        optimizer,
        drop=topology.drop.magnitude,
        grow=ByGradient(by_parameter),
        schedule=lambda step: None,
    )
    updaters = {
        SET: topology.SET(model.parameters(), optimizer, seed=0),
        GRADIENT: by_gradient,
    }
    for name, updater in updaters.items():
        found = update.timings(
            lambda updater=updater: updater.update(fraction),
            lambda: step(*next(feed)),
            options.rounds,
        )
        part = {n: t.row()[key] for n, t in found.items()}
        if not rows:
            row(update.STEP, ms=part[update.STEP], steps=1.0)
        steps = update.cost(part)
        row(name, ms=steps * part[update.STEP], steps=steps)
    row(PRODUCTS, ms=ms["products"], gemms=1.0)
    row(GROWTH, ms=ms["growth"], gemms=ms["growth"] / ms["products"])
    return rows


def main() -> None:
    """Parse the command line, check, time, report."""
    parser = harness.arguments(__doc__ or "")
    parser.add_argument("--arch", default="3072-4000-1000-4000-10")
    parser.add_argument("--density", type=harness.numbers, default="0.1,0.05,0.02")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--fraction", type=float, default=0.3, help="to replace")
    parser.add_argument("--rounds", type=int, default=7)
    options = harness.parse(parser, arch="64-100-10", density="0.2", batch=8, rounds=1)
    machine.limit_threads(options.threads)

    sizes = [int(n) for n in options.arch.split("-")]
    rows = [
        row
        for density in options.density
        for row in measure(sizes, density, options.batch, options.fraction, options)
    ]
    harness.report(
        options,
        rows,
        HEADINGS,
        f"Evolving {options.arch}, batch {options.batch}, "
        f"{options.fraction:g} of the connections replaced",
        ["Updates include what the first step on a new pattern costs more."],
    )


if __name__ == "__main__":
    main()
