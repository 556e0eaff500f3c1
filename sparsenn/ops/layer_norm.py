"""Normalisation of each sample over its features."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from sparsenn import _core
from sparsenn.autograd.array import as_order
from sparsenn.autograd.mode import is_recording
from sparsenn.autograd.registry import Sample, apply, primitive
from sparsenn.autograd.samples import draw
from sparsenn.autograd.tensor import Tensor, as_tensor, wrap
from sparsenn.ops.arithmetic import div, mul, square, sub
from sparsenn.ops.elementwise import sqrt
from sparsenn.ops.reduce import mean
from sparsenn.ops.reduce import sum as _sum
from sparsenn.ops.shape import join_samples, split_samples

__all__ = ["layer_norm", "rms_norm"]

# With x' = (x - mean) / s, s = sqrt(var + eps), and y = x' w + b:
# dw = sum over samples of dy x',  db = sum of dy,  and with h = dy w
# dx = (h - mean(h) - x' mean(h x')) / s.  RMS norms leave the means of x and h out.


def _normalized(x: Tensor, eps: float, centre: bool) -> tuple[Tensor, Tensor]:
    """x' and 1 / s, recorded."""
    if centre:
        x = sub(x, mean(x, 1, True))
    inverse = div(1, sqrt(mean(square(x), 1, True) + eps))
    return mul(x, inverse), inverse


def _layer_norm(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray, eps: float
) -> np.ndarray:
    return _core.layer_norm(as_order(x, True), weight, bias, eps, True)


def _rms_norm(x: np.ndarray, weight: np.ndarray, eps: float) -> np.ndarray:
    return _core.layer_norm(as_order(x, True), weight, None, eps, False)


def _backward(
    g: Tensor, x: Tensor, weight: Tensor, eps: float, centre: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of x, of the weight and of the bias."""
    if not is_recording():
        data, dy = as_order(x._data, True), as_order(g._data, True)
        found = _core.layer_norm_backward(data, weight._data, dy, eps, centre)
        return wrap(found[0]), wrap(found[1]), wrap(found[2])
    y, scale = _normalized(x, eps, centre)
    h = mul(g, weight)
    dx = sub(h, mul(y, mean(mul(h, y), 1, True)))
    if centre:
        dx = sub(dx, mean(h, 1, True))
    return mul(dx, scale), _sum(mul(g, y), 0), _sum(g, 0)


def _layer_norm_vjp(
    g: Tensor, out: None, inputs: tuple, needs: tuple, eps: float
) -> tuple:
    x, weight, _ = inputs
    if not needs[0] and not needs[1]:
        return None, None, _sum(g, 0)
    return _backward(g, x, weight, eps, True)


def _rms_norm_vjp(
    g: Tensor, out: None, inputs: tuple, needs: tuple, eps: float
) -> tuple:
    x, weight = inputs
    return _backward(g, x, weight, eps, False)[:2]


def _samples(vectors: int, rng: np.random.Generator) -> Iterator[Sample]:
    for n, k in ((3, 4), (1, 3), (2, 9)):
        parts = tuple(draw(rng, (k,)) for _ in range(vectors))
        yield Sample((draw(rng, (n, k)), *parts), {"eps": 1e-3})


def _reference(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray, eps: float
) -> np.ndarray:
    spread = np.sqrt(x.var(1, keepdims=True) + eps)
    return (x - x.mean(1, keepdims=True)) / spread * weight + bias


_LAYER_NORM = primitive(
    "layer_norm",
    _layer_norm,
    _layer_norm_vjp,
    saves=("01", "01", ""),
    sample=lambda rng: _samples(2, rng),
    reference=_reference,
)
_RMS_NORM = primitive(
    "rms_norm",
    _rms_norm,
    _rms_norm_vjp,
    saves=("01", "01"),
    sample=lambda rng: _samples(1, rng),
    reference=lambda x, weight, eps: (
        x / np.sqrt((x * x).mean(1, keepdims=True) + eps) * weight
    ),
)


def layer_norm(x: Any, weight: Any, bias: Any, eps: float = 1e-5) -> Tensor:
    """``(x - mean) / sqrt(var + eps) * weight + bias`` over the last axis.

    Parameters
    ----------
    x : Tensor or array_like, shape (..., n_features)
        Converted to the weight's dtype.
    weight, bias : Tensor or array_like, shape (n_features,)
    eps : float

    Returns
    -------
    Tensor, shape (..., n_features)

    References
    ----------
    Ba et al., "Layer normalization", arXiv:1607.06450.
    """
    x, *vectors = _checked("layer_norm", x, weight, bias)
    y = apply(_LAYER_NORM, (join_samples(x), *vectors), {"eps": float(eps)})
    return split_samples(y, x.shape[:-1])


def rms_norm(x: Any, weight: Any, eps: float = 1e-5) -> Tensor:
    """``x / sqrt(mean(x^2) + eps) * weight`` over the last axis.

    Parameters
    ----------
    x : Tensor or array_like, shape (..., n_features)
        Converted to the weight's dtype.
    weight : Tensor or array_like, shape (n_features,)
    eps : float

    Returns
    -------
    Tensor, shape (..., n_features)

    References
    ----------
    Zhang & Sennrich, "Root mean square layer normalization", arXiv:1910.07467.
    """
    x, weight = _checked("rms_norm", x, weight)
    y = apply(_RMS_NORM, (join_samples(x), weight), {"eps": float(eps)})
    return split_samples(y, x.shape[:-1])


def _checked(name: str, x: Any, *vectors: Any) -> list[Tensor]:
    """All of them, of the dtype of the first vector."""
    x = as_tensor(x)
    if x.ndim < 1 or x.shape[-1] < 1:
        raise ValueError(f"{name} takes (..., n_features >= 1), got {x.shape}")
    found = [as_tensor(vector, x) for vector in vectors]
    for vector in found:
        if vector.shape != x.shape[-1:]:
            raise ValueError(
                f"{name}: x has shape {x.shape}, so a vector must have shape "
                f"{x.shape[-1:]}, not {vector.shape}"
            )
    return [part.astype(found[0].dtype) for part in (x, *found)]
