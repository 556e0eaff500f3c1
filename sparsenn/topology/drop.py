"""Which connections go: ``(layers, fraction) -> keeps``, masks in storage order.

The number dropped is an integer decided before looking at scores, ``int(fraction *
nnz)`` as in the RigL authors' code, and never more than may be dropped. Among equal
scores the connection with the lower (row, column) stays.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol, final

import numpy as np

from sparsenn.sparse import apportion, largest, largest_of_all, smallest
from sparsenn.topology import score as scores
from sparsenn.topology.layer import Layer
from sparsenn.topology.score import Score


class Drop(Protocol):
    """Chooses the connections that survive an update."""

    def __call__(self, layers: Sequence[Layer], fraction: float) -> list[np.ndarray]:
        """Boolean masks of shape (nnz,), storage order: True for what is kept."""


@final
class lowest:
    """Drops the same fraction of every layer, the connections of lowest score.

    Parameters
    ----------
    score : callable
        See `sparsenn.topology.score`.
    """

    def __init__(self, score: Score) -> None:
        self.score = score
        self.flow = getattr(score, "flow", False)

    def __repr__(self) -> str:
        """With its score."""
        return f"lowest({getattr(self.score, '__name__', None) or self.score!r})"

    def __call__(self, layers: Sequence[Layer], fraction: float) -> list[np.ndarray]:
        """Masks of the connections kept."""
        return [
            keep_largest(layer, self.score(layer), int(fraction * layer.pattern.nnz))
            for layer in layers
        ]


magnitude = lowest(scores.magnitude)
"""Drops the smallest ``|w|`` of each layer (RigL, and SET in most later codes)."""


@final
class sign:
    """Drops, of each sign, the weights nearest zero (SET).

    Parameters
    ----------
    of_each : bool
        True: `fraction` of the positive and `fraction` of the negative weights, as in
        the authors' code. False: half of ``fraction * nnz`` from each sign, as the
        article says; where one sign has too few, the other gives the rest.

    Notes
    -----
    A weight of exactly zero counts as the smallest positive one.

    References
    ----------
    Mocanu et al., "Scalable training of artificial neural networks with adaptive
    sparse connectivity inspired by network science", 2018, algorithm 1.
    """

    def __init__(self, *, of_each: bool = True) -> None:
        self.of_each = of_each

    def __repr__(self) -> str:
        """The reading of SET that it is."""
        return f"sign(of_each={self.of_each})"

    def __call__(self, layers: Sequence[Layer], fraction: float) -> list[np.ndarray]:
        """Masks of the connections kept."""
        return [self._one(layer, fraction) for layer in layers]

    def _one(self, layer: Layer, fraction: float) -> np.ndarray:
        values, protected = layer.values, layer.protected
        negative = values < 0
        counts = self._counts(negative, fraction, protected)
        # What goes is one interval around zero of the values in order: two selections
        # find its ends. What is protected lies beyond both.
        above = below = values
        n_protected = 0
        if protected is not None:
            infinity = values.dtype.type(np.inf)
            above = np.where(protected, infinity, values)
            below = np.where(protected, -infinity, values)
            negative = negative & ~protected
            n_protected = int(np.count_nonzero(protected))
        n_negative = int(np.count_nonzero(negative))
        n_positive = negative.size - n_negative - n_protected
        n_above = n_protected + n_positive - min(counts[0], n_positive)
        n_below = n_protected + n_negative - min(counts[1], n_negative)
        keep = largest(layer.pattern, above, n_above)
        keep |= smallest(layer.pattern, below, n_below)
        return keep

    def _counts(
        self, negative: np.ndarray, fraction: float, protected: np.ndarray | None
    ) -> tuple[int, int]:
        """How many to drop of the positive and of the negative weights."""
        n_negative = int(np.count_nonzero(negative))
        n_positive = negative.size - n_negative
        if self.of_each:
            return int(fraction * n_positive), int(fraction * n_negative)
        if protected is not None:
            n_negative = int(np.count_nonzero(negative & ~protected))
            n_positive = int(np.count_nonzero(~negative & ~protected))
        count = min(int(fraction * negative.size), n_negative + n_positive)
        from_negative = min(max(count // 2, count - n_positive), n_negative)
        return count - from_negative, from_negative


@final
class threshold:
    """Drops every ``|w|`` below one threshold, which adapts to a wanted number (DSR).

    After an update that dropped K connections the threshold halves if K > (1 +
    tolerance) target, and doubles if K < (1 - tolerance) target. A layer keeps at
    least one connection, the first. The fraction of the schedule is not used.

    Parameters
    ----------
    target : int
        Connections to drop in an update, over all layers (N_p).
    start : float
        The first threshold (H).
    tolerance : float
        In [0, 1).

    Attributes
    ----------
    value : float
        The present threshold.

    References
    ----------
    Mostafa & Wang, "Parameter efficient training of deep convolutional neural networks
    by dynamic sparse reparameterization", arXiv:1902.05967, algorithm 1.
    """

    def __init__(
        self, target: int, start: float = 1e-3, tolerance: float = 0.1
    ) -> None:
        if target < 1:
            raise ValueError(f"target must be at least 1 connection, got {target}")
        if not 0 < start < np.inf:
            raise ValueError(f"start must be positive and finite, got {start}")
        if not 0 <= tolerance < 1:
            raise ValueError(f"tolerance must be in [0, 1), got {tolerance}")
        self.target = target
        self.value = start
        self.tolerance = tolerance

    def __repr__(self) -> str:
        """The number that it aims at."""
        return f"threshold(target={self.target}, tolerance={self.tolerance})"

    def state(self) -> dict[str, Any]:
        """What resuming needs."""
        return {"value": self.value, "target": self.target}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restores it."""
        self.value = float(state["value"])
        self.target = int(state["target"])

    def __call__(self, layers: Sequence[Layer], fraction: float) -> list[np.ndarray]:
        """Masks of the connections kept; moves the threshold."""
        keeps = [self._one(layer) for layer in layers]
        dropped = sum(int(k.size - np.count_nonzero(k)) for k in keeps)
        if dropped > (1 + self.tolerance) * self.target:
            self.value /= 2
        elif dropped < (1 - self.tolerance) * self.target:
            self.value *= 2
        return keeps

    def _one(self, layer: Layer) -> np.ndarray:
        keep = ~(np.abs(layer.values) < self.value)
        if layer.protected is not None:
            keep |= layer.protected
        if keep.size and not keep.any():
            first = np.zeros(keep.size, bool)
            first[0] = True
            keep = layer.pattern.from_canonical(first)
        return keep


