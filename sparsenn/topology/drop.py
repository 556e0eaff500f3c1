"""Which connections go: ``(layer, fraction) -> keep``, a mask in storage order.

The number dropped is an integer decided before looking at scores, ``int(fraction *
nnz)`` as in the RigL authors' code, and never more than may be dropped. Among equal
scores the connection with the lower (row, column) stays.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from sparsenn.sparse import SparsePattern, largest
from sparsenn.topology.layer import Layer


class Drop(Protocol):
    """Chooses the connections that survive an update."""

    def __call__(self, layer: Layer, fraction: float) -> np.ndarray:
        """Boolean mask of shape (nnz,), storage order: True for what is kept."""


def magnitude(layer: Layer, fraction: float) -> np.ndarray:
    """Drops the smallest ``|w|`` (RigL, and SET in most later codes)."""
    count = int(fraction * layer.pattern.nnz)
    return _keep_largest(layer, np.abs(layer.values), None, count)


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

    def __call__(self, layer: Layer, fraction: float) -> np.ndarray:
        """Boolean mask of the connections kept."""
        values = layer.values
        negative = values < 0
        counts = self._counts(negative, fraction, layer.protected)
        scores = np.abs(values)
        keep = _keep_largest(layer, scores, ~negative, counts[0])
        keep &= _keep_largest(layer, scores, negative, counts[1])
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


def _keep_largest(
    layer: Layer, scores: np.ndarray, among: np.ndarray | None, count: int
) -> np.ndarray:
    """Drops the `count` smallest scores of the unprotected connections in `among`."""
    pattern: SparsePattern = layer.pattern
    fixed = layer.protected
    if among is not None:
        fixed = ~among if fixed is None else ~among | fixed
    droppable = pattern.nnz
    if fixed is not None:
        # What may not be dropped scores above everything and so is always kept.
        scores = np.where(fixed, scores.dtype.type(np.inf), scores)
        droppable -= int(np.count_nonzero(fixed))
    return largest(pattern, scores, pattern.nnz - min(count, droppable))
