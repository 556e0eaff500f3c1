"""Forward, and forward with both gradients, from density 0.001 to 1; the break-even.

A 4096 x 4096 layer, batch 128, beside dense BLAS, SciPy and the other engines. One that
has become twice as slow as dense BLAS is not asked to go on.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from benchmarks import harness, machine

DENSITIES = "0.001,0.002,0.005,0.01,0.02,0.05,0.1,0.2,0.3,0.5,0.65,0.8,1"
HOPELESS = 2.0


def break_even(points: Sequence[tuple[float, float]]) -> float | None:
    """Density at which a speed-up falls to 1, between points; None if it never does.

    `points` are (density, speed-up) in ascending order of density; the crossing is
    found on the straight line between the logarithms of two of them.
    """
    for (d0, s0), (d1, s1) in itertools.pairwise(points):
        if s0 >= 1 > s1:
            share = math.log(s0) / (math.log(s0) - math.log(s1))
            return math.exp(math.log(d0) + share * (math.log(d1) - math.log(d0)))
    return None


def main() -> None:
    """Parse the command line, check, time, report."""
    parser = harness.arguments(__doc__ or "")
    parser.add_argument("--width", type=int, default=4096)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--densities", type=harness.numbers, default=DENSITIES)
    parser.add_argument("--only", help="comma-separated names of engines")
    parser.add_argument("--rounds", type=int, default=5)
    options = harness.parse(parser, width=64, batch=8, densities="0.1,0.5,1", rounds=1)
    machine.limit_threads(options.threads)
    from benchmarks import products

    products.start(options.threads)
    engines = options.only.split(",") if options.only else list(products.ENGINES)
    rows: list[dict[str, object]] = []
    for density in sorted(options.densities):
        case = products.Case((options.width,) * 2, density, options.batch)
        new = products.measure(case, engines, options.threads, options.rounds)
        rows += new
        speeds = {str(r["name"]): float(str(r["ms"])) for r in new if "cpu_ms" in r}
        limit = HOPELESS * speeds.get(products.BLAS, math.inf)
        always = (products.OURS, products.BLAS)
        engines = [e for e in engines if e in always or speeds.get(e, 0) <= limit]
    found = {
        product: break_even(
            [
                (float(str(r["density"])), float(str(r["speedup"])))
                for r in rows
                if (r["name"], r["product"]) == (products.BLAS, product)
                and float(str(r["density"])) < 1
            ]
        )
        for product in (products.FORWARD, products.TRAINING)
    }
    notes = [
        f"{product}: "
        + (
            f"as fast as dense BLAS at density {at:.2f}."
            if at
            else "no break-even among these densities below 1."
        )
        for product, at in found.items()
    ]
    harness.report(
        options,
        rows,
        products.HEADINGS,
        f"Density: {options.width} x {options.width}, batch {options.batch}",
        notes,
        break_even=found,
    )


if __name__ == "__main__":
    main()
