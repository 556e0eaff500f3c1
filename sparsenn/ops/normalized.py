"""The softmax family along one axis."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsenn.autograd.registry import Sample, apply1, primitive
from sparsenn.autograd.samples import draw
from sparsenn.autograd.tensor import Tensor, as_tensor
from sparsenn.ops.arithmetic import mul, sub
from sparsenn.ops.elementwise import exp
from sparsenn.ops.reduce import sum as _sum
from sparsenn.ops.shape import expand_dims

__all__ = ["log_softmax", "logsumexp", "softmax"]


def _shifted(x: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """Largest element along the axis (0 where it is infinite), and exp(x - it)."""
    top = np.maximum.reduce(x, axis=axis, keepdims=True)
    if not np.isfinite(top).all():
        top = np.where(np.isfinite(top), top, 0)
    return top, np.exp(x - top)


def softmax_array(x: np.ndarray, axis: int) -> np.ndarray:
    """Softmax of an array, for forward passes and fused gradients."""
    e = _shifted(x, axis)[1]
    e /= np.add.reduce(e, axis=axis, keepdims=True)
    return e


def log_softmax_array(x: np.ndarray, axis: int) -> np.ndarray:
    """Logarithm of the softmax of an array, without overflow or cancellation."""
    top, e = _shifted(x, axis)
    return x - top - np.log(np.add.reduce(e, axis=axis, keepdims=True))


def _logsumexp_forward(x: np.ndarray, axis: int) -> np.ndarray:
    top, e = _shifted(x, axis)
    with np.errstate(divide="ignore"):  # all -inf: the result is -inf
        out = top + np.log(np.add.reduce(e, axis=axis, keepdims=True))
    return np.squeeze(out, axis)


def _softmax_vjp(
    g: Tensor, out: Tensor, inputs: tuple, needs: tuple, axis: int
) -> tuple:
    inner = _sum(mul(g, out), axis, True)
    return (mul(out, sub(g, inner)),)


def _log_softmax_vjp(
    g: Tensor, out: Tensor, inputs: tuple, needs: tuple, axis: int
) -> tuple:
    return (sub(g, mul(exp(out), _sum(g, axis, True))),)


def _logsumexp_vjp(
    g: Tensor, out: None, inputs: tuple, needs: tuple, axis: int
) -> tuple:
    return (mul(softmax(inputs[0], axis), expand_dims(g, axis)),)


def _cases(rng: np.random.Generator) -> list[Sample]:
    return [
        Sample((draw(rng, s),), {"axis": a})
        for s, a in (((4,), 0), ((3, 4), 1), ((3, 2), 0), ((2, 3, 2), 1))
    ]


def _reference(x: np.ndarray, axis: int) -> np.ndarray:
    return np.exp(x) / np.exp(x).sum(axis, keepdims=True)


_SOFTMAX = primitive(
    "softmax",
    softmax_array,
    _softmax_vjp,
    saves=("o",),
    sample=_cases,
    reference=_reference,
)
_LOG_SOFTMAX = primitive(
    "log_softmax",
    log_softmax_array,
    _log_softmax_vjp,
    saves=("o",),
    sample=_cases,
    reference=lambda x, axis: np.log(_reference(x, axis)),
)
_LOGSUMEXP = primitive(
    "logsumexp",
    _logsumexp_forward,
    _logsumexp_vjp,
    saves=("0",),
    sample=_cases,
    reference=lambda x, axis: np.log(np.exp(x).sum(axis)),
)


def _along(x: Any, axis: int) -> tuple[Tensor, dict[str, Any]]:
    x = as_tensor(x)
    positive = axis + x.ndim if axis < 0 else axis
    if not 0 <= positive < x.ndim:
        raise ValueError(f"axis {axis} is out of range for shape {x.shape}")
    return x, {"axis": positive}


def softmax(x: Any, axis: int = -1) -> Tensor:
    """``exp(x) / sum(exp(x))`` along an axis, without overflow."""
    return apply1(_SOFTMAX, *_along(x, axis))


def log_softmax(x: Any, axis: int = -1) -> Tensor:
    """Logarithm of the softmax along an axis, without overflow or cancellation."""
    return apply1(_LOG_SOFTMAX, *_along(x, axis))


def logsumexp(x: Any, axis: int = -1, keepdims: bool = False) -> Tensor:
    """``log(sum(exp(x)))`` along an axis, without overflow."""
    x, static = _along(x, axis)
    out = apply1(_LOGSUMEXP, x, static)
    return expand_dims(out, static["axis"]) if keepdims else out
