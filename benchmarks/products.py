"""One layer's products in every engine: forward, and forward with both gradients.

``forward`` is ``y = x W^T``; ``training`` is that and, from dY, the gradients of x and
of W. Each engine holds the same weight and gets the same batch. The dense products
write into arrays that are there already, so that no page fault is counted as theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks import harness, peers

OURS, BLAS, SCIPY = "sparsenn", "OpenBLAS", "SciPy CSR"
FORWARD, TRAINING = "forward", "forward + dX + dW"
#: Floating-point operations for each connection and sample.
FLOPS = {FORWARD: 2, TRAINING: 6}
PEERS = {
    "PyTorch dense": peers.dense_layer,
    "torch CSR": peers.csr_layer,
    "SparseLab": peers.sparselab_layer,
    "SparseProp": peers.sparseprop_layer,
}
ENGINES = (OURS, BLAS, SCIPY, *PEERS)
Run = Callable[[], Any]
HEADINGS = {
    "shape": "W",
    "density": "density",
    "batch": "batch",
    "product": "product",
    "name": "engine",
    "ms": "ms",
    "gflops": "GFLOP/s",
    "speedup": "sparsenn is times as fast",
}


@dataclass(frozen=True)
class Case:
    """A weight of `shape` (n_out, n_in) with `nnz` connections, and a batch."""

    shape: tuple[int, int]
    density: float
    batch: int

    @property
    def nnz(self) -> int:
        """Connections."""
        return round(self.density * self.shape[0] * self.shape[1])


def activation(
    rng: np.random.Generator, batch: int, n: int, real: str = "float32"
) -> np.ndarray:
    """Random activations as our kernels leave them: aligned, batch fastest."""
    size = batch * n * np.dtype(real).itemsize
    raw = np.empty(size + 64, np.uint8)
    start = -raw.ctypes.data % 64
    out = raw[start : start + size].view(real).reshape(n, batch)
    out[:] = rng.standard_normal((n, batch), dtype=real)
    return out.T


def ours(case: Case, layer: Any, x: np.ndarray, dy: np.ndarray) -> dict[str, Run]:
    """`nn.Linear` as a user calls it."""
    from sparsenn.autograd import Tensor, no_grad

    xs = Tensor(x, requires_grad=True)

    def forward() -> np.ndarray:
        with no_grad():
            return layer(xs).data

    def training() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        xs.grad = layer.weight.values.grad = None
        y = layer(xs)
        y.backward(dy)
        return y.data, xs.grad.data, layer.weight.values.grad.data

    return {FORWARD: forward, TRAINING: training}


def blas(case: Case, weight: Any, x: np.ndarray, dy: np.ndarray) -> dict[str, Run]:
    """NumPy's dense products on features x batch matrices."""
    w = weight.toarray()
    xt, dyt = np.ascontiguousarray(x.T), np.ascontiguousarray(dy.T)
    y, dx, dw = np.empty_like(dyt), np.empty_like(xt), np.empty_like(w)

    def forward() -> np.ndarray:
        return np.matmul(w, xt, out=y).T

    def training() -> tuple[np.ndarray, ...]:
        np.matmul(w, xt, out=y)
        np.matmul(w.T, dyt, out=dx)
        np.matmul(dyt, xt.T, out=dw)
        return y.T, dx.T, dw

    return {FORWARD: forward, TRAINING: training}


def scipy(case: Case, weight: Any, x: np.ndarray, dy: np.ndarray) -> dict[str, Run]:
    """SciPy's product; it has none for a gradient on a pattern."""
    xt = np.ascontiguousarray(x.T)
    return {FORWARD: lambda: (weight @ xt).T}


def peer(make: Any, weight: Any, x: np.ndarray, dy: np.ndarray) -> dict[str, Run]:
    """A PyTorch layer on a (batch, n_in) tensor as its users have it, batch-major."""
    import torch

    layer = make(weight, np.zeros(weight.shape[0], np.float32))
    xs = torch.from_numpy(np.ascontiguousarray(x)).requires_grad_()
    g = torch.from_numpy(np.ascontiguousarray(dy))

    def forward() -> np.ndarray:
        with torch.no_grad():
            return layer(xs).numpy()

    def training() -> tuple[np.ndarray, np.ndarray]:
        xs.grad = None
        layer.zero_grad()
        y = layer(xs)
        y.backward(g)
        return y.detach().numpy(), xs.grad.numpy()

    return {FORWARD: forward, TRAINING: training}


