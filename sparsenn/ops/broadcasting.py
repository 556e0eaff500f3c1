"""Broadcasting and its transpose."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsenn.autograd.array import as_order, empty, is_activation
from sparsenn.autograd.registry import apply1, primitive
from sparsenn.autograd.samples import fixed
from sparsenn.autograd.tensor import Tensor, as_tensor

__all__ = ["broadcast_to", "sum_to", "unbroadcast"]


def _sum_to_forward(x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    lead = x.ndim - len(shape)
    axes = tuple(range(lead)) + tuple(
        i + lead for i, n in enumerate(shape) if n == 1 and x.shape[i + lead] != 1
    )
    total = np.add.reduce(x, axis=axes, keepdims=True)
    return as_order(total.reshape(shape), is_activation(x))


def _sum_to_vjp(
    g: Tensor, out: None, inputs: tuple, needs: tuple, shape: tuple[int, ...]
) -> tuple[Tensor]:
    return (broadcast_to(g, inputs[0].shape),)


_SUM_TO = primitive(
    "sum_to",
    _sum_to_forward,
    _sum_to_vjp,
    sample=fixed(
        (((3, 2),), {"shape": (2,)}),
        (((3, 2),), {"shape": (3, 1)}),
        (((2, 3, 2),), {"shape": (1, 2)}),
        (((2, 3),), {"shape": ()}),
    ),
)


def sum_to(x: Any, shape: tuple[int, ...]) -> Tensor:
    """Sum over broadcast axes, so that the result has the given shape.

    Parameters
    ----------
    x : Tensor or array_like
    shape : tuple of int
        A shape that broadcasts to the shape of `x`.

    Returns
    -------
    Tensor
    """
    x = as_tensor(x)
    shape = tuple(shape)
    if x.shape == shape:
        return x
    if np.broadcast_shapes(x.shape, shape) != x.shape:
        raise ValueError(f"shape {shape} does not broadcast to {x.shape}")
    return apply1(_SUM_TO, x, {"shape": shape})


def unbroadcast(g: Tensor, like: Any) -> Tensor:
    """Return the gradient `g` summed to the shape of `like`, a Tensor or a node."""
    shape = like.shape
    return g if g._data.shape == shape else apply1(_SUM_TO, g, {"shape": shape})


def _broadcast_forward(
    x: np.ndarray, shape: tuple[int, ...], activation: bool
) -> np.ndarray:
    out = empty(shape, x.dtype, activation)
    np.copyto(out, x)
    return out


def _broadcast_vjp(
    g: Tensor,
    out: None,
    inputs: tuple,
    needs: tuple,
    shape: tuple[int, ...],
    activation: bool,
) -> tuple[Tensor]:
    return (unbroadcast(g, inputs[0]),)


_BROADCAST_TO = primitive(
    "broadcast_to",
    _broadcast_forward,
    _broadcast_vjp,
    sample=fixed(
        (((2,),), {"shape": (3, 2), "activation": True}),
        (((3, 1),), {"shape": (3, 2), "activation": False}),
        (((),), {"shape": (2, 2), "activation": True}),
    ),
    reference=lambda x, shape, activation: np.broadcast_to(x, shape),
)


def broadcast_to(x: Any, shape: tuple[int, ...], activation: bool = True) -> Tensor:
    """Repeat along axes of length one and new leading axes.

    Parameters
    ----------
    x : Tensor or array_like
    shape : tuple of int
    activation : bool
        Memory order of the result: that of an activation, or C order.

    Returns
    -------
    Tensor
        The elements are copied; nothing downstream has to handle strides of zero.
    """
    x = as_tensor(x)
    shape = tuple(shape)
    if x.shape == shape:
        return x
    return apply1(_BROADCAST_TO, x, {"shape": shape, "activation": activation})
