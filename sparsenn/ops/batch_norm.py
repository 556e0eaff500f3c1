"""Batch normalisation as one primitive: it costs as much as a sparse convolution.

An activation keeps everything of a channel, over samples and places, in one piece of
memory. Channels are taken a few at a time, so that the passes over them stay in cache.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from sparsenn.autograd import is_recording
from sparsenn.autograd.array import as_order, empty, is_activation, sample_last
from sparsenn.autograd.registry import Sample, apply, primitive
from sparsenn.autograd.samples import draw
from sparsenn.autograd.tensor import Tensor, as_tensor, wrap
from sparsenn.ops.arithmetic import add, div, mul, sub
from sparsenn.ops.elementwise import sqrt
from sparsenn.ops.reduce import mean as _mean
from sparsenn.ops.reduce import sum as _sum
from sparsenn.ops.shape import reshape

__all__ = ["batch_norm"]

_BLOCK = 1 << 16  # numbers that are looked at together

Moments = list[np.ndarray]


def _rows(x: np.ndarray) -> np.ndarray:
    """The numbers of each channel, shape (channels, samples * places); a view."""
    n = math.prod(x.shape[2:]) * x.shape[0]
    return sample_last(as_order(x, True)).reshape(x.shape[1], n)


def _blocks(rows: np.ndarray) -> Iterator[slice]:
    step = max(1, _BLOCK // max(rows.shape[1], 1))
    for start in range(0, rows.shape[0], step):
        yield slice(start, start + step)


def _centre(rows: np.ndarray, out: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Writes deviations from the mean; returns mean and variance, shape (rows, 1)."""
    n = rows.shape[1]
    mean = np.add.reduce(rows, axis=1, keepdims=True)
    mean /= n
    np.subtract(rows, mean, out=out)
    var = np.einsum("ij,ij->i", out, out)[:, None]
    var /= n
    return mean, var


def _forward(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray,
    *,
    eps: float,
    moments: Moments | None,
) -> np.ndarray:
    rows, out = _rows(x), empty(x.shape, x.dtype)
    y = _rows(out)
    means, variances = np.empty((2, x.shape[1], 1), x.dtype)
    for at in _blocks(rows):
        mean, var = _centre(rows[at], y[at])
        y[at] *= weight[at, None] / np.sqrt(var + x.dtype.type(eps))
        y[at] += bias[at, None]
        means[at], variances[at] = mean, var
    if moments is not None:
        moments[:] = means[:, 0], variances[:, 0]
    return out


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
        return None, None, wrap(np.add.reduce(_rows(g._data), axis=1))
    rows, gradient = _rows(x._data), _rows(g._data)
    n, eps = rows.shape[1], rows.dtype.type(eps)
    dx = empty(x.shape, x.dtype)
    d = _rows(dx)
    dweight, dbias = np.empty((2, rows.shape[0], 1), x.dtype)
    for at in _blocks(rows):
        _, var = _centre(rows[at], d[at])
        scale = 1 / np.sqrt(var + eps)
        dbias[at] = np.add.reduce(gradient[at], axis=1, keepdims=True)
        along = np.einsum("ij,ij->i", gradient[at], d[at])[:, None]
        dweight[at] = scale * along
        if needs[0]:
            d[at] *= -(scale * scale) * along / n
            d[at] += gradient[at]
            d[at] -= dbias[at] / n
            d[at] *= weight._data[at, None] * scale
    return (
        wrap(as_order(dx, is_activation(x._data))) if needs[0] else None,
        wrap(dweight[:, 0]) if needs[1] else None,
        wrap(dbias[:, 0]) if needs[2] else None,
    )


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
    parts = (x, as_tensor(weight, x), as_tensor(bias, x))
    for part in parts[1:]:
        if part.shape != (x.shape[1],):
            raise ValueError(
                f"weight and bias must have shape ({x.shape[1]},), one number a "
                f"channel; got {part.shape}"
            )
    moments: Moments = []
    y = apply(_BATCH_NORM, parts, {"eps": eps, "moments": moments})
    return y, moments[0], moments[1]
