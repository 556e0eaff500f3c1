"""LeNet-5-Caffe (430,500 weights) on MNIST with 2 % of its connections.

SNIP and SynFlow choose them before training; they then stay, or RigL goes on from
there. SGD with momentum 0.9, batches of 100, a cosine from 0.1, weight decay 5e-4.
Writes lenet5.md and .json.
"""

from __future__ import annotations

from typing import Any

from benchmarks.experiments import study

METHODS = ("synflow", "snip", "synflow, RigL", "snip, RigL", "dense")
DENSITY = 0.02
SEEDS = 3
EPOCHS = 10


def trial(data: str, method: str, seed: int, epochs: int) -> dict[str, Any]:
    """Trains one network."""
    from sparsenn import data as datasets
    from sparsenn import models, pruning
    from sparsenn import topology as topologies
    from sparsenn.nn import functional

    loaded = datasets.load(data)
    image = loaded.image
    if min(image[1:]) < 16:  # the embedded digits of the quick form
        model = models.vgg((8, 0, 16, 0), None, image=image, seed=seed)
    else:
        model = models.lenet5(None, image=image, caffe=True, seed=seed)
    density = DENSITY if data == "mnist" else 0.3
    start, _, after = method.partition(", ")
    if start == "snip":
        batch = study.batch(loaded, 1000, seed)
        pruning.snip(model, functional.cross_entropy, [batch], density, seed=seed)
    elif start == "synflow":
        pruning.synflow(model, density, rounds=100, seed=seed)

    def rigl(model: Any, optimizer: Any, steps_per_epoch: int) -> Any:
        return topologies.make(
            "rigl",
            model.parameters(),
            optimizer,
            steps_per_epoch=steps_per_epoch,
            total_steps=steps_per_epoch * epochs,
            density=density,
            seed=seed,
        )

    accuracy = study.train(
        model, loaded, epochs=epochs, lr=0.1, seed=seed, weight_decay=5e-4,
        topology=rigl if after else None,
    )  # fmt: skip
    found = [p for p in model.parameters() if hasattr(p, "nnz")]
    return {"accuracy": accuracy, "nnz": [p.nnz for p in found]}


def main() -> None:
    """Runs every trial, then writes the table."""
    given = study.options(__doc__ or "")
    data, seeds, epochs = ("digits", 1, 2) if given.quick else ("mnist", SEEDS, EPOCHS)
    rows = study.run_all(
        "lenet5",
        given,
        trial,
        [
            {"data": data, "method": method, "seed": seed, "epochs": epochs}
            for method in METHODS
            for seed in range(seeds)
        ],
    )
    lines = []
    for method in METHODS:
        found = [row for row in rows if row["method"] == method]
        error = study.percent(*study.interval(1 - row["accuracy"] for row in found))
        layers = " ".join(f"{n:,}" for n in found[0]["nnz"])
        lines.append([method, f"{sum(found[0]['nnz']):,}", layers, error])
    header = ("method", "connections", "of each layer, first seed", "test error")
    text = f"""# MNIST, LeNet-5-Caffe: test error in per cent

    python -m benchmarks.experiments lenet5

Means of {seeds} seeds with 95 % intervals by Student's t, {epochs} epochs. Pixels in
[0, 1], test error of the last epoch.

{study.table(header, lines)}
"""
    study.write("lenet5", given, text, rows)
