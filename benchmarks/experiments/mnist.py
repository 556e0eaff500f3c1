"""LeNet-300-100 on MNIST: SNIP by its own recipe, and every evolving method.

SNIP: SGD with momentum 0.9, batches of 100, weight decay 5e-4, a learning rate of 0.1
that falls to a tenth every 25,000 iterations (Lee et al. 2019). The paper goes on to
250,000; here it ends at 100,000, where the rate falls below 1e-5. The others: 30 epochs
of a cosine from 0.2, weight decay 3e-4. Writes mnist.md and .json.
"""

from __future__ import annotations

from typing import Any

from benchmarks.experiments import study

SNIP = (0.05, 0.02)
DENSITIES = (0.1, 0.05, 0.02)
METHODS = ("static", "set", "dsr", "snfs", "rigl")
SEEDS = 3
EPOCHS = 30
ITERATIONS = 100_000


def trial(
    data: str, method: str, density: float, seed: int, epochs: int
) -> dict[str, Any]:
    """Trains one network."""
    from sparsenn import data as datasets
    from sparsenn import models, pruning
    from sparsenn import topology as topologies
    from sparsenn.nn import functional

    loaded = datasets.load(data)
    sizes = [loaded.n_features, 300, 100, 10]
    if method.startswith("snip"):
        paper = method == "snip"
        model = models.mlp(sizes, None, seed=seed)
        batch = study.batch(loaded, 100 if paper else 1000, seed)
        pruning.snip(model, functional.cross_entropy, [batch], density, seed=seed)
        recipe = (0.1, 5e-4, "paper") if paper else (0.2, 3e-4, "cosine")
        lr, weight_decay, decay = recipe
        accuracy = study.train(
            model, loaded, epochs=epochs, lr=lr, seed=seed, weight_decay=weight_decay,
            decay=decay,
        )  # fmt: skip
        return {"accuracy": accuracy}
    model = models.mlp(sizes, density, seed=seed)

    def topology(model: Any, optimizer: Any, steps_per_epoch: int) -> Any:
        return topologies.make(
            method,
            model.parameters(),
            optimizer,
            steps_per_epoch=steps_per_epoch,
            total_steps=steps_per_epoch * epochs,
            density=density,
            seed=seed,
        )

    accuracy = study.train(
        model, loaded, epochs=epochs, lr=0.2, seed=seed, weight_decay=3e-4,
        topology=topology,
    )  # fmt: skip
    return {"accuracy": accuracy}


def main() -> None:
    """Runs every trial, then writes the tables."""
    given = study.options(__doc__ or "")
    data, seeds, epochs = ("digits", 1, 2) if given.quick else ("mnist", SEEDS, EPOCHS)
    long = 2 if given.quick else round(ITERATIONS / 600)
    cosine = 2 if given.quick else 100
    cells = [("snip", d, long) for d in SNIP] + [("dense", 1.0, epochs)]
    cells += [("snip, cosine", d, cosine) for d in SNIP]
    cells += [(m, d, epochs) for d in DENSITIES for m in METHODS]
    rows = study.run_all(
        "mnist",
        given,
        trial,
        [
            {"data": data, "method": m, "density": d, "seed": s, "epochs": e}
            for m, d, e in cells
            for s in range(seeds)
        ],
    )

    def error(method: str, density: float) -> str:
        found = [
            1 - r["accuracy"]
            for r in rows
            if (r["method"], r["density"]) == (method, density)
        ]
        return study.percent(*study.interval(found))

    snip = [
        [f"{100 * d:g} %", error("snip", d), error("snip, cosine", d)] for d in SNIP
    ]
    lines = [["dense", *[error("dense", 1.0)] * len(DENSITIES)]]
    lines += [[m, *(error(m, d) for d in DENSITIES)] for m in METHODS]
    text = f"""# MNIST, LeNet-300-100: test error in per cent

    python -m benchmarks.experiments mnist

Means of {seeds} seeds with 95 % intervals by Student's t. Pixels in [0, 1], test error
of the last epoch.

## SNIP before training

{long} epochs of its paper's recipe, and {cosine} epochs of the other methods' recipe
with 1,000 samples to score.

{study.table(("density", "the paper's recipe", "cosine"), snip)}

## Evolving methods, {epochs} epochs

{study.table(("method", *(f"{100 * d:g} %" for d in DENSITIES)), lines)}
"""
    study.write("mnist", given, text, rows)
