"""Adam, and Adam with decoupled weight decay."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, final

import numpy as np

from sparsenn import _core
from sparsenn.optim.base import Optimizer, Parameter, check_number


class _Adam(Optimizer):
    per_weight = ("m", "v")
    decoupled: ClassVar[bool]

    def __init__(
        self,
        params: Iterable[Parameter],
        lr: float = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, lr)
        for name, beta in zip(("betas[0]", "betas[1]"), betas, strict=True):
            check_number(name, beta, minimum=0.0, below=1.0)
        check_number("eps", eps, minimum=0.0)
        check_number("weight_decay", weight_decay, minimum=0.0)
        self.betas = betas
        self.eps = eps
        self.weight_decay = weight_decay

    def _update(
        self, values: np.ndarray, gradient: np.ndarray, state: dict[str, np.ndarray]
    ) -> None:
        beta1, beta2 = self.betas
        _core.adam(
            values,
            gradient,
            state["m"],
            state["v"],
            self.lr,
            beta1,
            beta2,
            self.eps,
            self.weight_decay,
            self.decoupled,
            1.0 - beta1**self.steps,
            1.0 - beta2**self.steps,
        )


@final
class Adam(_Adam):
    """Adam; `weight_decay` is an L2 term in the gradient.

    Moments are ``m = b1 m + (1 - b1) g`` and ``v = b2 v + (1 - b2) g^2``; a step is
    ``w -= lr * (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps)``. Newborn connections
    start with zero moments and share the count t of their layer.

    Parameters
    ----------
    params : iterable of SparseParameter or Tensor
    lr : float
    betas : (float, float)
        Decay of the two moments, each in [0, 1).
    eps : float
    weight_decay : float

    References
    ----------
    Kingma & Ba, "Adam: a method for stochastic optimization", arXiv:1412.6980.
    """

    decoupled = False


@final
class AdamW(_Adam):
    """Adam with decoupled weight decay: ``w -= lr * weight_decay * w`` beside the step.

    Parameters
    ----------
    params : iterable of SparseParameter or Tensor
    lr : float
    betas : (float, float)
    eps : float
    weight_decay : float

    References
    ----------
    Loshchilov & Hutter, "Decoupled weight decay regularization", arXiv:1711.05101.
    """

    decoupled = True
