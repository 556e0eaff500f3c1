"""Which connections go: ``(layer, fraction) -> keep``, a mask in storage order.

The number dropped is an integer decided before looking at scores, ``int(fraction *
nnz)`` as in the RigL authors' code, and never more than may be dropped. Among equal
scores the connection with the lower (row, column) stays.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from sparsenn.sparse import SparsePattern, largest, smallest
from sparsenn.topology.layer import Layer


class Drop(Protocol):
    """Chooses the connections that survive an update."""

    def __call__(self, layer: Layer, fraction: float) -> np.ndarray:
        """Boolean mask of shape (nnz,), storage order: True for what is kept."""


def magnitude(layer: Layer, fraction: float) -> np.ndarray:
    """Drops the smallest ``|w|`` (RigL, and SET in most later codes)."""
    count = int(fraction * layer.pattern.nnz)
    return _keep_largest(layer, np.abs(layer.values), count)


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

    def __call__(self, layer: Layer, fraction: float) -> np.ndarray:
        """Boolean mask of the connections kept."""
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


def _keep_largest(layer: Layer, scores: np.ndarray, count: int) -> np.ndarray:
    """Drops the `count` smallest scores of the unprotected connections."""
    pattern: SparsePattern = layer.pattern
    droppable = pattern.nnz
    if layer.protected is not None:
        # What may not be dropped scores above everything and so is always kept.
        scores = np.where(layer.protected, scores.dtype.type(np.inf), scores)
        droppable -= int(np.count_nonzero(layer.protected))
    return largest(pattern, scores, pattern.nnz - min(count, droppable))
