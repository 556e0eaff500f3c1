"""Activation functions of neural networks."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sparsenn import _core
from sparsenn.autograd.array import flattened
from sparsenn.autograd.mode import is_recording
from sparsenn.autograd.registry import apply1, primitive
from sparsenn.autograd.samples import unary
from sparsenn.autograd.tensor import Tensor, wrap
from sparsenn.ops.arithmetic import add, mul, square
from sparsenn.ops.choice import gate
from sparsenn.ops.elementwise import erf, exp, sigmoid

__all__ = ["gelu", "leaky_relu", "relu", "silu"]


def _relu_forward(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0, dtype=x.dtype)


def _relu_vjp(g: Tensor, out: Tensor, inputs: tuple, needs: tuple) -> tuple:
    return (gate(g, np.asarray(out._data > 0)),)


_RELU = primitive(
    "relu",
    _relu_forward,
    _relu_vjp,
    saves=("o",),
    sample=unary(),
    reference=lambda x: np.where(x > 0, x, 0),
)


def relu(x: Any) -> Tensor:
    """``max(x, 0)``; the gradient at zero is zero, a NaN stays one."""
    return apply1(_RELU, x)


def _leaky_forward(x: np.ndarray, slope: float) -> np.ndarray:
    scaled = x * x.dtype.type(slope)  # np.where is several times slower
    return np.maximum(x, scaled) if slope <= 1 else np.minimum(x, scaled)


def _leaky_vjp(
    g: Tensor, out: None, inputs: tuple, needs: tuple, slope: float
) -> tuple:
    x = inputs[0]._data
    factor = np.multiply(x > 0, x.dtype.type(1 - slope)) + x.dtype.type(slope)
    return (mul(g, wrap(np.asarray(factor))),)


_LEAKY_RELU = primitive(
    "leaky_relu",
    _leaky_forward,
    _leaky_vjp,
    saves=("0",),
    sample=unary(slope=0.1),
    reference=lambda x, slope: np.where(x > 0, x, slope * x),
)


def leaky_relu(x: Any, slope: float = 0.01) -> Tensor:
    """`x` where positive, ``slope * x`` elsewhere.

    Parameters
    ----------
    x : Tensor or array_like
    slope : float
        May be negative, as in All-ReLU.

    Returns
    -------
    Tensor
    """
    return apply1(_LEAKY_RELU, x, {"slope": slope})


_RSQRT2 = math.sqrt(0.5)
_RSQRT2PI = 1 / math.sqrt(2 * math.pi)


def _gelu_forward(x: np.ndarray) -> np.ndarray:
    flat, back = flattened(x)
    return back(_core.gelu(flat))


def _gelu_vjp(g: Tensor, out: None, inputs: tuple, needs: tuple) -> tuple:
    x = inputs[0]
    if not is_recording():
        flat, back = flattened(x._data)
        return (wrap(back(_core.gelu(flat, flattened(g._data, like=x._data)[0]))),)
    distribution = mul(add(erf(mul(x, _RSQRT2)), 1), 0.5)
    density = mul(exp(mul(square(x), -0.5)), _RSQRT2PI)
    return (mul(g, add(distribution, mul(x, density))),)


_GELU = primitive(
    "gelu",
    _gelu_forward,
    _gelu_vjp,
    saves=("0",),
    sample=unary(-3, 3),
    reference=lambda x: np.vectorize(
        lambda z: z * math.erfc(-z * _RSQRT2) / 2, otypes=[float]
    )(x),
)


def gelu(x: Any) -> Tensor:
    """``x * Phi(x)`` with the exact normal distribution function Phi.

    Hendrycks and Gimpel, "Gaussian Error Linear Units", 2016.
    """
    return apply1(_GELU, x)


def silu(x: Any) -> Tensor:
    """``x * sigmoid(x)``, also known as swish."""
    return mul(x, sigmoid(x))
