"""One budget of connections for all weights of a model that is not a plain chain."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from sparsenn import nn
from sparsenn.random import as_seed
from sparsenn.sizes import pair, whole
from sparsenn.sparse import allocate

__all__ = ["Layers", "weight_axes", "with_budget"]

Shape = tuple[int, ...]
Size = int | tuple[int, int]


class Layers:
    """Makes the layers with weights of a model, numbered in the order of their making.

    Parameters
    ----------
    counts : sequence of int or None
        Connections of each weight; None makes them without any, to learn their shapes.
    seed : int
        Of connections and values; layers differ by their number.
    dtype : float32 or float64
    input_rms : float
        Root mean square of an input; the first weight's initial values are divided by
        it.

    Attributes
    ----------
    axes : list of tuple of int
        (n_out, n_in) of each weight made so far; of a convolution n_in is that of a
        group, and its kernel follows.
    """

    def __init__(
        self,
        counts: Sequence[int] | None = None,
        *,
        seed: int = 0,
        dtype: Any = np.float32,
        input_rms: float = 1.0,
    ) -> None:
        self.axes: list[Shape] = []
        self.seed = seed
        self.dtype = dtype
        self._counts = counts
        self._input_rms = input_rms

    def conv(
        self,
        n_in: int,
        n_out: int,
        kernel_size: Size,
        *,
        stride: Size = 1,
        padding: Size | None = None,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = False,
        gain: float = math.sqrt(2.0),
    ) -> nn.Conv2d:
        """A convolution; by default padded so that odd kernels keep the size.

        Sizes are an integer, or a pair of height and width.
        """
        height, width = pair("kernel_size", kernel_size)
        if padding is None:
            down, across = pair("dilation", dilation)
            padding = height // 2 * down, width // 2 * across
        axes = n_out, n_in // whole("groups", groups), height, width
        return nn.Conv2d(
            n_in,
            n_out,
            (height, width),
            stride=stride,
            padding=padding,
            dilation=dilation,
            groups=groups,
            bias=bias,
            **self._common(axes, gain),
        )

    def linear(
        self, n_in: int, n_out: int, *, gain: float = math.sqrt(2.0)
    ) -> nn.Linear:
        """A fully connected layer."""
        return nn.Linear(n_in, n_out, **self._common((n_out, n_in), gain))

    def batch_norm(self, n_features: int) -> nn.BatchNorm2d:
        """Batch normalisation of images."""
        return nn.BatchNorm2d(n_features, dtype=self.dtype)

    def _common(self, axes: Shape, gain: float) -> dict[str, Any]:
        number = len(self.axes)
        self.axes.append(axes)
        gain /= self._input_rms if number == 0 else 1.0
        return {
            "nnz": 0 if self._counts is None else self._counts[number],
            "init": nn.init.KaimingNormal(gain),
            "seed": self.seed,
            "number": number,
            "dtype": self.dtype,
        }


Builder = Callable[[Layers], nn.Sequential]


def weight_axes(build: Builder) -> list[Shape]:
    """(n_out, n_in[, kernel height, kernel width]) of each weight of a model."""
    layers = Layers()
    build(layers)
    return layers.axes


def with_budget(
    build: Builder,
    density: float | None,
    *,
    init: str = "erk",
    keep_dense: Sequence[int] = (),
    input_rms: float = 1.0,
    seed: int | np.random.Generator | None = None,
    dtype: Any = np.float32,
) -> nn.Sequential:
    """A model whose weights share one budget of connections.

    Parameters
    ----------
    build : callable
        ``build(layers)`` makes the model, with all of its weights by `layers`. It is
        called twice: to learn the shapes of the weights, and with their connections.
    density : float or None
        Of the whole network, exactly: ``round(density * positions)`` connections, all
        weights counted. None: every connection, to be pruned before training.
    init : {"erk", "er", "uniform", "igq"}
        How weights share the connections (:func:`sparsenn.sparse.allocate`).
    keep_dense : sequence of int
        Weights that stay dense; negative numbers count from the last.
    input_rms : float
        Root mean square of an input feature, see :func:`mlp`.
    seed : int, Generator or None
    dtype : float32 or float64
    """
    if not 0.0 < input_rms < math.inf:
        raise ValueError(f"input_rms must be positive and finite, got {input_rms}")
    axes = weight_axes(build)
    for number in keep_dense:
        if not -len(axes) <= number < len(axes):
            raise ValueError(f"keep_dense names layer {number}, there are {len(axes)}")
    counts = allocate(
        axes,
        1.0 if density is None else density,
        method=init,
        keep_dense=sorted({number % len(axes) for number in keep_dense}),
    )
    layers = Layers(counts, seed=as_seed(seed), dtype=dtype, input_rms=input_rms)
    return build(layers)
