"""Which connections are born: ``(layer, keep, count) -> (indptr, indices)``.

The result is canonical CSR, disjoint from what is kept.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from sparsenn.random import Purpose
from sparsenn.topology.layer import Layer


class Grow(Protocol):
    """Chooses the positions of newborn connections."""

    #: Whether a connection dropped in this update may be grown again at once.
    regrow: bool

    def __call__(
        self, layer: Layer, keep: np.ndarray, count: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """CSR (indptr, indices) of `count` positions outside what is kept."""


class random:
    """Uniformly random free positions (SET).

    Parameters
    ----------
    regrow : bool
        Whether a position dropped in the same update may return at once: True as in
        SET's code, False as in DSR's.
    """

    def __init__(self, *, regrow: bool = True) -> None:
        self.regrow = regrow

    def __repr__(self) -> str:
        """Whether what was dropped may return."""
        return f"random(regrow={self.regrow})"

    def __call__(
        self, layer: Layer, keep: np.ndarray, count: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """CSR (indptr, indices) of `count` positions."""
        taken = keep if self.regrow else None
        return layer.pattern.sample_free(count, layer.stream(Purpose.GROW), taken)
