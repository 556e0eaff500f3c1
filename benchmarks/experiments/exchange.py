"""Why some methods exchange connections without gaining much: one thing changed a time.

784-1000-1000-1000-10 at 1 % on Fashion-MNIST for 10 epochs, updates every 100 steps;
the first line of a method is what the sweep of fashion.md has. Writes exchange.md and
exchange.json.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.experiments import study
from sparsenn.train import Callback

SEEDS = 3
EPOCHS = 10
DENSITY = 0.01
EVERY = 100
NEVER = 2**31

#: Name, method of `topology`, its options; "end" is a share of the training.
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "static": ("static", {}),
    "SET, cosine to 0": ("SET", {"decay": "cosine", "end": 1.0}),
    "SET, at one rate": ("SET", {}),
    "SET, at one rate to 75 %": ("SET", {"end": 0.75}),
    "SET, at one rate to 50 %": ("SET", {"end": 0.5}),
    "SET, at one rate, newborns stay": ("SET", {"protect": 3}),
    "SET, cosine, newborns stay": (
        "SET",
        {"decay": "cosine", "end": 1.0, "protect": 3},
    ),
    "RigL": ("RigL", {"end": 0.75}),
    "DSR": ("DSR", {"end": 0.95}),
    "DSR to 75 %": ("DSR", {"end": 0.75}),
    "DSR to 50 %": ("DSR", {"end": 0.5}),
    "MEST": ("MEST", {"end": 1.0}),
    "MEST without its gradient": ("MEST", {"end": 1.0, "gradient_weight": 0.0}),
    "MEST, cosine": ("MEST", {"end": 1.0, "decay": "cosine"}),
    "SRigL, never updated": ("SRigL", {"every": NEVER}),
    "SRigL": ("SRigL", {"end": 0.75}),
    "SRigL, no ablation": ("SRigL", {"end": 0.75, "saliency": 0.0}),
    "DEEP R": ("DeepR", {}),
    "DEEP R, every 10 steps": ("DeepR", {"every": 10}),
    "DEEP R, every 10 steps to 75 %": ("DeepR", {"every": 10, "end": 0.75}),
}


class Newborns(Callback):
    """Counts connections that grew, and those of them that the next update dropped."""

    def __init__(self, updater: Any) -> None:
        self.grown = self.gone = self.updates = 0
        self._updater = updater
        self._held = self._new = np.zeros(0, np.int64)

    def _positions(self) -> np.ndarray:
        """A number for each connection of the network, sorted."""
        first, found = 0, []
        for param in self._updater.params:
            row, column = param.positions()
            found.append(first + row.astype(np.int64) * param.shape[1] + column)
            first += param.shape[0] * param.shape[1]
        return np.sort(np.concatenate(found))

    def on_train_begin(self, state: Any) -> None:
        self._held = self._positions()

    def on_batch_end(self, state: Any) -> None:
        if self._updater.updates == self.updates:
            return
        self.updates, held = self._updater.updates, self._positions()
        dropped = np.setdiff1d(self._held, held, assume_unique=True)
        self.gone += len(np.intersect1d(self._new, dropped, assume_unique=True))
        self.grown += len(self._new)  # those that an update has judged
        self._new = np.setdiff1d(held, self._held, assume_unique=True)
        self._held = held


def trial(data: str, variant: str, seed: int, epochs: int) -> dict[str, Any]:
    """Trains one network and counts the connections that moved."""
    from sparsenn import data as datasets
    from sparsenn import models, optim, topology, train

    loaded = datasets.load(data)
    hidden = 1000 if loaded.n_features > 64 else 30
    sizes = [loaded.n_features, *3 * [hidden], 10]
    model = models.mlp(sizes, DENSITY if hidden == 1000 else 0.2, seed=seed)
    params = model.parameters()
    optimizer = optim.SGD(params, lr=0.1, momentum=0.9, weight_decay=1e-4)
    steps = epochs * -(-len(loaded.y_train) // 128)
    nnz = sum(p.nnz for p in params if hasattr(p, "nnz"))
    method, options = VARIANTS[variant]
    updater = born = None
    if method != "static":
        options = {"every": min(EVERY, steps // 10), "seed": seed, **options}
        if "end" in options:
            options["end_step"] = round(options.pop("end") * steps)
        updater = getattr(topology, method)(params, optimizer, **options)
        born = Newborns(updater)
    history = train.fit(
        model,
        loaded,
        epochs=epochs,
        optimizer=optimizer,
        schedule=optim.Cosine(0.1, steps),
        topology=updater,
        seed=seed,
        callbacks=[] if born is None else [born],
    )
    grown = history["grown"]
    return {
        "accuracy": float(history["test_accuracy"][-1]),
        "moved": sum(grown) / nnz,
        "moved_late": sum(grown[-(epochs // 4 + 1) :]) / nnz,
        "gone_at_once": born.gone / born.grown if born and born.grown else 0.0,
    }


def main() -> None:
    """Runs every trial, then writes the table."""
    given = study.options(__doc__ or "")
    data, seeds, epochs = (
        ("digits", 1, 4) if given.quick else ("fashion-mnist", SEEDS, EPOCHS)
    )
    variants = [*VARIANTS][::6] if given.quick else [*VARIANTS]
    rows = study.run_all(
        "exchange",
        given,
        trial,
        [
            {"data": data, "variant": variant, "seed": seed, "epochs": epochs}
            for variant in variants
            for seed in range(seeds)
        ],
    )

    def line(variant: str) -> list[str]:
        found = [row for row in rows if row["variant"] == variant]
        moved, late, gone = (
            study.interval([row[name] for row in found])[0]
            for name in ("moved", "moved_late", "gone_at_once")
        )
        accuracy = study.percent(*study.interval([row["accuracy"] for row in found]))
        return [variant, accuracy, f"{moved:.2f}", f"{late:.2f}", f"{100 * gone:.0f} %"]

    header = (
        "method",
        "test accuracy, %",
        "moved",
        "in the last epochs",
        "gone at once",
    )
    text = f"""# What exchanging connections gains, and what it costs

    python -m benchmarks.experiments exchange

{(__doc__ or "").split(" Writes")[0]}

Means of {seeds} seeds with 95 % intervals by Student's t. Connections moved, over those
there are: in all, and in the last {epochs // 4 + 1} of {epochs} epochs. Gone at once:
of those that grew, the share that the very next update dropped again.

{study.table(header, [line(variant) for variant in variants])}
"""
    study.write("exchange", given, text, rows)
