"""The products over a pattern beside the dense product that NumPy's BLAS computes.

One thread, processor time, turns taken in one process. The dense rival computes W X,
which is as much work as each of its two derivatives.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

from benchmarks import harness, machine

#: rows x columns @ density, as --case takes them
CASES = "1000x1000@0.04,1000x1000@0.1,4096x4096@0.2,4096x4096@0.1,4096x4096@0.02"
#: Products in one step of training: forward, dX, dW.
PRODUCTS = 3


def parse(case: str) -> tuple[int, int, float]:
    """Rows, columns and density of ``1000x784@0.04``."""
    try:
        size, density = case.split("@")
        rows, columns = size.split("x")
        return int(rows), int(columns), float(density)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{case!r} is not a case such as 1000x784@0.04"
        ) from None


def cases(text: str) -> list[tuple[int, int, float]]:
    """Several cases, separated by commas."""
    return [parse(case) for case in text.split(",")]


def runs(
    rows: int, columns: int, density: float, batch: int, real: str
) -> tuple[dict[str, Callable[[], object]], int, int]:
    """What is timed, the number of connections and the width of the column blocks."""
    import numpy as np

    from benchmarks.products import activation
    from sparsenn import _core
    from sparsenn.sparse import SparsePattern

    rng = np.random.default_rng(0)
    nnz = round(density * rows * columns)
    pattern = SparsePattern.random((rows, columns), nnz, seed=0)
    layout = pattern.layout
    assert layout is not None, "a full pattern is dense"
    values = rng.standard_normal(nnz).astype(real)
    bias = rng.standard_normal(rows).astype(real)
    x = activation(rng, batch, columns, real)
    dy = activation(rng, batch, rows, real)
    dense = rng.standard_normal((rows, columns)).astype(real)
    x_dense = np.ascontiguousarray(x.T)
    scipy = pattern.to_scipy(values)
    return (
        {
            "NumPy W @ X": lambda: dense @ x_dense,
            "SciPy csr @ X": lambda: scipy @ x_dense,
            "spmm, bias, ReLU": lambda: _core.spmm(layout, values, x, bias, 1),
            "spmm_t": lambda: _core.spmm_t(layout, values, dy),
            "sddmm": lambda: _core.sddmm(layout, dy, x),
            "spmm_backward": lambda: _core.spmm_backward(layout, values, dy, x),
        },
        nnz,
        layout.block_width,
    )


def measure(
    case: tuple[int, int, float], batch: int, real: str, rounds: int
) -> list[dict[str, object]]:
    """One row per product: milliseconds, GFLOP/s and how many times NumPy's speed."""
    rows, columns, density = case
    calls, nnz, width = runs(rows, columns, density, batch, real)
    timings = harness.measure(calls, rounds)
    ms = {name: timing.row()["cpu_ms"] for name, timing in timings.items()}
    ms["forward + backward"] = ms["spmm, bias, ReLU"] + ms["spmm_backward"]
    out: list[dict[str, object]] = []
    for name, time in ms.items():
        work = rows * columns if name.startswith("NumPy") else nnz
        products = {"spmm_backward": 2, "forward + backward": PRODUCTS}.get(name, 1)
        out.append(
            {
                "case": f"{rows}x{columns}@{density:g}",
                "batch": batch,
                "block": width,
                "product": name,
                "cpu_ms": time,
                "gflops": 2e-6 * batch * work * products / time,
                "times_dense": products * ms["NumPy W @ X"] / time,
            }
        )
    return out


HEADINGS = {
    "case": "W",
    "batch": "batch",
    "block": "block",
    "product": "product",
    "cpu_ms": "CPU ms",
    "gflops": "GFLOP/s",
    "times_dense": "times dense",
}


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """What the command line asks for."""
    parser = harness.arguments(__doc__ or "")
    parser.add_argument("--case", type=cases, default=CASES, metavar="RxC@DENSITY,...")
    parser.add_argument("--batch", type=harness.counts, default="128", metavar="N,...")
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    parser.add_argument("--isa", help="instruction set (default: the best one here)")
    parser.add_argument("--rounds", type=int, default=9, metavar="N")
    return harness.parse(parser, arguments, case="64x64@0.1", batch="8", rounds=1)


def main() -> None:
    """Measure every case at every batch size."""
    chosen = options()
    machine.limit_threads(chosen.threads)
    import sparsenn
    from sparsenn import config

    sparsenn.set_num_threads(chosen.threads)
    if chosen.isa:
        config.set_isa(chosen.isa)
    rows = [
        row
        for case in chosen.case
        for batch in chosen.batch
        for row in measure(case, batch, chosen.dtype, chosen.rounds)
    ]
    harness.report(chosen, rows, HEADINGS, f"kernels, {chosen.dtype}")


if __name__ == "__main__":
    main()
