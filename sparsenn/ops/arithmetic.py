"""Arithmetic of two operands, with broadcasting."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsenn.autograd.registry import Sample, apply1, apply2, primitive
from sparsenn.autograd.samples import binary, draw, unary
from sparsenn.autograd.tensor import Tensor, as_tensor, wrap
from sparsenn.ops.broadcasting import unbroadcast

__all__ = [
    "add",
    "astype",
    "div",
    "mul",
    "neg",
    "pow",
    "square",
    "sub",
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


# --- powers and dtypes --------------------------------------------------------------


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
