"""Which connections are born: ``(layer, keep, count) -> (indptr, indices)``.

The result is canonical CSR, disjoint from what is kept.
"""

from __future__ import annotations

from functools import reduce
from operator import add
from typing import Protocol, final

import numpy as np

from sparsenn.ops import OuterSum
from sparsenn.random import Purpose
from sparsenn.topology.layer import Layer


class Grow(Protocol):
    """Chooses the positions of newborn connections."""

    #: Whether a connection dropped in this update may be grown again at once.
    regrow: bool
    #: Whether it then goes on with its value and state, as if never dropped.
    revive: bool
    #: Steps, the present one included, whose gradients it looks at.
    window: int

    def __call__(
        self, layer: Layer, keep: np.ndarray, count: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """CSR (indptr, indices) of `count` positions outside what is kept."""


@final
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
        self.revive = False
        self.window = 0

    def __repr__(self) -> str:
        """Whether what was dropped may return."""
        return f"random(regrow={self.regrow})"

    def __call__(
        self, layer: Layer, keep: np.ndarray, count: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """CSR (indptr, indices) of `count` positions."""
        taken = keep if self.regrow else None
        return layer.pattern.sample_free(count, layer.stream(Purpose.GROW), taken)


@final
class gradient:
    """The free positions of largest ``|gradient|`` (RigL).

    The gradient of every position is searched in tiles and never stored. It is that of
    the weights before anything was dropped. Since newborns start at 0, this is exactly
    the choice that maximises the norm of the gradient after growth.

    Parameters
    ----------
    regrow : bool
        Whether what was just dropped is a candidate, as in RigL.
    revive : bool
        Whether it then keeps its value and state, as in RigL.
    accumulate : int
        Batches whose gradients are added before the magnitude is taken (rigl-torch).

    References
    ----------
    Evci et al., "Rigging the lottery: making all tickets winners", arXiv:1911.11134.
    """

    def __init__(
        self, *, regrow: bool = True, revive: bool = True, accumulate: int = 1
    ) -> None:
        if accumulate < 1:
            raise ValueError(f"accumulate must be at least 1 batch, got {accumulate}")
        self.regrow = regrow
        self.revive = revive
        self.window = accumulate

    def __repr__(self) -> str:
        """With its options."""
        return (
            f"gradient(regrow={self.regrow}, revive={self.revive}, "
            f"accumulate={self.window})"
        )

    def __call__(
        self, layer: Layer, keep: np.ndarray, count: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """CSR (indptr, indices) of `count` positions."""
        return grow_largest(
            layer, keep, count, reduce(add, layer.gradients[-self.window :]), self
        )


@final
class momentum:
    """The free positions of largest ``|momentum|``, which nobody stores (SNFS).

    The momentum of a position without a connection is ``sum_i beta^i g_(t-i)``, a sum
    of outer products of the last steps. Those of `window` steps are kept before an
    update; what is left out weighs ``beta^window`` relative to what is there, below
    1e-3 for 66 steps at 0.9.

    Parameters
    ----------
    beta : float
        Decay in [0, 1), that of the optimiser's momentum.
    window : int
        Steps kept.
    limit_bytes : int
        Most bytes of activations and gradients that may be kept, all layers together.

    References
    ----------
    Dettmers & Zettlemoyer, "Sparse networks from scratch", arXiv:1907.04840, where the
    momentum is a dense array. Evci et al., arXiv:1911.11134, appendix D, find that
    growth by the gradient alone does as well.
    """

    def __init__(
        self, *, beta: float = 0.9, window: int = 66, limit_bytes: int = 1 << 30
    ) -> None:
        if not 0 <= beta < 1:
            raise ValueError(f"beta must be in [0, 1), got {beta}")
        if window < 1:
            raise ValueError(f"window must be at least 1 step, got {window}")
        self.regrow = self.revive = True
        self.beta = beta
        self.window = window
        self.limit_bytes = limit_bytes

    def __repr__(self) -> str:
        """With its options."""
        return f"momentum(beta={self.beta}, window={self.window})"

    def __call__(
        self, layer: Layer, keep: np.ndarray, count: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """CSR (indptr, indices) of `count` positions."""
        recent = layer.gradients[-self.window :]
        terms = [
            outer.scaled(self.beta**age) for age, outer in enumerate(reversed(recent))
        ]
        return grow_largest(layer, keep, count, reduce(add, terms), self)


@final
class flow:
    """The free positions of largest ``|H g|``, with g the connections' gradient.

    To first order in the newborns' weights, ``(H g)_j`` is by how much a weight at j
    moves half the squared norm of the gradient. The product is searched in tiles and
    never stored.

    Parameters
    ----------
    regrow : bool
        Whether what was just dropped is a candidate, and then keeps value and state.

    References
    ----------
    Wang et al., arXiv:2002.07376, whose score this extends to weights of zero; Evci et
    al., "Gradient flow in sparse neural networks", arXiv:2010.03533.
    """

    flow = True

    def __init__(self, *, regrow: bool = False) -> None:
        self.regrow = self.revive = regrow
        self.window = 1

    def __repr__(self) -> str:
        """Whether what was dropped may return."""
        return f"flow(regrow={self.regrow})"

    def __call__(
        self, layer: Layer, keep: np.ndarray, count: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """CSR (indptr, indices) of `count` positions."""
        assert layer.flow is not None  # the updater has made sure
        return grow_largest(layer, keep, count, layer.flow, self)


def grow_largest(
    layer: Layer, keep: np.ndarray, count: int, outer: OuterSum, part: Grow
) -> tuple[np.ndarray, np.ndarray]:
    """The free positions where a sum of outer products is largest in magnitude."""
    taken = layer.pattern
    if part.regrow and not keep.all():
        taken = taken.with_changes(keep).new
    return outer.largest_outside(taken, count)
