"""Normalisation of each sample over its features."""

from __future__ import annotations

import math
from typing import Any, ClassVar, final

import numpy as np

from sparsenn import ops
from sparsenn.autograd import Tensor
from sparsenn.nn.config import layer
from sparsenn.nn.module import Module
from sparsenn.sizes import whole


class Norm(Module):
    """What normalisations share: a scale and, mostly, a shift of each feature.

    Inputs are converted to their dtype.

    Parameters
    ----------
    n_features : int
    eps : float
        Added to the variance.
    dtype : float32 or float64
    """

    unitwise: ClassVar[bool] = False

    transparent: ClassVar[bool] = True

    #: Whether there is a `bias`.
    shifts: ClassVar[bool] = True

    bias: Tensor

    def __init__(
        self, n_features: int, eps: float = 1e-5, dtype: Any = np.float32
    ) -> None:
        self.n_features = whole("n_features", n_features, 0)
        if not 0 <= eps < math.inf:
            raise ValueError(f"eps must be at least 0 and finite, got {eps}")
        self.eps = eps
        self.weight = Tensor(np.ones(n_features, dtype), requires_grad=True)
        if self.shifts:
            self.bias = Tensor(np.zeros(n_features, dtype), requires_grad=True)

    def config(self) -> dict[str, Any]:
        """Size and constant."""
        return {"n_features": self.n_features, "eps": self.eps}


@final
@layer
class LayerNorm(Norm):
    """Normalises each sample over its features, then scales and shifts them.

    Parameters
    ----------
    n_features : int
        Size of the last axis.
    eps : float
        Added to the variance.
    dtype : float32 or float64

    References
    ----------
    Ba et al., "Layer normalization", arXiv:1607.06450.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Shape (..., n_features) in and out."""
        return ops.layer_norm(x, self.weight, self.bias, self.eps)


@final
@layer
class RMSNorm(Norm):
    """Divides each sample by the root mean square of its features, then scales them.

    Parameters
    ----------
    n_features : int
        Size of the last axis.
    eps : float
        Added to the mean square.
    dtype : float32 or float64

    References
    ----------
    Zhang & Sennrich, "Root mean square layer normalization", arXiv:1910.07467.
    """

    shifts: ClassVar[bool] = False

    def forward(self, x: Tensor) -> Tensor:
        """Shape (..., n_features) in and out."""
        return ops.rms_norm(x, self.weight, self.eps)


@final
@layer
class GroupNorm(Norm):
    """Normalises each sample over groups of channels and all places.

    Then scales and shifts each channel. One group is layer normalisation over channels
    and places, as many groups as channels instance normalisation.

    Parameters
    ----------
    n_groups : int
    n_features : int
        Channels, a multiple of `n_groups`.
    eps : float
        Added to the variance.
    dtype : float32 or float64

    References
    ----------
    Wu & He, "Group normalization", arXiv:1803.08494.
    """

    def __init__(
        self,
        n_groups: int,
        n_features: int,
        eps: float = 1e-5,
        dtype: Any = np.float32,
    ) -> None:
        self.n_groups = whole("n_groups", n_groups)
        super().__init__(n_features, eps, dtype)
        if n_features < n_groups or n_features % n_groups:
            raise ValueError(
                f"n_features must be a multiple of n_groups, got {n_features} channels "
                f"and {n_groups} groups"
            )

    def forward(self, x: Tensor) -> Tensor:
        """Shape (batch, n_features, ...) in and out."""
        if x.ndim < 2 or x.shape[1] != self.n_features:
            raise ValueError(
                f"GroupNorm({self.n_groups}, {self.n_features}) takes (batch, "
                f"{self.n_features}, ...), got {x.shape}"
            )
        x = x.astype(self.weight.dtype)
        groups = ops.reshape(x, (x.shape[0], self.n_groups, -1))
        centred = groups - ops.mean(groups, axis=2, keepdims=True)
        var = ops.mean(centred * centred, axis=2, keepdims=True)
        normed = ops.reshape(centred / ops.sqrt(var + self.eps), x.shape)
        shape = (-1, *(1,) * (x.ndim - 2))
        return normed * self.weight.reshape(shape) + self.bias.reshape(shape)

    def config(self) -> dict[str, Any]:
        """Sizes and constant."""
        return {"n_groups": self.n_groups, **super().config()}


@final
@layer
class LayerNorm2d(Norm):
    """Normalises each pixel of each sample over its channels, then scales and shifts.

    :class:`LayerNorm` where channels come before places; parameters are the same.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Shape (batch, n_features, height, width) in and out."""
        if x.ndim != 4 or x.shape[1] != self.n_features:
            raise ValueError(
                f"LayerNorm2d({self.n_features}) takes (batch, {self.n_features}, "
                f"height, width), got {x.shape}"
            )
        x = x.astype(self.weight.dtype)
        centred = x - ops.mean(x, axis=1, keepdims=True)
        var = ops.mean(centred * centred, axis=1, keepdims=True)
        normed = centred / ops.sqrt(var + self.eps)
        shape = (-1, 1, 1)
        return normed * self.weight.reshape(shape) + self.bias.reshape(shape)
