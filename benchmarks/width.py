"""Widths from 256 to 16,384: square layers at two densities, beside dense BLAS."""

from __future__ import annotations

from benchmarks import harness, machine

WIDTHS = "256,512,1024,2048,4096,8192,16384"


def main() -> None:
    """Parse the command line, check, time, report."""
    parser = harness.arguments(__doc__ or "")
    parser.add_argument("--widths", type=harness.counts, default=WIDTHS)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--densities", type=harness.numbers, default="0.1,0.02")
    parser.add_argument("--only", default="sparsenn,OpenBLAS", help="engines")
    parser.add_argument("--rounds", type=int, default=3)
    options = harness.parse(parser, widths="32,64", batch=8, rounds=1)
    machine.limit_threads(options.threads)
    from benchmarks import products

    cases = [
        products.Case((width, width), density, options.batch)
        for density in options.densities
        for width in options.widths
    ]
    title = f"Width of a square layer, batch {options.batch}"
    products.sweep(cases, title, options)


if __name__ == "__main__":
    main()
