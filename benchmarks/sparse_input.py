"""The first layer on sparse batches: forward and weight gradient, sparse x sparse.

RCV1's 47,236 words into 1000 neurons, batches of CSR rows. Ours, with the weight stored
by column and with an index of its columns, beside the same batches made dense for the
ordinary kernels; making the batch ready is part of every step. Whole steps take SGD's
momentum to every connection, or lazily to those of the batch. All start from the same
weights, and must agree with SciPy in float64.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import harness, machine

STORED, INDEXED, DENSE = "sparse, by column", "sparse, index", "made dense"
SHARES = (1.0, 0.5, 0.25, 0.125)


def words(path: Path | None, features: int, rng: np.random.Generator) -> Any:
    """CSR rows of text: the file, else 4,096 rows of Zipf's law with RCV1's sizes."""
    from scipy import sparse

    if path is not None:
        return sparse.load_npz(path).tocsr()
    rank = np.arange(features) + 20.0
    share = 1 / rank / np.sum(1 / rank)
    rows = []
    for _ in range(4096):
        found = np.unique(rng.choice(features, 110, p=share))
        data = rng.random(len(found)) + 0.1
        data /= np.linalg.norm(data)
        rows.append((found, data))
    indptr = np.cumsum([0, *(len(f) for f, _ in rows)])
    indices = np.concatenate([f for f, _ in rows])
    data = np.concatenate([d for _, d in rows]).astype(np.float32)
    return sparse.csr_array((data, indices, indptr), shape=(len(rows), features))


def thinned(batch: Any, share: float, rng: np.random.Generator) -> Any:
    """The batch with a share of its nonzeros."""
    from scipy import sparse

    coo = batch.tocoo()
    keep = rng.random(coo.nnz) < share
    parts = coo.data[keep], (coo.row[keep], coo.col[keep])
    return sparse.csr_array(parts, shape=batch.shape)


def default_path() -> Path | None:
    """RCV1's file under $SPARSENN_DATA, if there is one."""
    path = Path(os.environ.get("SPARSENN_DATA", ".")) / "text" / "rcv1sub_X.npz"
    return path if path.exists() else None


def check(layer: Any, batch: Any, gradient: np.ndarray) -> None:
    """Raises unless forward and weight gradient equal SciPy's in float64."""
    weight = layer.weight.to_scipy().astype(np.float64)
    y = layer(batch)
    y.backward(gradient)
    wide = batch.astype(np.float64)
    np.testing.assert_allclose(y.data, (wide @ weight.T).toarray(), atol=1e-4)
    rows, cols = layer.weight.positions()
    want = np.zeros(layer.weight.nnz)
    columns = np.unique(batch.indices)
    place = np.full(batch.shape[1], -1)
    place[columns] = np.arange(len(columns))
    some = (wide[:, columns].T @ gradient.astype(np.float64)).T
    used = place[cols] >= 0
    want[used] = np.asarray(some)[rows[used], place[cols[used]]]
    np.testing.assert_allclose(layer.weight.grad.data, want, atol=1e-4)
    layer.weight.values.grad = None


def line(timings: Any, nonzeros: float, key: str) -> tuple[float, float]:
    """Milliseconds a nonzero, and without any, over the shares of the batch."""
    names = [STORED, *(f"{STORED}, {share:g} of the nonzeros" for share in SHARES[1:])]
    times = [timings[name].row()[key] for name in names]
    slope, constant = np.polyfit([share * nonzeros for share in SHARES], times, 1)
    return float(slope), float(constant)


def main() -> None:
    """Parse the command line, check, time, report."""
    parser = harness.arguments(__doc__ or "")
    parser.add_argument("--data", type=Path, default=default_path())
    parser.add_argument("--features", type=int, default=47_236, help="without --data")
    parser.add_argument("--neurons", type=int, default=1000)
    parser.add_argument("--density", type=float, default=0.05)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--repeat", type=int, default=20, help="steps a turn")
    options = harness.parse(
        parser, data=None, features=500, neurons=20, batch=8, rounds=1, repeat=1
    )
    machine.limit_threads(options.threads)

    import sparsenn
    from sparsenn import nn, optim

    sparsenn.set_num_threads(options.threads)
    rng = np.random.default_rng(0)
    x = words(options.data, options.features, rng)
    order = rng.permutation(x.shape[0])[: 16 * options.batch]
    batches = [x[rows] for rows in order.reshape(-1, options.batch)]
    shape = (options.neurons, options.batch)
    gradient = rng.standard_normal(shape, dtype=np.float32).T

    def layer(**how: Any) -> nn.Linear:
        n_in = x.shape[1]
        return nn.Linear(
            n_in, options.neurons, options.density, bias=False, seed=0, **how
        )

    layers = {STORED: layer(sparse_input=True), INDEXED: layer(), DENSE: layer()}
    for name in (STORED, INDEXED):
        check(layers[name], batches[0], gradient)

    def run(target: nn.Linear, batch: Any) -> None:
        target.weight.stored.grad = None
        target(batch).backward(gradient)

    def whole(lazy: bool) -> Callable[[Any], None]:
        moving = layer(sparse_input=True)
        optimizer = optim.SGD(moving.parameters(), lr=1e-6, momentum=0.9, lazy=lazy)

        def step(batch: Any) -> None:
            run(moving, batch)
            optimizer.step()

        return step

    def fed(step: Callable[[Any], None], share: float = 1.0) -> Callable[[], None]:
        feed = itertools.cycle([thinned(b, share, rng) for b in batches])
        return lambda: step(next(feed))

    runs = {
        name: fed(lambda b, t=layers[name]: run(t, b)) for name in (STORED, INDEXED)
    }
    runs[DENSE] = fed(lambda b: run(layers[DENSE], b.toarray(order="F")))
    runs[f"{STORED}, with SGD's momentum"] = fed(whole(False))
    runs[f"{STORED}, with lazy SGD's momentum"] = fed(whole(True))
    for share in SHARES[1:]:
        name = f"{STORED}, {share:g} of the nonzeros"
        runs[name] = fed(lambda b: run(layers[STORED], b), share)
    for go in runs.values():
        go()

    key = "cpu_ms" if options.threads == 1 else "wall_ms"
    timings = harness.interleave(runs, options.rounds, options.repeat)
    rows = harness.compare(timings, DENSE, key)
    for row in rows:
        row["times"] = 1 / row["ratio"]  # type: ignore[operator]
    weight = layers[STORED].weight
    nonzeros = sum(b.nnz for b in batches) / len(batches)
    slope, constant = line(timings, nonzeros, key)
    harness.report(
        options,
        rows,
        {**harness.TIMES, "times": "times as fast as dense"},
        f"First layer, forward and weight gradient, {x.shape[1]}-{options.neurons}, "
        f"{weight.nnz} connections, batch {options.batch}",
        [
            f"{nonzeros:.0f} nonzeros a batch: {constant:.3g} ms and "
            f"{1e4 * slope:.3g} ms for every 10,000; positions take "
            f"{weight.pattern.nbytes / 1e6:.3g} MB stored by column, "
            f"{layers[INDEXED].weight.pattern.nbytes / 1e6:.3g} MB with an index."
        ],
    )


if __name__ == "__main__":
    main()
