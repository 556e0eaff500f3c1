"""Building one very wide layer: seconds and bytes follow the connections.

`nn.Linear(1_000_000, 1_000_000, density=1e-6)`: a million connections where a dense
matrix would have 10^12. The peak is the growth of the process's resident memory while
the layer is built, everything temporary included.
"""

from __future__ import annotations

import resource
import sys

from benchmarks import harness, machine


def peak_bytes() -> int:
    """Largest resident size that the process has had."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def main() -> None:
    """Parse the command line, build, report."""
    parser = harness.arguments(__doc__ or "")
    parser.add_argument("--features", type=int, default=1_000_000)
    parser.add_argument("--density", type=float, default=1e-6)
    parser.add_argument("--rounds", type=int, default=5)
    options = harness.parse(parser, features=1000, density=1e-3, rounds=1)
    machine.limit_threads(options.threads)

    import sparsenn
    from sparsenn import nn

    sparsenn.set_num_threads(options.threads)
    nn.Linear(64, 64, density=0.1, seed=0)  # lazy imports are not the layer's
    before = peak_bytes()
    n = options.features
    layer = nn.Linear(n, n, density=options.density, seed=0)
    peak = peak_bytes() - before
    kept, nnz = layer.weight.nbytes + layer.bias.data.nbytes, layer.weight.nnz
    del layer

    runs = {"build": lambda: nn.Linear(n, n, density=options.density, seed=0)}
    timing = harness.interleave(runs, options.rounds)["build"].row()
    row = {
        "name": f"nn.Linear({n}, {n}, density={options.density:g})",
        "seconds": timing["wall_ms"] / 1e3,
        "peak_mb": peak / 1e6,
        "kept_mb": kept / 1e6,
        "bytes": peak / nnz,
        **timing,
    }
    headings = {
        "name": "layer",
        "seconds": "wall s",
        "peak_mb": "peak MB",
        "kept_mb": "kept MB",
        "bytes": "peak bytes a connection",
    }
    notes = [f"Resident before: {before / 1e6:.0f} MB, interpreter and imports."]
    harness.report(options, [row], headings, f"Building, {nnz} connections", notes)


if __name__ == "__main__":
    main()
