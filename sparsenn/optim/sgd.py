"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import final

import numpy as np

from sparsenn import _core
from sparsenn.optim.base import Optimizer, Parameter, check_number


@final
class SGD(Optimizer):
    """Stochastic gradient descent with momentum, Nesterov's variant and weight decay.

    With ``d = g + weight_decay * w`` and ``v = momentum * v + d``, a step is
    ``w -= lr * v`` or, with Nesterov, ``w -= lr * (d + momentum * v)``.

    Parameters
    ----------
    params : iterable of SparseParameter or Tensor
    lr : float
    momentum : float
        In [0, 1). Without momentum no state is held.
    nesterov : bool
    weight_decay : float
        L2 coefficient, added to the gradient and so multiplied by `lr`.

    References
    ----------
    Sutskever et al., "On the importance of initialization and momentum in deep
    learning", 2013.
    """

    def __init__(
        self,
        params: Iterable[Parameter],
        lr: float = 0.05,
        *,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, lr)
        check_number("momentum", momentum, minimum=0.0, below=1.0)
        check_number("weight_decay", weight_decay, minimum=0.0)
        if nesterov and momentum == 0.0:
            raise ValueError("nesterov needs momentum > 0, got momentum=0")
        self.momentum = momentum
        self.nesterov = nesterov
        self.weight_decay = weight_decay
        self.per_weight = ("momentum",) if momentum else ()

    def _update(
        self, values: np.ndarray, gradient: np.ndarray, state: dict[str, np.ndarray]
    ) -> None:
        _core.sgd(
            values,
            gradient,
            state.get("momentum"),
            self.lr,
            self.momentum,
            self.weight_decay,
            self.nesterov,
        )
