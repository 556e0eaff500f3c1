"""Layer collapse: accuracy against compression, LeNet-300-100 pruned before training.

One-shot magnitude and SNIP empty a layer at high compression; SynFlow keeps a path from
input to output (Tanaka et al. 2020). Writes collapse.md, .json and .png.
"""

from __future__ import annotations

from typing import Any

from benchmarks.experiments import study

DENSITIES = (0.1, 0.03, 0.01, 0.005, 0.003, 0.002, 0.001)
METHODS = ("random", "magnitude", "snip", "grasp", "synflow")
SEEDS = 3


def trial(data: str, method: str, density: float, seed: int, epochs: int) -> Any:
    """Prunes, trains, and gives what is left and what it reaches."""
    from sparsenn import data as datasets
    from sparsenn import models, pruning
    from sparsenn.nn import functional

    loaded = datasets.load(data)
    model = models.mlp([loaded.n_features, 300, 100, 10], seed=seed)
    loss = functional.cross_entropy
    drawn: dict[str, Any] = {"values": "redraw", "seed": seed}
    if method in ("snip", "grasp"):
        batch = study.batch(loaded, 100, seed)
        getattr(pruning, method)(model, loss, [batch], density, **drawn)
    else:
        getattr(pruning, method)(model, density, **drawn)
    found = pruning.effective(model)
    collapsed = bool(pruning.collapsed(model))
    accuracy = study.train(model, loaded, epochs=epochs, lr=0.02, seed=seed)
    return {
        "accuracy": accuracy,
        "nnz": [layer.nnz for layer in found.layers],
        "effective": sum(layer.effective for layer in found.layers),
        "collapsed": collapsed,
    }


def main() -> None:
    """Runs every trial, then writes table and figure."""
    given = study.options(__doc__ or "")
    data, seeds, epochs = ("digits", 1, 2) if given.quick else ("mnist", SEEDS, 10)
    densities = DENSITIES[::3] if given.quick else DENSITIES
    cells = [
        {"data": data, "method": m, "density": d, "seed": s, "epochs": epochs}
        for d in densities
        for m in METHODS
        for s in range(seeds)
    ]
    rows = study.run_all("collapse", given, trial, cells)
    lines, curves = [], {}
    for method in METHODS:
        points = []
        for density in densities:
            mine = [r for r in rows if (r["method"], r["density"]) == (method, density)]
            mean, half = study.interval(r["accuracy"] for r in mine)
            points.append((mean, half))
            lines.append(
                [
                    method,
                    f"{density:g}",
                    study.percent(mean, half),
                    "; ".join("-".join(map(str, r["nnz"])) for r in mine),
                    ", ".join(str(r["effective"]) for r in mine),
                    f"{sum(r['collapsed'] for r in mine)} of {len(mine)}",
                ]
            )
        curves[method] = points
    header = ("start", "density", "accuracy, %", "connections of the layers",
              "on a path", "collapsed")  # fmt: skip
    text = f"""# Layer collapse, {data}, LeNet-300-100

    python -m benchmarks.experiments collapse

Pruned before training, in one shot but for SynFlow's 100 rounds; then {epochs} epochs
of SGD at a rate of 0.02 from values drawn for what is left. Means of {seeds} seeds with
95 % intervals.

![Accuracy against compression](collapse.png)

{study.table(header, lines)}
"""
    study.write("collapse", given, text, rows)
    study.draw(
        given.out / "collapse.png",
        [1 / d for d in densities],
        curves,
        xlabel="compression (positions over connections)",
        title=f"Layer collapse: LeNet-300-100 on {data}",
    )
