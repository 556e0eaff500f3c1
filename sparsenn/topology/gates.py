"""Gates of Continuous Sparsification: a trained number beside every weight."""

from __future__ import annotations

import math
from typing import final

import numpy as np

from sparsenn.autograd import Tensor, no_grad
from sparsenn.ops import div, mul, sigmoid
from sparsenn.sparse import TopologyChange

#: Below these the sigmoid and its derivative are 0, not only small.
_UNDERFLOW = {np.dtype(np.float32): -104.0, np.dtype(np.float64): -745.2}


@final
class SoftGates:
    """``w * sigmoid(beta s) / sigmoid(s0)``, or ``w / sigmoid(s0)`` once hard.

    The divisor makes every gate exactly 1 in the beginning, at ``s = s0, beta = 1``.

    Parameters
    ----------
    scores : ndarray, shape (nnz,)
        s, in storage order.
    start : float
        s0.

    Attributes
    ----------
    scores : Tensor, shape (nnz,)
        A variable.
    beta : float
        Inverse temperature.
    hard : bool
        Whether all gates that are left are open for good.
    """

    def __init__(self, scores: np.ndarray, start: float) -> None:
        self.scores = Tensor(scores, requires_grad=True)
        self.start = start
        self.beta = 1.0
        self.hard = False

    @property
    def full(self) -> float:
        """``sigmoid(s0)``, in the precision of the gates."""
        with no_grad():
            return sigmoid(np.array([self.start], self.scores.dtype)).item()

    def __call__(self, values: Tensor) -> Tensor:
        """The effective weights."""
        if self.hard:
            return div(values, self.full)
        return mul(values, div(sigmoid(mul(self.scores, self.beta)), self.full))

    def carry(self, change: TopologyChange) -> None:
        """Follows a change of the pattern; newborns begin at s0."""
        self.scores.replace_(change.remap(self.scores.data, fill=self.start))

    def slope(self) -> np.ndarray:
        """Derivative of each gate for its score."""
        with no_grad():
            m = sigmoid(mul(self.scores.detach(), self.beta)).data
        return m * (1 - m) * m.dtype.type(self.beta / self.full)

    def closed(self, momentum: np.ndarray, lr: float, decay: float) -> np.ndarray:
        """Which gates are 0 and can never open again while beta does not fall.

        Gradients of a gate that underflowed are exactly 0, so that only momentum moves
        its score, by less than ``lr |momentum| decay / (1 - decay)`` in all.

        Parameters
        ----------
        momentum : ndarray, shape (nnz,)
        lr, decay : float
            Of the optimiser of the scores, with or without Nesterov's variant.

        Returns
        -------
        ndarray of bool, shape (nnz,)
        """
        drift = lr * decay / (1 - decay) if decay < 1 else math.inf
        highest = self.scores.data + drift * np.abs(momentum, dtype=np.float64)
        return self.beta * highest < _UNDERFLOW[self.scores.dtype]
