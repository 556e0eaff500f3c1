"""Normalisation of each channel over the batch."""

from __future__ import annotations

from typing import Any, ClassVar, Self, final

import numpy as np

from sparsenn import ops
from sparsenn.autograd import Tensor
from sparsenn.nn.config import layer
from sparsenn.nn.norm import Norm


class _BatchNorm(Norm):
    """What the layers share, which only differ in the input that they take."""

    buffers: ClassVar[tuple[str, ...]] = ("running_mean", "running_var")

    unitwise: ClassVar[bool] = True  # in evaluation

    _axes: ClassVar[dict[int, str]]

    def __init__(
        self,
        n_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        dtype: Any = np.float32,
    ) -> None:
        super().__init__(n_features, eps, dtype)
        if not 0 <= momentum <= 1:
            raise ValueError(f"momentum must be in [0, 1], got {momentum}")
        self.momentum = momentum
        self.running_mean = np.zeros(n_features, dtype)
        self.running_var = np.ones(n_features, dtype)

    def forward(self, x: Tensor) -> Tensor:
        """The same shape in and out.

        A single number a channel has no variance: in training, too, it is normalised
        by the running statistics, and leaves them as they are.
        """
        if x.ndim not in self._axes or x.shape[1] != self.n_features:
            allowed = " or ".join(
                f"(batch, {self.n_features}{axes})" for axes in self._axes.values()
            )
            raise ValueError(
                f"{type(self).__name__}({self.n_features}) takes {allowed}, "
                f"got {x.shape}"
            )
        x = x.astype(self.weight.dtype)
        n = x.size // self.n_features if self.n_features else 0
        if self.training and n > 1:
            y, mean, var = ops.batch_norm(x, self.weight, self.bias, self.eps)
            m = self.momentum
            self.running_mean += m * (mean - self.running_mean)
            self.running_var += m * (var * (n / (n - 1)) - self.running_var)
            return y
        shape = (-1, *(1,) * (x.ndim - 2))
        scale = self.weight / ops.sqrt(Tensor(self.running_var) + self.eps)
        centred = x - self.running_mean.reshape(shape)
        return centred * scale.reshape(shape) + self.bias.reshape(shape)

    def select(self, features: np.ndarray) -> Self:
        """The parameters and statistics of some features."""
        n, dtype = int(np.count_nonzero(features)), self.weight.dtype
        new = type(self)(n, self.eps, self.momentum, dtype)
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
        return {**super().config(), "momentum": self.momentum}


@final
@layer
class BatchNorm1d(_BatchNorm):
    """Normalises each feature over the batch, then scales and shifts it.

    Takes (batch, n_features) or (batch, n_features, length).

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

    _axes: ClassVar[dict[int, str]] = {2: "", 3: ", length"}


@final
@layer
class BatchNorm2d(_BatchNorm):
    """Normalises each channel over the batch and all pixels, then scales and shifts it.

    Takes (batch, n_features, height, width).

    Parameters
    ----------
    n_features : int
        Channels.
    eps, momentum, dtype
        As of :class:`BatchNorm1d`.

    References
    ----------
    Ioffe & Szegedy, "Batch normalization", arXiv:1502.03167, section 3.2.
    """

    _axes: ClassVar[dict[int, str]] = {4: ", height, width"}
