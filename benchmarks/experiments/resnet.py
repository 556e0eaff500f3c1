"""ResNet-20 on CIFAR-10 (a copy of JPEG images), RigL at 10 % beside its dense twin.

SGD with momentum 0.9, batches of 128, a cosine from 0.1, weight decay
1e-4, mirror images and crops, channels standardised; ERK, RigL with its defaults. Then
one block of the sparse network at a time is pruned without training it again: the
heatmap. Writes resnet.md, .json and two pictures.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from benchmarks.experiments import study

DENSITY = 0.1
EPOCHS = 8
SPARSITIES = (0.0, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95)
PRUNED_ON = 2000  # samples of the test part that the heatmap is measured on


def trial(data: str, method: str, seed: int, epochs: int) -> dict[str, Any]:
    """Trains one network; of the sparse one also the heatmap."""
    from sparsenn import data as datasets
    from sparsenn import models, optim, pruning, train
    from sparsenn import topology as topologies

    loaded = datasets.load(data)
    depth = 20 if data == "cifar10-jpeg" else 8
    density = 1.0 if method == "dense" else DENSITY
    model = models.resnet(depth, density, image=loaded.image, seed=seed)
    steps_per_epoch = -(-len(loaded.y_train) // 128)
    total = steps_per_epoch * epochs
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    topology = None
    if method != "dense":
        topology = topologies.make(
            method,
            model.parameters(),
            optimizer,
            steps_per_epoch=steps_per_epoch,
            total_steps=total,
            density=density,
            seed=seed,
        )
    began = time.perf_counter()
    history = train.fit(
        model,
        loaded,
        epochs=epochs,
        optimizer=optimizer,
        batch_size=128,
        schedule=optim.Cosine(0.1, total),
        topology=topology,
        scaling="channels",
        augment=datasets.Augmentation(),
        seed=seed,
    )
    found = {
        "accuracy": float(history["test_accuracy"][-1]),
        "curve": [float(a) for a in history["test_accuracy"]],
        "train_flops": int(history.last["train_flops"]),
        "seconds": time.perf_counter() - began,
        "sensitivity": None,
    }
    if method != "dense":
        x, y = loaded.x_test[:PRUNED_ON], loaded.y_test[:PRUNED_ON]

        def measure(model: Any) -> float:
            measured = train.evaluate(model, x, y, scaling=history.scaling)
            return float(measured["accuracy"])

        blocks: dict[str, list[str]] = {}
        for name, parameter in model.named_parameters():
            if hasattr(parameter, "nnz"):
                blocks.setdefault(name.split(".")[0], []).append(name)
        names = [
            "first", *(f"block {i}" for i in range(1, len(blocks) - 1)), "last"
        ]  # fmt: skip
        named = dict(zip(names, blocks.values(), strict=True))
        result = pruning.sensitivity(model, measure, SPARSITIES, blocks=named)
        found["sensitivity"] = result.to_dict()
    return found


def main() -> None:
    """Trains both, then writes table and pictures."""
    from sparsenn import plot, pruning

    given = study.options(__doc__ or "")
    data, epochs = ("digits", 2) if given.quick else ("cifar10-jpeg", EPOCHS)
    rows = study.run_all(
        "resnet",
        given,
        trial,
        [
            {"data": data, "method": method, "seed": 0, "epochs": epochs}
            for method in ("rigl", "dense")
        ],
    )
    lines = [
        [
            row["method"],
            f"{100 * row['accuracy']:.2f}",
            " ".join(f"{100 * a:.1f}" for a in row["curve"]),
            f"{row['train_flops'] / 1e12:.1f}",
            f"{row['seconds']:.0f}",
        ]
        for row in rows
    ]
    header = ("", "test accuracy", "by epoch", "training, TFLOP", "seconds, one thread")
    result = pruning.Sensitivity.from_dict(rows[0]["sensitivity"])
    table = "\n".join(f"    {line}" for line in repr(result).splitlines())
    if plot.available():
        given.out.mkdir(parents=True, exist_ok=True)
        steps = np.arange(1, epochs + 1)
        series = {row["method"]: (steps, row["curve"]) for row in rows}
        plot.save(
            plot.curves(series, title="ResNet-20, RigL at 10 % beside dense"),
            given.out / "resnet.png",
        )
        plot.save(
            plot.sensitivity(result, title="ResNet-20, RigL at 10 %, a block pruned"),
            given.out / "resnet-heatmap.png",
        )
    text = f"""# CIFAR-10 (JPEG copy), ResNet-20: RigL at 10 % beside dense

    python -m benchmarks.experiments resnet

{epochs} epochs, one seed. The images are a copy of CIFAR-10 that went through JPEG:
accuracies are not those of the original.

![Test accuracy by epoch](resnet.png)

{study.table(header, lines)}

## One block pruned at a time

The sparse network after training, its smallest connections of one block removed, on
{min(PRUNED_ON, 10_000):,} samples of the test part:

![Accuracy after pruning one block at a time](resnet-heatmap.png)

{table}
"""
    study.write("resnet", given, text, rows)
