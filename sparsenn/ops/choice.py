"""Choices between values: masks, maxima, limits, signs."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsenn.autograd.array import as_order, combined_order, is_activation
from sparsenn.autograd.registry import Sample, apply1, apply2, primitive
from sparsenn.autograd.samples import binary, draw, unary
from sparsenn.autograd.tensor import Tensor, as_tensor, wrap
from sparsenn.ops.arithmetic import astype, mul
from sparsenn.ops.broadcasting import unbroadcast

__all__ = [
    "abs",
    "clip",
    "gate",
    "maximum",
    "minimum",
    "sign",
    "where",
]


def _gate_forward(x: np.ndarray, mask: np.ndarray) -> np.ndarray:
    out = np.multiply(x, mask)
    return out if out.ndim < 2 else as_order(out, is_activation(x))


def _gate_vjp(
    g: Tensor, out: None, inputs: tuple, needs: tuple, mask: np.ndarray
) -> tuple:
    return (apply1(_GATE, g, {"mask": mask}),)


_GATE = primitive(
    "gate",
    _gate_forward,
    _gate_vjp,
    sample=lambda rng: [
        Sample((draw(rng, s),), {"mask": rng.random(s) < 0.5}) for s in ((), (3, 2))
    ],
)


def gate(x: Any, mask: np.ndarray) -> Tensor:
    """Keep `x` where `mask` is true, zero elsewhere.

    Parameters
    ----------
    x : Tensor or array_like
    mask : ndarray of bool
        Of the shape of `x`; a constant.

    Returns
    -------
    Tensor
    """
    x = as_tensor(x)
    if mask.shape != x.shape:
        raise ValueError(f"mask has shape {mask.shape}, x has {x.shape}")
    return apply1(_GATE, x, {"mask": mask})


def _where_forward(a: np.ndarray, b: np.ndarray, condition: np.ndarray) -> np.ndarray:
    out = np.where(condition, a, b)
    return out if out.ndim < 2 else combined_order(out, a, b, condition)


def _where_vjp(
    g: Tensor, out: None, inputs: tuple, needs: tuple, condition: np.ndarray
) -> tuple:
    a, b = inputs
    mask = np.broadcast_to(condition, g.shape)
    return (
        unbroadcast(gate(g, mask), a) if needs[0] else None,
        unbroadcast(gate(g, ~mask), b) if needs[1] else None,
    )


_WHERE = primitive(
    "where",
    _where_forward,
    _where_vjp,
    saves=("", ""),
    sample=lambda rng: [
        Sample((draw(rng, a), draw(rng, b)), {"condition": rng.random(c) < 0.5})
        for a, b, c in (((3, 2), (3, 2), (3, 2)), ((2,), (), (3, 1)))
    ],
)


def where(condition: Any, a: Any, b: Any) -> Tensor:
    """`a` where `condition` is true, `b` elsewhere, with broadcasting.

    Parameters
    ----------
    condition : array_like of bool
        A constant.
    a, b : Tensor or array_like

    Returns
    -------
    Tensor
    """
    first = a if type(a) is Tensor else b if type(b) is Tensor else None
    a, b = as_tensor(a, first), as_tensor(b, first)
    if a.dtype != b.dtype:
        a, b = astype(a, np.float64), astype(b, np.float64)
    if type(condition) is Tensor:
        condition = condition._data
    mask = np.asarray(condition, dtype=bool)
    return _WHERE(a, b, condition=mask)


def _maximum_vjp(g: Tensor, out: Tensor, inputs: tuple, needs: tuple) -> tuple:
    # At a tie each operand gets half, so that maximum(x, x) has the slope of x.
    a, b = inputs
    share = (a._data > b._data) + 0.5 * (a._data == b._data)
    return _share(g, share, a, b, needs)


def _minimum_vjp(g: Tensor, out: Tensor, inputs: tuple, needs: tuple) -> tuple:
    a, b = inputs
    share = (a._data < b._data) + 0.5 * (a._data == b._data)
    return _share(g, share, a, b, needs)


def _share(g: Tensor, share: np.ndarray, a: Tensor, b: Tensor, needs: tuple) -> tuple:
    share = np.asarray(share, dtype=g._data.dtype)
    return (
        unbroadcast(mul(g, wrap(share)), a) if needs[0] else None,
        unbroadcast(mul(g, wrap(1 - share)), b) if needs[1] else None,
    )


_MAXIMUM = primitive(
    "maximum", np.maximum, _maximum_vjp, saves=("01", "01"), sample=binary()
)
_MINIMUM = primitive(
    "minimum", np.minimum, _minimum_vjp, saves=("01", "01"), sample=binary()
)


def maximum(a: Any, b: Any) -> Tensor:
    """Larger of two elements; at a tie the gradient is shared equally."""
    return apply2(_MAXIMUM, a, b)


def minimum(a: Any, b: Any) -> Tensor:
    """Smaller of two elements; at a tie the gradient is shared equally."""
    return apply2(_MINIMUM, a, b)


def _clip_vjp(
    g: Tensor,
    out: None,
    inputs: tuple,
    needs: tuple,
    low: float | None,
    high: float | None,
) -> tuple:
    x = inputs[0]._data
    mask = np.ones(x.shape, bool) if low is None else np.asarray(x >= low)
    return (gate(g, mask if high is None else mask & (x <= high)),)


_CLIP = primitive(
    "clip",
    lambda x, low, high: np.clip(x, low, high),
    _clip_vjp,
    saves=("0",),
    sample=lambda rng: [
        Sample((draw(rng, (4, 3)),), {"low": -0.7, "high": 0.9}),
        Sample((draw(rng, (5,)),), {"low": None, "high": 0.5}),
    ],
)


def clip(x: Any, low: float | None = None, high: float | None = None) -> Tensor:
    """Limit to the interval from `low` to `high`; the gradient is zero outside.

    Parameters
    ----------
    x : Tensor or array_like
    low, high : float or None
        None: no limit on that side.

    Returns
    -------
    Tensor
    """
    return apply1(_CLIP, x, {"low": low, "high": high})


def _sign_vjp(g: Tensor, out: None, inputs: tuple, needs: tuple) -> tuple:
    return (None,)


def _abs_vjp(g: Tensor, out: None, inputs: tuple, needs: tuple) -> tuple:
    return (mul(g, wrap(np.asarray(np.sign(inputs[0]._data)))),)


_SIGN = primitive("sign", np.sign, _sign_vjp, sample=unary())
_ABS = primitive("abs", np.abs, _abs_vjp, saves=("0",), sample=unary())


def sign(x: Any) -> Tensor:
    """Sign -1, 0 or 1 of each element; its derivative is zero."""
    return apply1(_SIGN, x)


def abs(x: Any) -> Tensor:
    """Absolute value; the gradient at zero is zero."""
    return apply1(_ABS, x)
