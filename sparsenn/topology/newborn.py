"""What a newborn connection weighs: ``(layer, change) -> values``."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from sparsenn.random import Purpose
from sparsenn.sparse import TopologyChange
from sparsenn.topology.layer import Layer


class Newborn(Protocol):
    """Sets the values of newborn connections."""

    def __call__(self, layer: Layer, change: TopologyChange) -> np.ndarray:
        """Values of all connections of ``change.new``, storage order."""


def zero(layer: Layer, change: TopologyChange) -> np.ndarray:
    """Newborns start at 0 (RigL, DSR, SNFS), which leaves the function as it was."""
    return change.remap(layer.values)


def resample(layer: Layer, change: TopologyChange) -> np.ndarray:
    """Newborns draw from the layer's initial distribution, at its new fan-in (SET)."""
    values = change.remap(layer.values)
    initializer = layer.param.initializer
    if initializer is None:
        raise ValueError(
            f"parameter {layer.param.name!r} has no initializer to resample newborn "
            "connections from; use newborn=topology.zero"
        )
    slots = np.flatnonzero(change.newborn)
    values[slots] = initializer(
        change.new, layer.stream(Purpose.NEWBORN), values.dtype, slots
    )
    return values


NEWBORNS: dict[str, Newborn] = {"zero": zero, "resample": resample}
"""Values of newborn connections by name."""
