"""A convolution: forward and both gradients, beside PyTorch's dense one.

3 x 3 kernels at stride 1 with a margin of 1. `nn.Conv2d` as its users call it on images
(batch, channels, height, width); each engine has the memory order that it likes best.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import harness, machine

OURS, DENSE, FULL, PEER = "sparsenn", "PyTorch dense", "sparsenn full", "SparseProp"
HEADINGS = {
    "layer": "channels, pixels",
    "density": "density",
    "name": "engine",
    "cpu_ms": "CPU ms",
    "cpu_ms_min": "least",
    "gflops": "GFLOP/s",
    "speedup": "sparsenn is times as fast",
}
Run = Callable[[], tuple[np.ndarray, np.ndarray, np.ndarray | None]]


def ours(weight: np.ndarray, x: np.ndarray, dy: np.ndarray) -> Run:
    """`nn.Conv2d` with the pattern of a weight (n_out, n_in, 3, 3)."""
    from sparsenn import nn
    from sparsenn.autograd import Tensor
    from sparsenn.autograd.array import as_order
    from sparsenn.sparse import SparsePattern

    n_out, n_in = weight.shape[:2]
    flat = weight.reshape(n_out, -1)
    pattern = SparsePattern.from_mask(flat != 0)
    layer = nn.Conv2d(n_in, n_out, 3, padding=1, bias=False, pattern=pattern, seed=0)
    values = flat[pattern.positions()]
    layer.weight.values.data[...] = values
    xs = Tensor(as_order(x, True), requires_grad=True)
    g = Tensor(as_order(dy, True))  # made once, as PyTorch's is

    def run() -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        xs.grad = layer.weight.values.grad = None
        y = layer(xs)
        y.backward(g)
        dense = np.zeros_like(flat)
        if check:
            dense[pattern.positions()] = layer.weight.values.grad.data
        return y.data, xs.grad.data, dense.reshape(weight.shape) if check else None

    check = True
    run()
    check = False
    return run


def torch_run(layer: Any, x: np.ndarray, dy: np.ndarray, dense: bool) -> Run:
    """A PyTorch module."""
    import torch

    xs = torch.from_numpy(x.copy()).requires_grad_()
    g = torch.from_numpy(dy.copy())

    def run() -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        xs.grad = None
        layer.zero_grad()
        y = layer(xs)
        y.backward(g)
        dw = layer.weight.grad.numpy() if dense else None
        return y.detach().numpy(), xs.grad.numpy(), dw

    return run


def engines(
    weight: np.ndarray, x: np.ndarray, dy: np.ndarray, threads: int
) -> tuple[dict[str, Run], list[str]]:
    """Every engine's step, and the names of those not installed."""
    full = np.where(weight == 0, np.float32(1e-3), weight)
    made: dict[str, Run] = {OURS: ours(weight, x, dy), FULL: ours(full, x, dy)}
    missing = []
    try:
        import torch

        torch.set_num_threads(threads)
        n_out, n_in = weight.shape[:2]
        layer = torch.nn.Conv2d(n_in, n_out, 3, padding=1, bias=False)
        layer.weight.data = torch.from_numpy(weight.copy())
        made[DENSE] = torch_run(layer, x, dy, True)
    except ImportError:
        return made, [DENSE, PEER]
    try:
        from sparseprop.modules import SparseConv2d

        layer.bias = torch.nn.Parameter(torch.zeros(n_out))
        sparse = SparseConv2d.from_dense(layer, vectorizing_over_on=False)
        layer.bias = None
        made[PEER] = torch_run(sparse, x, dy, False)
    except ImportError:
        missing.append(PEER)
    return made, missing


def check(made: dict[str, Run], weight: np.ndarray) -> None:
    """Raises unless every engine gives what ours does, ours what PyTorch's does."""
    y, dx, _ = made[OURS]()
    for name, run in made.items():
        if name == FULL:
            continue
        for mine, other in zip((y, dx), run()[:2], strict=True):
            bound = 1e-4 * float(np.abs(mine).max())
            np.testing.assert_allclose(other, mine, atol=bound, rtol=0, err_msg=name)


def main() -> None:
    """Parse the command line, check, time, report."""
    parser = harness.arguments(__doc__ or "")
    parser.add_argument("--layers", default="64x16,128x28", help="channels x pixels")
    parser.add_argument("--densities", type=harness.numbers, default="0.2,0.1,0.05")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=9)
    options = harness.parse(parser, layers="8x8", batch=8, rounds=1)
    machine.limit_threads(options.threads)
    import sparsenn

    sparsenn.set_num_threads(options.threads)
    rows: list[dict[str, object]] = []
    for name in options.layers.split(","):
        channels, size = map(int, name.split("x"))
        for density in options.densities:
            rng = np.random.default_rng(0)
            shape = (channels, channels, 3, 3)
            weight = rng.standard_normal(shape, np.float32) / np.float32(channels)
            weight[rng.random(shape) >= density] = 0
            images = (options.batch, channels, size, size)
            x = rng.standard_normal(images, np.float32)
            dy = rng.standard_normal(images, np.float32)
            made, missing = engines(weight, x, dy, options.threads)
            check(made, weight)
            timings = harness.measure(made, options.rounds)
            key = harness.clock(options.threads)
            mine = timings[OURS].row()[key]
            for engine in (OURS, FULL, DENSE, PEER):
                row: dict[str, object] = {
                    "layer": f"{channels}, {size} x {size}",
                    "density": density,
                    "name": engine,
                }
                if engine in missing:
                    row["cpu_ms"] = "not installed"
                else:
                    times = timings[engine].row()
                    nnz = (weight != 0).sum() if engine in (OURS, PEER) else weight.size
                    work = 6e-6 * float(nnz) * size * size * options.batch
                    row |= times | {"gflops": work / times[key]}
                    if engine != OURS:
                        row["speedup"] = times[key] / mine
                rows.append(row)
    harness.report(
        options,
        rows,
        HEADINGS,
        f"Convolution: 3 x 3, forward + dX + dW, batch {options.batch}",
    )


if __name__ == "__main__":
    main()
