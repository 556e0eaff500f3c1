"""How the training tests set up a run."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from sparsenn import nn, optim, topology
from sparsenn.export.model import save
from sparsenn.train import fit


def network(seed: int = 3, dtype: Any = "float32") -> nn.Sequential:
    """Every kind of layer that has something to save."""
    return nn.Sequential(
        nn.Linear(12, 24, 0.3, seed=seed, number=0, dtype=dtype),
        nn.BatchNorm1d(24, dtype=dtype),
        nn.ReLU(),
        nn.Dropout(0.2, seed=seed, number=0),
        nn.Linear(24, 16, 0.3, seed=seed, number=1, dtype=dtype),
        nn.ReLU(),
        nn.Linear(16, 3, 1.0, seed=seed, number=2, dtype=dtype),
    )


def convolutions() -> nn.Sequential:
    """A network for the same samples as images of one channel."""
    return nn.Sequential(
        nn.ToImage(1, 3, 4),
        nn.Conv2d(1, 8, 3, 0.5, padding=1, seed=3, number=0),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(96, 3, 0.2, seed=3, number=1),
    )


def gates(mode: Any) -> Any:
    """Continuous Sparsification of which something closes in 24 steps."""
    return partial(
        topology.ContinuousSparsification, round_steps=9, every=3, rounds=2, mode=mode,
        rewind_step=4, lr=4.0, penalty=0.01,
    )  # fmt: skip


SECOND: dict[str, Any] = {
    "supermask": gates("supermask"),
    "ticket": gates("ticket"),
    "dsr": partial(topology.DSR, every=4, target=20, seed=5),
    "deepr": partial(topology.DeepR, every=3, seed=5),
    "srigl": partial(topology.SRigL, every=4, seed=5),
    "images": partial(
        topology.SNFS, growth="momentum", every=6, window=5, beta=0.5, seed=5
    ),
    "flow": partial(topology.GradientFlow, every=4, seed=5),
}


def parts(kind: str = "sgd", every: int = 4, epochs: int = 3) -> dict[str, Any]:
    """Model, optimiser, schedule and topology of one run; by kind also k-winners."""
    model = network()
    if kind == "images":
        model = convolutions()
    if kind == "winners":
        model.layers[5] = nn.KWinners(16, 0.4, duty_cycle_period=100)
    if kind in ("sgd", "winners", *SECOND):
        optimizer: Any = optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    elif kind == "adam":
        optimizer = optim.Adam(model.parameters(), lr=0.01)
    else:
        optimizer = optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.1)
    updater: Any = topology.SET(
        model.parameters(), optimizer=optimizer, every=every, protect=2, seed=5
    )
    if kind in SECOND:
        updater = SECOND[kind](model.parameters(), optimizer)
    return {
        "model": model,
        "optimizer": optimizer,
        "schedule": optim.Cosine(optimizer.lr, 8 * epochs),
        "topology": updater,
        "epochs": epochs,
        "batch_size": 20,
        "seed": 11,
    }


def trained(data: Any, path: Path, kind: str = "sgd", **options: Any) -> bytes:
    """The bytes of the model that a whole run ends with, and what it cost."""
    run = {**parts(kind), **options}
    model = run.pop("model")
    history = fit(model, data, **run)
    save(model, path, scaling=history.scaling)
    return path.read_bytes() + str(history["train_flops"]).encode()