def keep_largest(layer: Layer, values: np.ndarray, count: int) -> np.ndarray:
    """Drops the `count` smallest scores of the unprotected connections of a layer."""
    droppable = layer.pattern.nnz
    if layer.protected is not None:
        # What may not be dropped scores above everything and so is always kept.
        values = np.where(layer.protected, values.dtype.type(np.inf), values)
        droppable -= int(np.count_nonzero(layer.protected))
    return largest(layer.pattern, values, layer.pattern.nnz - min(count, droppable))


def prune_globally(layers: Sequence[Layer], total: int) -> list[np.ndarray]:
    """Keeps the `total` largest ``|w|`` of all layers together (GMP, GraNet)."""
    magnitudes = [np.abs(layer.values) for layer in layers]
    return largest_of_all([layer.pattern for layer in layers], magnitudes, total)


def prune_uniformly(layers: Sequence[Layer], total: int) -> list[np.ndarray]:
    """Keeps the same density in every layer, by ``|w|``, `total` in all."""
    positions = [math.prod(layer.pattern.shape) for layer in layers]
    counts = apportion(total, positions, [layer.pattern.nnz for layer in layers])
    return [
        largest(layer.pattern, np.abs(layer.values), count)
        for layer, count in zip(layers, counts, strict=True)
    ]
