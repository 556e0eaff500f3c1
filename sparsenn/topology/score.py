"""What a connection is worth: ``(layer) -> scores``, low ones are dropped.

Scores are float arrays of shape (nnz,) in storage order.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from sparsenn.topology.layer import Layer


class Score(Protocol):
    """Scores the connections of a layer."""

    def __call__(self, layer: Layer) -> np.ndarray:
        """Shape (nnz,), storage order; the lowest are dropped first."""


def magnitude(layer: Layer) -> np.ndarray:
    """``|w|``."""
    return np.abs(layer.values)


NEEDS_MOMENTUM = (
    "sparse momentum needs an optimiser that keeps momentum; give the updater "
    "optim.SGD(..., momentum=0.9), Adam or AdamW as its optimizer"
)


def momentum(layer: Layer) -> np.ndarray:
    """``|momentum|``; of Adam ``|m| / (sqrt(v) + 1e-8)`` (SNFS, sparse momentum).

    Raises
    ------
    ValueError
        If the updater has no optimiser, or one without momentum.

    References
    ----------
    Dettmers & Zettlemoyer, "Sparse networks from scratch", arXiv:1907.04840.
    """
    state = {} if layer.optimizer is None else layer.optimizer.state(layer.param)
    if "momentum" in state:
        return np.abs(state["momentum"])
    if "m" in state:
        return np.abs(state["m"]) / (np.sqrt(state["v"]) + 1e-8)
    raise ValueError(NEEDS_MOMENTUM)


class Flow:
    """``|w * (H g)|``, or with its sign.

    To first order, removing w changes half the squared norm of the gradient by
    ``-w (H g)``.

    Parameters
    ----------
    signed : bool
        False: the lowest scores are the connections whose removal changes the norm
        least. True, GraSP's score: they are those whose removal makes it largest, which
        before training speeds up learning and later undoes it.

    References
    ----------
    Wang et al., "Picking winning tickets before training by preserving gradient flow",
    arXiv:2002.07376, equation 8; its score is the negative of the signed one, and the
    largest are removed.
    """

    flow = True

    def __init__(self, *, signed: bool = False) -> None:
        self.signed = signed

    def __repr__(self) -> str:
        """Whether it has a sign."""
        return f"Flow(signed={self.signed})"

    def __call__(self, layer: Layer) -> np.ndarray:
        """Scores of shape (nnz,)."""
        assert layer.flow is not None  # the updater has made sure
        scores = layer.values * layer.flow.on(layer.pattern)
        return scores if self.signed else np.abs(scores)


class magnitude_and_gradient:
    """``|w| + weight * |gradient|`` over the connections (MEST).

    Parameters
    ----------
    weight : float
        Lambda of the paper; its code's default is 0, a later re-implementation uses
        0.01.

    References
    ----------
    Yuan et al., "MEST: accurate and fast memory-economic sparse training framework on
    the edge", arXiv:2110.14032.
    """

    def __init__(self, weight: float = 0.01) -> None:
        if not 0 <= weight < np.inf:
            raise ValueError(f"weight must be finite and not negative, got {weight}")
        self.weight = weight

    def __repr__(self) -> str:
        """With its weight."""
        return f"magnitude_and_gradient({self.weight})"

    def __call__(self, layer: Layer) -> np.ndarray:
        """Scores of shape (nnz,)."""
        scores = np.abs(layer.values)
        if self.weight:
            scores = scores + layer.values.dtype.type(self.weight) * np.abs(
                layer.gradient
            )
        return scores
