"""Batch normalisation as one primitive, with kernels of its own.

Array operations would take as long as a sparse convolution. An activation keeps all of
a channel, over samples and places, in one piece of memory.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sparsenn import _core
from sparsenn.autograd import is_recording
from sparsenn.autograd.array import as_order, is_activation, sample_last
from sparsenn.autograd.registry import Sample, apply, primitive
from sparsenn.autograd.samples import draw
from sparsenn.autograd.tensor import Tensor, as_tensor, wrap
from sparsenn.ops.arithmetic import add, div, mul, sub
from sparsenn.ops.elementwise import sqrt
from sparsenn.ops.reduce import mean as _mean
from sparsenn.ops.reduce import sum as _sum
from sparsenn.ops.shape import reshape

__all__ = ["batch_norm"]

Moments = list[np.ndarray]


def _columns(x: np.ndarray) -> np.ndarray:
    """The numbers of each channel, shape (samples * places, channels); a view."""
    n = math.prod(x.shape[2:]) * x.shape[0]
    return sample_last(as_order(x, True)).reshape(x.shape[1], n).T


def _images(columns: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The inverse of `_columns`."""
    return np.moveaxis(columns.T.reshape(*shape[1:], shape[0]), -1, 0)


def _forward(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray,
    *,
    eps: float,
    moments: Moments | None,
) -> np.ndarray:
    y, *found = _core.batch_norm(_columns(x), weight, bias, eps)
    if moments is not None:
        moments[:] = found
    return _images(y, x.shape)


def _vjp(
    g: Tensor,
    out: None,
    inputs: tuple,
    needs: tuple,
    *,
    eps: float,
    moments: Moments | None,
) -> tuple:
    if is_recording():
        return _recorded(g, inputs, needs, eps)
    x, weight, _ = inputs
    if not (needs[0] or needs[1]):
        return None, None, wrap(np.add.reduce(_columns(g._data), axis=0))
    columns = _columns(x._data)
    if moments:
        mean, var = moments
    else:
        _, mean, var = _core.batch_norm(columns, weight._data, weight._data, eps)
    found, dweight, dbias = _core.batch_norm_backward(
        columns, weight._data, mean, var, _columns(g._data), eps, needs[0]
    )
    dx = None
    if found is not None:
        dx = wrap(as_order(_images(found, x.shape), is_activation(x._data)))
    return dx, wrap(dweight) if needs[1] else None, wrap(dbias) if needs[2] else None


def _recorded(g: Tensor, inputs: tuple, needs: tuple, eps: float) -> tuple:
    """The same of operations, which have derivatives themselves."""
    x, weight, _ = inputs
    axes = tuple(i for i in range(g.ndim) if i != 1)
    total = _sum(g, axes)
    if not (needs[0] or needs[1]):
        return None, None, total
    shape = (-1, *(1,) * (g.ndim - 2))
    centred = sub(x, _mean(x, axes, True))
    std = sqrt(add(_mean(mul(centred, centred), axes, True), eps))
    normed = div(centred, std)
    dweight = _sum(mul(g, normed), axes)
    dx = None
    if needs[0]:
        n = g.size // g.shape[1]
        inner = add(mul(normed, reshape(dweight, shape)), reshape(total, shape))
        dx = mul(sub(g, mul(inner, 1 / n)), div(reshape(weight, shape), std))
    return dx, dweight if needs[1] else None, total if needs[2] else None


def _cases(rng: np.random.Generator) -> list[Sample]:
    return [
        Sample(
            (draw(rng, s), draw(rng, (s[1],)), draw(rng, (s[1],))),
            {"eps": 0.1, "moments": None},
        )
        for s in ((4, 2), (3, 2, 2), (2, 2, 2, 1))
    ]


def _reference(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray, eps: float, moments: None
) -> np.ndarray:
    axes = tuple(i for i in range(x.ndim) if i != 1)
    shape = (-1, *(1,) * (x.ndim - 2))
    normed = (x - x.mean(axes, keepdims=True)) / np.sqrt(
        x.var(axes, keepdims=True) + eps
    )
    return normed * weight.reshape(shape) + bias.reshape(shape)


_BATCH_NORM = primitive(
    "batch_norm",
    _forward,
    _vjp,
    saves=("01", "0", ""),
    sample=_cases,
    reference=_reference,
)


def batch_norm(
    x: Any, weight: Any, bias: Any, eps: float = 1e-5
) -> tuple[Tensor, np.ndarray, np.ndarray]:
    """Each channel brought to mean 0 and variance 1, then scaled and shifted.

    Parameters
    ----------
    x : Tensor or array_like, shape (batch, channels, ...)
        Converted to the weight's dtype.
    weight, bias : Tensor or array_like, shape (channels,)
    eps : float
        Added to the variance.

    Returns
    -------
    y : Tensor, shape of x
    mean, var : ndarray, shape (channels,)
        Of the batch, over all axes but the channels; the variance is biased. Nothing
        is recorded of them.

    Raises
    ------
    ValueError
        If shapes do not fit, or there is nothing to take the mean of.

    References
    ----------
    Ioffe & Szegedy, "Batch normalization", arXiv:1502.03167.
    """
    x = as_tensor(x)
    if x.ndim < 2 or (x.size == 0 and x.shape[1] > 0):
        raise ValueError(
            f"batch_norm takes (batch, channels, ...) with at least one number a "
            f"channel, got {x.shape}"
        )
    weight, bias = as_tensor(weight, x), as_tensor(bias, x)
    for part in (weight, bias):
        if part.shape != (x.shape[1],):
            raise ValueError(
                f"weight and bias must have shape ({x.shape[1]},), one number a "
                f"channel; got {part.shape}"
            )
    moments: Moments = []
    parts = x.astype(weight.dtype), weight, bias.astype(weight.dtype)
    y = apply(_BATCH_NORM, parts, {"eps": eps, "moments": moments})
    return y, moments[0].copy(), moments[1].copy()
