"""Dropout with addressable random masks."""

from __future__ import annotations

import math
from typing import Any, ClassVar, final

import numpy as np

from sparsenn import ops
from sparsenn.autograd import Tensor
from sparsenn.autograd.array import is_activation
from sparsenn.nn.config import layer
from sparsenn.nn.module import Module
from sparsenn.random import Purpose, Stream, as_seed


@final
@layer
class Dropout(Module):
    """While training, zeroes each activation with probability `p`, scales the rest.

    Parameters
    ----------
    p : float
        In [0, 1).
    seed : int, Generator or None
        The mask of call t is a function of (seed, number, t) alone.
    number : int
        Number of this layer in its model.

    References
    ----------
    Srivastava et al., "Dropout: a simple way to prevent neural networks from
    overfitting", 2014.
    """

    buffers: ClassVar[tuple[str, ...]] = ("calls",)

    unitwise: ClassVar[bool] = True

    transparent: ClassVar[bool] = True

    def __init__(
        self,
        p: float = 0.5,
        *,
        seed: int | np.random.Generator | None = None,
        number: int = 0,
    ) -> None:
        if not 0.0 <= p < 1.0:
            raise ValueError(f"p must be in [0, 1), got {p}")
        self.p = p
        self.seed = as_seed(seed)
        self.number = number
        self.calls = np.zeros(1, np.int64)

    def forward(self, x: Tensor) -> Tensor:
        """The masked activations; the identity in evaluation."""
        if not self.training or self.p == 0.0:
            return x
        if x.ndim > 2 and not is_activation(x.data):  # tokens: all axes but the last
            return ops.split_samples(self.forward(ops.join_samples(x)), x.shape[:-1])
        step = int(self.calls[0])
        self.calls += 1
        stream = Stream(self.seed, Purpose.DROPOUT, layer=self.number, step=step)
        return x * _mask(x.shape, self.p, stream, x.dtype)

    def config(self) -> dict[str, Any]:
        """Probability, seed and number."""
        return {"p": self.p, "seed": self.seed, "number": self.number}


def _mask(
    shape: tuple[int, ...], p: float, stream: Stream, dtype: np.dtype
) -> np.ndarray:
    """0 with probability `p`, else 1 / (1 - p), with the sample axis fastest."""
    keep = stream.bits(math.prod(shape)) >= np.uint32(p * 2**32)
    scaled = keep * dtype.type(1.0 / (1.0 - p))
    return np.moveaxis(scaled.reshape(*shape[1:], shape[0]), -1, 0)
