"""Batch sizes from 1 to 1024: a layer at two densities, beside dense BLAS."""

from __future__ import annotations

from benchmarks import harness, machine

BATCHES = "1,2,4,8,16,32,64,128,256,512,1024"


def main() -> None:
    """Parse the command line, check, time, report."""
    parser = harness.arguments(__doc__ or "")
    parser.add_argument("--width", type=int, default=4096)
    parser.add_argument("--batches", type=harness.counts, default=BATCHES)
    parser.add_argument("--densities", type=harness.numbers, default="0.1,0.02")
    parser.add_argument("--only", default="sparsenn,OpenBLAS", help="engines")
    parser.add_argument("--rounds", type=int, default=5)
    options = harness.parse(parser, width=64, batches="1,3,32", rounds=1)
    machine.limit_threads(options.threads)
    from benchmarks import products

    cases = [
        products.Case((options.width, options.width), density, batch)
        for density in options.densities
        for batch in options.batches
    ]
    title = f"Batch size: {options.width} x {options.width}"
    products.sweep(cases, title, options)


if __name__ == "__main__":
    main()
