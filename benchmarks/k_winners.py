"""Sparse activations: events against all connections, over densities and activity.

A square layer; of every sample the same fraction of features is active. Forward, and
both gradients, at the binding's calls: the walk over the events (with values stored by
column, and found through an index), the products of dense activations, and dense BLAS.
The choice that `ops.linear` makes is named, and what it costs against the faster path.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import harness, machine

HEADINGS = {
    "batch": "batch",
    "density": "weights",
    "active": "activations",
    "storage": "values",
    "events_ms": "events ms",
    "all_ms": "all ms",
    "events_back_ms": "events, both gradients ms",
    "all_back_ms": "all, both gradients ms",
    "winners_ms": "selection ms",
    "chosen": "chosen",
    "loss": "time / faster path",
    "chosen_back": "chosen, gradients",
    "loss_back": "time / faster path",
    "blas": "times as fast as dense BLAS",
}
SHARES = "0.2,0.1,0.05,0.02"
TURN = 1e-2  # seconds that a run takes in each round, about: short ones are repeated,
# often enough that the caches hold what they would in a loop of this run alone
STORAGE = {False: "by row, index", True: "by column"}


class Problem:
    """A layer and some batches with their events; runs take turns through them."""

    def __init__(
        self, n: int, batch: int, density: float, active: float, by_column: bool
    ) -> None:
        from sparsenn import _core
        from sparsenn.sparse import SparsePattern

        rng = np.random.default_rng(0)
        pattern = SparsePattern.random((n, n), round(density * n * n), seed=1)
        self.pattern = pattern.stored_by_column() if by_column else pattern
        self.index = self.pattern.column_index()
        self.values = rng.standard_normal(pattern.nnz, dtype=np.float32)
        self.bias = rng.standard_normal(n, dtype=np.float32)
        self.k = max(1, round(active * n))
        self.dy = rng.standard_normal((n, batch), dtype=np.float32).T
        self.raw, self.batches = [], []
        for _ in range(64 if batch == 1 else 3):
            x = rng.standard_normal((n, batch), dtype=np.float32).T
            events = _core.k_winners(x, self.k)
            self.raw.append(x)
            self.batches.append((events, _core.keep(events, x)))
        self.out = np.empty((n, batch), np.float32).T

    def check(self) -> None:
        """Raises unless both walks equal SciPy's products in float64."""
        from sparsenn import _core

        events, x = self.batches[0]
        w = self.pattern.to_scipy(self.values).astype(np.float64)
        y = _core.event_spmm(self.index, self.values, events, x, self.bias)
        want = (w @ x.T.astype(np.float64)).T + self.bias
        np.testing.assert_allclose(y, want, atol=1e-2)
        dx, dv = _core.event_backward(self.index, self.values, events, self.dy, x)
        mask = _core.keep(events, np.ones_like(x, order="F"))
        exact = (w.T @ self.dy.T.astype(np.float64)).T * mask
        np.testing.assert_allclose(dx, exact, atol=1e-2)
        rows, cols = (p[:1000] for p in self.pattern.positions())
        some = np.einsum("bk,bk->k", self.dy[:, rows], x[:, cols], dtype=np.float64)
        np.testing.assert_allclose(dv[:1000], some, atol=1e-2)

    def runs(self) -> dict[str, Callable[[], object]]:
        """The calls that are timed."""
        from sparsenn import _core
        from sparsenn.autograd.tensor import wrap
        from sparsenn.ops import sparse

        turn = itertools.cycle(self.batches)
        raw = itertools.cycle(self.raw)
        static: dict[str, Any] = {
            "pattern": self.pattern,
            "activation": 0,
            "factors": None,
        }
        values, dy = wrap(self.values), wrap(self.dy)

        def events() -> None:
            e, x = next(turn)
            _core.event_spmm(self.index, self.values, e, x, self.bias, 0, self.out)

        def events_back() -> None:
            e, x = next(turn)
            _core.event_backward(self.index, self.values, e, self.dy, x)

        def everything() -> None:
            x = next(turn)[1]
            if len(x) == 1:  # the layer leaves out the zeros of one sample by itself
                sparse.spmm_.forward(self.values, x, pattern=self.pattern)
            else:
                sparse.linear_.forward(self.values, x, self.bias, **static)

        def all_back() -> None:
            x = wrap(next(turn)[1])
            sparse.linear_backward(values, dy, x, (True, True), self.pattern, None)

        return {
            "events": events,
            "all": everything,
            "events_back": events_back,
            "all_back": all_back,
            "winners": lambda: _core.k_winners(next(raw), self.k),
        }


