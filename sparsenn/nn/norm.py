"""Normalisation over the batch and over features."""

from __future__ import annotations

from typing import Any, ClassVar, final

import numpy as np

from sparsenn import ops
from sparsenn.autograd import Tensor
from sparsenn.nn.config import layer
from sparsenn.nn.module import Module


@final
@layer
class BatchNorm1d(Module):
    """Normalises each feature over the batch, then scales and shifts it.

    Parameters
    ----------
    n_features : int
    eps : float
        Added to the variance.
    momentum : float
        Weight of the newest batch in the running statistics, which evaluation uses.
    dtype : float32 or float64

    Notes
    -----
    The batch is normalised by its biased variance; the running variance averages the
    unbiased one.

    References
    ----------
    Ioffe & Szegedy, "Batch normalization", arXiv:1502.03167.
    """

    buffers: ClassVar[tuple[str, ...]] = ("running_mean", "running_var")

    unitwise: ClassVar[bool] = True  # in evaluation

    def __init__(
        self,
        n_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        dtype: Any = np.float32,
    ) -> None:
        self.n_features = n_features
        self.eps = eps
        self.momentum = momentum
        self.weight = Tensor(np.ones(n_features, dtype), requires_grad=True)
        self.bias = Tensor(np.zeros(n_features, dtype), requires_grad=True)
        self.running_mean = np.zeros(n_features, dtype)
        self.running_var = np.ones(n_features, dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Shape (batch, n_features) in and out.

        One sample has no variance: in training, too, it is normalised by the running
        statistics, and leaves them as they are.
        """
        if x.ndim != 2 or x.shape[1] != self.n_features:
            raise ValueError(
                f"BatchNorm1d({self.n_features}) takes (batch, {self.n_features}), "
                f"got {x.shape}"
            )
        batch = x.shape[0]
        if self.training and batch > 1:
            mean = ops.mean(x, axis=0)
            centred = x - mean
            var = ops.mean(centred * centred, axis=0)
            m = self.momentum
            self.running_mean += m * (mean.data - self.running_mean)
            self.running_var += m * (
                var.data * (batch / (batch - 1)) - self.running_var
            )
        else:
            centred = x - self.running_mean
            var = Tensor(self.running_var)
        return centred * (self.weight / ops.sqrt(var + self.eps)) + self.bias

    def select(self, features: np.ndarray) -> BatchNorm1d:
        """The parameters and statistics of some features."""
        n, dtype = int(np.count_nonzero(features)), self.weight.dtype
        new = BatchNorm1d(n, self.eps, self.momentum, dtype)
        for name in ("weight", "bias"):
            old = getattr(self, name)
            array = old.data[features]
            setattr(new, name, Tensor(array, requires_grad=old.requires_grad))
        new.running_mean = self.running_mean[features]
        new.running_var = self.running_var[features]
        new.training = self.training
        return new

    def config(self) -> dict[str, Any]:
        """Sizes and constants."""
        return {
            "n_features": self.n_features,
            "eps": self.eps,
            "momentum": self.momentum,
        }


@final
@layer
class LayerNorm(Module):
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

    unitwise: ClassVar[bool] = False

    def __init__(
        self, n_features: int, eps: float = 1e-5, dtype: Any = np.float32
    ) -> None:
        self.n_features = n_features
        self.eps = eps
        self.weight = Tensor(np.ones(n_features, dtype), requires_grad=True)
        self.bias = Tensor(np.zeros(n_features, dtype), requires_grad=True)

    def forward(self, x: Tensor) -> Tensor:
        """Shape (..., n_features) in and out."""
        if x.shape[-1] != self.n_features:
            raise ValueError(
                f"LayerNorm({self.n_features}) takes (..., {self.n_features}), "
                f"got {x.shape}"
            )
        centred = x - ops.mean(x, axis=-1, keepdims=True)
        var = ops.mean(centred * centred, axis=-1, keepdims=True)
        return centred / ops.sqrt(var + self.eps) * self.weight + self.bias

    def config(self) -> dict[str, Any]:
        """Size and constant."""
        return {"n_features": self.n_features, "eps": self.eps}
