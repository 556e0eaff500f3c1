"""The pictures of a run."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from sparsenn import plot
from sparsenn.train import Callback, History, State
from sparsenn.train.cost import layer_table, weights


class InputConnections(Callback):
    """Remembers how many connections each input had before training.

    Attributes
    ----------
    before : array of int, shape (n_features,), or None
        None before training began.
    """

    def __init__(self) -> None:
        self.before: np.ndarray | None = None

    def state(self) -> dict[str, Any]:
        return {} if self.before is None else {"before": self.before}

    def load_state(self, state: dict[str, Any]) -> None:
        self.before = state["before"]

    def on_train_begin(self, state: State) -> None:
        if self.before is None:
            self.before = plot.connections_per_input(weights(state.model)[0].pattern)


def draw_run(
    directory: Path,
    history: History,
    model: Any,
    before: np.ndarray | None,
    shape: tuple[int, ...],
) -> list[Path]:
    """Draws what can be drawn of a run; nothing without matplotlib.

    Parameters
    ----------
    directory : Path
        Where ``accuracy.png``, ``layers.png`` and (for images) ``inputs.png`` go.
    history : History
    model : Module
    before : array, shape (n_features,)
        Connections of each input before training.
    shape : tuple of int
        Of one sample.

    Returns
    -------
    list of Path
        What was written.
    """
    if not plot.available():
        return []
    written = []
    series = {
        part: (history["epoch"], history[f"{part}_accuracy"])
        for part in ("train", "val", "test")
        if f"{part}_accuracy" in history
    }
    if series:
        path = directory / "accuracy.png"
        plot.save(plot.curves(series, ylabel="accuracy"), path)
        written.append(path)
    layers = layer_table(model)
    path = directory / "layers.png"
    figure = plot.layer_densities(
        [layer["name"] for layer in layers],
        [layer["density"] for layer in layers],
        [layer["nnz"] for layer in layers],
        title="Density of each layer",
    )
    plot.save(figure, path)
    written.append(path)
    first = weights(model)[0].pattern
    if before is None or first.is_full or before.size != math.prod(shape):
        return written
    after = plot.connections_per_input(first)
    maps = {
        name: plot.as_image(counts, shape)
        for name, counts in (("before training", before), ("after training", after))
    }
    if all(image is not None for image in maps.values()):
        path = directory / "inputs.png"
        images = {name: image for name, image in maps.items() if image is not None}
        title = "Connections of the first layer"
        plot.save(plot.pixel_maps(images, title=title), path)
        written.append(path)
    return written
