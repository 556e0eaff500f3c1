"""One sample, and small batches, through a layer frozen for them.

Beside the same layer in the order for training, dense BLAS (for one sample a
matrix-vector product), SciPy and PyTorch. What freezing costs is told in milliseconds
and in products of the frozen layer.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks import harness, machine

KERNEL, FROZEN = "the kernel alone", "sparsenn, frozen"
TRAINING = "sparsenn, not frozen"
BLAS = "OpenBLAS"
HEADINGS = {
    "shape": "W",
    "density": "density",
    "batch": "batch",
    "name": "engine",
    "ms": "ms",
    "gbytes": "GB/s of weights",
    "times": "times OpenBLAS",
    "speedup": "frozen is times as fast",
    "freeze_ms": "ms to freeze",
    "products": "that is products",
}


def runs(
    frozen: Any, plain: Any, batch: int, engines: Sequence[str], threads: int
) -> tuple[dict[str, Callable[[], Any]], list[str]]:
    """What is timed, and the PyTorch engines that are not installed."""
    import numpy as np

    from benchmarks import products
    from sparsenn import _core, no_grad

    rng = np.random.default_rng(0)
    n_out, n_in = frozen.weight.shape
    x, dy = (products.activation(rng, batch, n) for n in (n_in, n_out))
    weight = frozen.weight.to_scipy()
    w, xt = weight.toarray(), np.ascontiguousarray(x.T)
    if batch == 1:
        xt = xt[:, 0]
    layout, values = frozen.weight.pattern.layout, frozen.weight.values.data
    bias = frozen.bias.data

    def plain_forward() -> Any:
        with no_grad():
            return plain(x).data

    made: dict[str, Callable[[], Any]] = {
        KERNEL: lambda: _core.spmm(layout, values, x, bias),
        FROZEN: lambda: frozen(x).data,
        TRAINING: plain_forward,
        BLAS: lambda: (w @ xt).T.reshape(batch, n_out),
        products.SCIPY: lambda: (weight @ xt).T.reshape(batch, n_out),
    }
    missing = []
    for name in engines:
        try:
            import torch

            torch.set_num_threads(threads)
            made[name] = products.peer(products.PEERS[name], weight, x, dy)["forward"]
        except ImportError:
            missing.append(name)
    exact = x.astype(np.float64) @ w.T.astype(np.float64)
    bound = 1e-4 * (np.abs(exact).max() + 1e-30)
    for name, run in made.items():
        np.testing.assert_allclose(run(), exact, rtol=0, atol=bound, err_msg=name)
    return made, missing


def freezing(layer: Any, batch: int, rounds: int) -> float:
    """Milliseconds of `freeze`; the least, since it fetches memory from the system."""
    times = []
    for _ in range(rounds):
        other = copy.deepcopy(layer)
        began = time.process_time()
        other.freeze(batch)
        times.append(time.process_time() - began)
    return 1e3 * min(times)


def measure(
    width: int,
    density: float,
    batches: Sequence[int],
    engines: Sequence[str],
    threads: int,
    rounds: int,
) -> list[dict[str, object]]:
    """One row for each batch size and engine."""
    from sparsenn import nn

    plain = nn.Linear(width, width, density, seed=0)
    rows: list[dict[str, object]] = []
    for batch in batches:
        frozen = copy.deepcopy(plain)
        frozen.freeze(batch)
        made, missing = runs(frozen, plain, batch, engines, threads)
        timings = harness.measure(made, rounds)
        key = harness.clock(threads)
        ms = {name: timing.row()[key] for name, timing in timings.items()}
        for name in (*made, *missing):
            row: dict[str, object] = {
                "shape": f"{width}x{width}",
                "density": density,
                "batch": batch,
                "name": name,
                "ms": "not installed",
            }
            if name in ms:
                row |= timings[name].row()
                row |= {"ms": ms[name], "times": ms[BLAS] / ms[name]}
                if name not in (KERNEL, FROZEN, TRAINING):
                    row["speedup"] = ms[name] / ms[FROZEN]
            if name in (KERNEL, FROZEN):
                row["gbytes"] = 1e-6 * frozen.weight.nbytes / ms[name]
            if name == FROZEN:
                row["freeze_ms"] = once = freezing(plain, batch, rounds)
                row["products"] = once / ms[name]
            rows.append(row)
    return rows


def main() -> None:
    """Parse the command line, check, time, report."""
    parser = harness.arguments(__doc__ or "")
    parser.add_argument("--width", type=int, default=4096)
    parser.add_argument("--densities", type=harness.numbers, default="0.1,0.02")
    parser.add_argument("--batches", type=harness.counts, default="1,2,3,4,8,16,32")
    parser.add_argument("--only", default="PyTorch dense,torch CSR", help="PyTorch's")
    parser.add_argument("--isa", help="instruction set (default: the best one here)")
    parser.add_argument("--rounds", type=int, default=7)
    options = harness.parse(parser, width=64, batches="1,3", rounds=1)
    machine.limit_threads(options.threads)
    import sparsenn
    from sparsenn import config

    sparsenn.set_num_threads(options.threads)
    if options.isa:
        config.set_isa(options.isa)
    rows = [
        row
        for density in options.densities
        for row in measure(
            options.width,
            density,
            options.batches,
            [name for name in options.only.split(",") if name],
            options.threads,
            options.rounds,
        )
    ]
    title = f"One sample and small batches, frozen: {options.width} x {options.width}"
    harness.report(options, rows, HEADINGS, title)


if __name__ == "__main__":
    main()