def runs(
    case: Case, engines: Sequence[str], threads: int
) -> tuple[dict[str, dict[str, Run]], dict[str, str]]:
    """Every engine's products, checked, and why others are not among them."""
    from sparsenn import nn
    from sparsenn.sparse import SparsePattern

    rng = np.random.default_rng(0)
    n_out, n_in = case.shape
    pattern = SparsePattern.random(case.shape, case.nnz, seed=0)
    layer = nn.Linear(n_in, n_out, pattern=pattern, bias=False, seed=0)
    weight = layer.weight.to_scipy()
    x, dy = activation(rng, case.batch, n_in), activation(rng, case.batch, n_out)
    made: dict[str, dict[str, Run]] = {}
    missing = {}
    for name in engines:
        if name == OURS:
            made[name] = ours(case, layer, x, dy)
        elif name == BLAS:
            made[name] = blas(case, weight, x, dy)
        elif name == SCIPY:
            made[name] = scipy(case, weight, x, dy)
        else:
            try:
                import torch

                torch.set_num_threads(threads)
                made[name] = peer(PEERS[name], weight, x, dy)
            except ImportError:
                missing[name] = "not installed"
    for name in list(made):
        try:
            check(weight, layer.weight.positions(), x, dy, name, made[name])
        except AssertionError:
            if name not in PEERS:
                raise
            missing[name] = "wrong results"
            del made[name]
    return made, missing


def check(
    weight: Any,
    positions: tuple[np.ndarray, np.ndarray],
    x: np.ndarray,
    dy: np.ndarray,
    name: str,
    products: dict[str, Run],
) -> None:
    """Raises unless an engine's results are those of float64, on some samples."""
    some, wide = slice(0, 4), weight.astype(np.float64)
    slots = np.linspace(0, len(positions[0]) - 1, 1000).astype(int)
    rows, cols = (p[slots] for p in positions)
    y = (wide @ x[some].T.astype(np.float64)).T
    dx = (wide.T @ dy[some].T.astype(np.float64)).T
    dw = np.einsum("bk,bk->k", dy[:, rows].astype(np.float64), x[:, cols])

    def same(what: str, got: np.ndarray, want: np.ndarray) -> None:
        bound = 1e-4 * (np.abs(want).max() + 1e-30)
        text = f"{name}: {what}"
        np.testing.assert_allclose(got, want, rtol=0, atol=bound, err_msg=text)

    same("y", products[FORWARD]()[some], y)
    if TRAINING in products:
        got = products[TRAINING]()
        same("y", got[0][some], y)
        same("dx", got[1][some], dx)
        if name == OURS:
            same("dw", got[2][slots], dw)
        elif name == BLAS:
            same("dw", got[2][rows, cols], dw)


def measure(
    case: Case,
    engines: Sequence[str],
    threads: int,
    rounds: int,
    products: Sequence[str] = (FORWARD, TRAINING),
) -> list[dict[str, object]]:
    """One row for each product and engine: time, speed, and how we compare with it."""
    made, missing = runs(case, engines, threads)
    key = harness.clock(threads)
    rows: list[dict[str, object]] = []
    for product in products:
        chosen = {n: p[product] for n, p in made.items() if product in p}
        timings = harness.measure(chosen, rounds)
        ms = {name: timing.row()[key] for name, timing in timings.items()}
        for name in engines:
            if name not in ms and name not in missing:
                continue
            row: dict[str, object] = {
                "shape": f"{case.shape[0]}x{case.shape[1]}",
                "density": case.density,
                "batch": case.batch,
                "product": product,
                "name": name,
                "ms": missing.get(name),
            }
            if name in ms:
                dense = name in (BLAS, "PyTorch dense")
                work = np.prod(case.shape) if dense else case.nnz
                row |= timings[name].row() | {"ms": ms[name]}
                row["gflops"] = 1e-6 * FLOPS[product] * case.batch * work / ms[name]
                if OURS in ms and name != OURS:
                    row["speedup"] = ms[name] / ms[OURS]
            rows.append(row)
    return rows


def start(threads: int) -> None:
    """Our number of threads, once the environment has the others'."""
    import sparsenn

    sparsenn.set_num_threads(threads)


def sweep(cases: Sequence[Case], title: str, options: Any) -> None:
    """Measure case after case and report."""
    start(options.threads)
    engines = options.only.split(",")
    rows = [
        row
        for case in cases
        for row in measure(case, engines, options.threads, options.rounds)
    ]
    harness.report(options, rows, HEADINGS, title)