def blas(n: int, batch: int, rounds: int) -> float:
    """Seconds of dense BLAS on one thread for the same layer; the least of rounds."""
    from sparsenn.blas import one_thread

    rng = np.random.default_rng(0)
    w = rng.standard_normal((n, n), dtype=np.float32)
    x = rng.standard_normal((n, batch), dtype=np.float32)
    with one_thread():
        (timing,) = harness.interleave({"blas": lambda: w @ x}, rounds).values()
    return min(timing.cpu)


def repeated(run: Callable[[], object], times: int) -> Callable[[], None]:
    """The run so often."""

    def whole() -> None:
        for _ in range(times):
            run()

    return whole


def measure(p: Problem, rounds: int) -> dict[str, Any]:
    """Least milliseconds of each run, which a busy machine disturbs least."""
    runs = p.runs()
    for run in runs.values():
        run()
    once = harness.interleave(runs, 2)
    times = {
        name: max(1, int(TURN / max(min(t.cpu), 1e-6))) for name, t in once.items()
    }
    turns = {name: repeated(run, times[name]) for name, run in runs.items()}
    timings = harness.interleave(turns, rounds)
    return {f"{name}_ms": 1e3 * min(t.cpu) / times[name] for name, t in timings.items()}


def choose(row: dict[str, Any], p: Problem, batch: int) -> None:
    """What `ops.linear` would do, and what that costs against the faster path."""
    from sparsenn.ops.event_choice import backward_by_events, forward_by_events

    count = p.batches[0][0].count
    for suffix, by_events in (("", forward_by_events), ("_back", backward_by_events)):
        chosen = "events" if by_events(p.pattern, batch, count, 4) else "all"
        fastest = min(row[f"events{suffix}_ms"], row[f"all{suffix}_ms"])
        row[f"chosen{suffix}"] = chosen
        row[f"loss{suffix}"] = row[f"{chosen}{suffix}_ms"] / fastest


def main() -> None:
    """Parse the command line, check, time, report."""
    parser = harness.arguments((__doc__ or "").splitlines()[0])
    parser.add_argument("--width", type=int, default=4096)
    parser.add_argument("--batches", type=harness.counts, default="1,8,64")
    parser.add_argument("--densities", type=harness.numbers, default=SHARES)
    parser.add_argument("--active", type=harness.numbers, default=SHARES)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--storage", choices=("both", "column", "row"), default="both")
    options = harness.parse(
        parser, width=64, batches="1,8", densities="0.1", active="0.1", rounds=1
    )
    machine.limit_threads(options.threads)
    import sparsenn

    sparsenn.set_num_threads(options.threads)
    storages = {"both": (True, False), "column": (True,), "row": (False,)}
    rows = []
    for batch in options.batches:
        dense = blas(options.width, batch, options.rounds)
        for density, active, by_column in itertools.product(
            options.densities, options.active, storages[options.storage]
        ):
            p = Problem(options.width, batch, density, active, by_column)
            p.check()
            row: dict[str, Any] = {"batch": batch, "density": density}
            row |= {"active": active, "storage": STORAGE[by_column]}
            row |= measure(p, options.rounds)
            choose(row, p, batch)
            row["blas"] = 1e3 * dense / row[f"{row['chosen']}_ms"]
            rows.append(row)
    harness.report(
        options,
        rows,
        HEADINGS,
        f"Sparse activations and weights, {options.width} x {options.width}",
        ["Least processor time of a call; batches change from call to call."],
    )


if __name__ == "__main__":
    main()
