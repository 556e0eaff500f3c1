"""Activation functions as layers."""

from __future__ import annotations

from typing import Any, ClassVar, final

import numpy as np

from sparsenn import ops
from sparsenn.autograd import Tensor
from sparsenn.nn.config import layer
from sparsenn.nn.module import Module


class _Plain(Module):
    """An activation without parameters or options."""

    unitwise: ClassVar[bool] = True

    transparent: ClassVar[bool] = True

    def config(self) -> dict[str, Any]:
        """No arguments."""
        return {}


@final
@layer
class ReLU(_Plain):
    """``max(x, 0)``."""

    def forward(self, x: Tensor) -> Tensor:
        """Elementwise."""
        return ops.relu(x)


@final
@layer
class GELU(_Plain):
    """``x Phi(x)``, Phi the normal distribution function (arXiv:1606.08415)."""

    def forward(self, x: Tensor) -> Tensor:
        """Elementwise."""
        return ops.gelu(x)


@final
@layer
class SiLU(_Plain):
    """``x / (1 + exp(-x))``, also named swish (arXiv:1702.03118)."""

    def forward(self, x: Tensor) -> Tensor:
        """Elementwise."""
        return ops.silu(x)


@final
@layer
class Sigmoid(_Plain):
    """``1 / (1 + exp(-x))``."""

    def forward(self, x: Tensor) -> Tensor:
        """Elementwise."""
        return ops.sigmoid(x)


@final
@layer
class Tanh(_Plain):
    """Hyperbolic tangent."""

    def forward(self, x: Tensor) -> Tensor:
        """Elementwise."""
        return ops.tanh(x)


@final
@layer
class LeakyReLU(Module):
    """``x`` above 0, ``slope * x`` below."""

    unitwise: ClassVar[bool] = True

    transparent: ClassVar[bool] = True

    def __init__(self, slope: float = 0.01) -> None:
        self.slope = slope

    def forward(self, x: Tensor) -> Tensor:
        """Elementwise."""
        return ops.leaky_relu(x, self.slope)

    def config(self) -> dict[str, Any]:
        """The slope."""
        return {"slope": self.slope}


@final
@layer
class AllReLU(Module):
    """Alternated left ReLU: the slope's sign below 0 alternates from layer to layer.

    ``x`` above 0; below, ``-alpha * x`` in layers of even number and ``alpha * x`` in
    layers of odd number.

    Parameters
    ----------
    number : int
        Number of the layer, from 1 for the first hidden one.
    alpha : float

    References
    ----------
    Curci et al., "Truly sparse neural networks at scale", arXiv:2102.01732, equation 1.
    """

    unitwise: ClassVar[bool] = True

    transparent: ClassVar[bool] = True

    def __init__(self, number: int, alpha: float = 0.6) -> None:
        self.number = number
        self.alpha = alpha

    def forward(self, x: Tensor) -> Tensor:
        """Elementwise."""
        return ops.leaky_relu(x, self.alpha if self.number % 2 else -self.alpha)

    def config(self) -> dict[str, Any]:
        """Layer number and alpha."""
        return {"number": self.number, "alpha": self.alpha}


@final
@layer
class SReLU(Module):
    """S-shaped ReLU: three linear pieces, learned for each feature.

    ``t_r + a_r (x - t_r)`` from t_r up, ``t_l + a_l (x - t_l)`` from t_l down, and x
    between. SET's best multilayer perceptrons use it.

    Parameters
    ----------
    n_features : int
    dtype : float32 or float64

    Notes
    -----
    Starts at t_l = 0, a_l = 0.2, t_r = 0.4, a_r = 1: a leaky ReLU.

    References
    ----------
    Jin et al., "Deep learning with S-shaped rectified linear activation units",
    arXiv:1512.07030.
    """

    unitwise: ClassVar[bool] = True

    transparent: ClassVar[bool] = True

    def __init__(self, n_features: int, dtype: Any = np.float32) -> None:
        self.n_features = n_features
        start = {"t_left": 0.0, "a_left": 0.2, "t_right": 0.4, "a_right": 1.0}
        for name, value in start.items():
            array = np.full(n_features, value, dtype)
            setattr(self, name, Tensor(array, requires_grad=True))

    t_left: Tensor
    a_left: Tensor
    t_right: Tensor
    a_right: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """Elementwise, with the parameters of each feature (the last axis)."""
        right = self.t_right + self.a_right * (x - self.t_right)
        left = self.t_left + self.a_left * (x - self.t_left)
        middle = ops.where(x.data <= self.t_left.data, left, x)
        return ops.where(x.data >= self.t_right.data, right, middle)

    def select(self, features: np.ndarray) -> SReLU:
        """The parameters of some features."""
        new = SReLU(int(np.count_nonzero(features)), self.t_left.dtype)
        for name in ("t_left", "a_left", "t_right", "a_right"):
            old = getattr(self, name)
            array = old.data[features]
            setattr(new, name, Tensor(array, requires_grad=old.requires_grad))
        new.training = self.training
        return new

    def config(self) -> dict[str, Any]:
        """Number of features."""
        return {"n_features": self.n_features}
