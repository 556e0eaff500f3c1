"""Smooth functions of one operand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sparsenn.autograd.registry import apply1, primitive
from sparsenn.autograd.samples import unary
from sparsenn.autograd.tensor import Tensor
from sparsenn.ops.arithmetic import add, div, mul, neg, square, sub

__all__ = [
    "cos",
    "erf",
    "exp",
    "expm1",
    "log",
    "log1p",
    "sigmoid",
    "sin",
    "softplus",
    "sqrt",
    "tanh",
]


def _exp_vjp(g: Tensor, out: Tensor, inputs: tuple, needs: tuple) -> tuple:
    return (mul(g, out),)


def _expm1_vjp(g: Tensor, out: Tensor, inputs: tuple, needs: tuple) -> tuple:
    return (mul(g, add(out, 1)),)


def _log_vjp(g: Tensor, out: None, inputs: tuple, needs: tuple) -> tuple:
    return (div(g, inputs[0]),)


def _log1p_vjp(g: Tensor, out: None, inputs: tuple, needs: tuple) -> tuple:
    return (div(g, add(inputs[0], 1)),)


def _sqrt_vjp(g: Tensor, out: Tensor, inputs: tuple, needs: tuple) -> tuple:
    return (div(mul(g, 0.5), out),)


def _sin_vjp(g: Tensor, out: None, inputs: tuple, needs: tuple) -> tuple:
    return (mul(g, cos(inputs[0])),)


def _cos_vjp(g: Tensor, out: None, inputs: tuple, needs: tuple) -> tuple:
    return (neg(mul(g, sin(inputs[0]))),)


def _tanh_vjp(g: Tensor, out: Tensor, inputs: tuple, needs: tuple) -> tuple:
    return (mul(g, sub(1, square(out))),)


def sigmoid_array(x: np.ndarray) -> np.ndarray:
    # exp(-|x|) never overflows, and both branches keep full relative accuracy.
    z = np.exp(-np.abs(x))
    return np.maximum(z, x >= 0) / (1 + z)  # z <= 1, so the maximum is a choice


def _sigmoid_vjp(g: Tensor, out: Tensor, inputs: tuple, needs: tuple) -> tuple:
    return (mul(g, mul(out, sub(1, out))),)


def _softplus_forward(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def _softplus_vjp(g: Tensor, out: None, inputs: tuple, needs: tuple) -> tuple:
    return (mul(g, sigmoid(inputs[0])),)


def _erf_forward(x: np.ndarray) -> np.ndarray:
    from scipy.special import erf as scipy_erf

    return scipy_erf(x)


def _erf_vjp(g: Tensor, out: None, inputs: tuple, needs: tuple) -> tuple:
    slope = mul(exp(neg(square(inputs[0]))), 2 / math.sqrt(math.pi))
    return (mul(g, slope),)


_EXP = primitive("exp", np.exp, _exp_vjp, saves=("o",), sample=unary())
_EXPM1 = primitive("expm1", np.expm1, _expm1_vjp, saves=("o",), sample=unary())
_LOG = primitive("log", np.log, _log_vjp, saves=("0",), sample=unary(0.5, 3))
_LOG1P = primitive("log1p", np.log1p, _log1p_vjp, saves=("0",), sample=unary(-0.5, 2))
_SQRT = primitive("sqrt", np.sqrt, _sqrt_vjp, saves=("o",), sample=unary(0.5, 3))
_SIN = primitive("sin", np.sin, _sin_vjp, saves=("0",), sample=unary())
_COS = primitive("cos", np.cos, _cos_vjp, saves=("0",), sample=unary())
_TANH = primitive("tanh", np.tanh, _tanh_vjp, saves=("o",), sample=unary())
_SIGMOID = primitive(
    "sigmoid",
    sigmoid_array,
    _sigmoid_vjp,
    saves=("o",),
    sample=unary(-4, 4),
    reference=lambda x: 1 / (1 + np.exp(-x)),
)
_SOFTPLUS = primitive(
    "softplus",
    _softplus_forward,
    _softplus_vjp,
    saves=("0",),
    sample=unary(-4, 4),
    reference=lambda x: np.log1p(np.exp(x)),
)
_ERF = primitive("erf", _erf_forward, _erf_vjp, saves=("0",), sample=unary())


def exp(x: Any) -> Tensor:
    """Exponential of each element."""
    return apply1(_EXP, x)


def expm1(x: Any) -> Tensor:
    """``exp(x) - 1``, accurate for small `x`."""
    return apply1(_EXPM1, x)


def log(x: Any) -> Tensor:
    """Natural logarithm of each element."""
    return apply1(_LOG, x)


def log1p(x: Any) -> Tensor:
    """``log(1 + x)``, accurate for small `x`."""
    return apply1(_LOG1P, x)


def sqrt(x: Any) -> Tensor:
    """Square root of each element."""
    return apply1(_SQRT, x)


def sin(x: Any) -> Tensor:
    """Sine of each element."""
    return apply1(_SIN, x)


def cos(x: Any) -> Tensor:
    """Cosine of each element."""
    return apply1(_COS, x)


def tanh(x: Any) -> Tensor:
    """Hyperbolic tangent of each element."""
    return apply1(_TANH, x)


def sigmoid(x: Any) -> Tensor:
    """Logistic function ``1 / (1 + exp(-x))``, without overflow."""
    return apply1(_SIGMOID, x)


def softplus(x: Any) -> Tensor:
    """``log(1 + exp(x))``, without overflow."""
    return apply1(_SOFTPLUS, x)


def erf(x: Any) -> Tensor:
    """Error function of each element; the only op that imports SciPy."""
    return apply1(_ERF, x)
