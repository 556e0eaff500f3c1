"""Arithmetic of two operands, with broadcasting."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsenn.autograd.array import as_order, combined_order, is_activation
from sparsenn.autograd.registry import Sample, apply1, apply2, primitive
from sparsenn.autograd.samples import binary, draw, unary
from sparsenn.autograd.tensor import Tensor, as_tensor, wrap
from sparsenn.ops.broadcasting import unbroadcast

__all__ = [
    "abs",
    "add",
    "astype",
    "clip",
    "div",
    "gate",
    "maximum",
    "minimum",
    "mul",
    "neg",
    "pow",
    "sign",
    "square",
    "sub",
    "where",
]


def _add_vjp(g: Tensor, out: None, inputs: tuple, needs: tuple) -> tuple:
    a, b = inputs
    return (
        unbroadcast(g, a) if needs[0] else None,
        unbroadcast(g, b) if needs[1] else None,
    )


def _sub_vjp(g: Tensor, out: None, inputs: tuple, needs: tuple) -> tuple:
    a, b = inputs
    return (
        unbroadcast(g, a) if needs[0] else None,
        unbroadcast(neg(g), b) if needs[1] else None,
    )


def _mul_vjp(g: Tensor, out: None, inputs: tuple, needs: tuple) -> tuple:
    a, b = inputs
    return (
        unbroadcast(apply2(_MUL, g, b), a) if needs[0] else None,
        unbroadcast(apply2(_MUL, g, a), b) if needs[1] else None,
    )


def _div_vjp(g: Tensor, out: Tensor, inputs: tuple, needs: tuple) -> tuple:
    a, b = inputs
    by_a = apply2(_DIV, g, b)
    return (
        unbroadcast(by_a, a) if needs[0] else None,
        unbroadcast(neg(mul(by_a, out)), b) if needs[1] else None,
    )


def _neg_vjp(g: Tensor, out: None, inputs: tuple, needs: tuple) -> tuple:
    return (neg(g),)


_ADD = primitive("add", np.add, _add_vjp, saves=("", ""), sample=binary())
_SUB = primitive("sub", np.subtract, _sub_vjp, saves=("", ""), sample=binary())
_MUL = primitive("mul", np.multiply, _mul_vjp, saves=("1", "0"), sample=binary())
_DIV = primitive("div", np.divide, _div_vjp, saves=("1", "1o"), sample=binary(0.5, 2))
_NEG = primitive("neg", np.negative, _neg_vjp, sample=unary())


def add(a: Any, b: Any) -> Tensor:
    """Sum ``a + b`` of tensors or arrays, with broadcasting."""
    return apply2(_ADD, a, b)


def sub(a: Any, b: Any) -> Tensor:
    """Difference ``a - b``, with broadcasting."""
    return apply2(_SUB, a, b)


def mul(a: Any, b: Any) -> Tensor:
    """Elementwise product ``a * b``, with broadcasting."""
    return apply2(_MUL, a, b)


def div(a: Any, b: Any) -> Tensor:
    """Quotient ``a / b``, with broadcasting."""
    return apply2(_DIV, a, b)


def neg(x: Any) -> Tensor:
    """Negative ``-x``."""
    return apply1(_NEG, x)


# --- choices ------------------------------------------------------------------------


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


# --- signs and powers -----------------------------------------------------------------


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


def _power_forward(x: np.ndarray, exponent: float) -> np.ndarray:
    if exponent == 2:
        return np.multiply(x, x)
    return np.power(x, x.dtype.type(exponent))


def _power_vjp(
    g: Tensor, out: None, inputs: tuple, needs: tuple, exponent: float
) -> tuple:
    return (mul(g, mul(pow(inputs[0], exponent - 1), exponent)),)


_POWER = primitive(
    "power",
    _power_forward,
    _power_vjp,
    saves=("0",),
    sample=lambda rng: [
        Sample((draw(rng, (3, 2)),), {"exponent": 2}),
        Sample((draw(rng, (4,)),), {"exponent": 3}),
        Sample((draw(rng, (3, 2), 0.5),), {"exponent": -1.5}),
    ],
    reference=lambda x, exponent: x**exponent,
)


def _pow_vjp(g: Tensor, out: Tensor, inputs: tuple, needs: tuple) -> tuple:
    from sparsenn.ops.elementwise import log

    a, b = inputs
    return (
        unbroadcast(mul(g, mul(b, pow(a, sub(b, 1)))), a) if needs[0] else None,
        unbroadcast(mul(g, mul(out, log(a))), b) if needs[1] else None,
    )


_POW = primitive("pow", np.power, _pow_vjp, saves=("01", "0o"), sample=binary(0.5, 2.0))


def pow(x: Any, exponent: Any) -> Tensor:
    """Power ``x ** exponent``.

    Parameters
    ----------
    x : Tensor or array_like
    exponent : float, Tensor or array_like
        A number is a constant, and `x` may then be negative where NumPy allows it;
        the gradient of a tensor exponent needs a positive `x`.

    Returns
    -------
    Tensor
    """
    if isinstance(exponent, int | float | np.number):
        if exponent == 1:
            return as_tensor(x)
        x = as_tensor(x)
        if exponent == 0:
            return wrap(np.ones_like(x._data))
        return apply1(_POWER, x, {"exponent": exponent})
    return apply2(_POW, x, exponent)


def square(x: Any) -> Tensor:
    """Square of each element."""
    return pow(x, 2)


def _astype_vjp(
    g: Tensor, out: None, inputs: tuple, needs: tuple, dtype: np.dtype
) -> tuple:
    return (astype(g, inputs[0].dtype),)


_ASTYPE = primitive(
    "astype",
    lambda x, dtype: x.astype(dtype),
    _astype_vjp,
    sample=unary(dtype=np.dtype(np.float64)),
)


def astype(x: Any, dtype: Any) -> Tensor:
    """Convert to float32 or float64; the gradient is converted back."""
    x = as_tensor(x)
    dtype = np.dtype(dtype)
    if dtype != np.float32 and dtype != np.float64:
        raise TypeError(f"dtype {dtype} is not supported; use float32 or float64")
    return x if x.dtype == dtype else apply1(_ASTYPE, x, {"dtype": dtype})
