"""Matrix products."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsenn.autograd.array import is_activation
from sparsenn.autograd.matmul import matmul as _product
from sparsenn.autograd.registry import apply, primitive
from sparsenn.autograd.samples import fixed
from sparsenn.autograd.tensor import Tensor, as_tensor
from sparsenn.ops.broadcasting import unbroadcast
from sparsenn.ops.shape import reshape, transpose

__all__ = ["matmul"]


def _swap(x: Tensor) -> Tensor:
    n = x.ndim
    return transpose(x, (*range(n - 2), n - 1, n - 2))


def _matmul_vjp(
    g: Tensor,
    out: None,
    inputs: tuple,
    needs: tuple,
    activation: bool,
    orders: tuple[bool, bool],
) -> tuple:
    a, b = inputs
    return (
        unbroadcast(_apply(g, _swap(b), orders[0]), a) if needs[0] else None,
        unbroadcast(_apply(_swap(a), g, orders[1]), b) if needs[1] else None,
    )


_STATIC = {"activation": True, "orders": (True, False)}
_MATMUL = primitive(
    "matmul",
    lambda a, b, activation, orders: _product(a, b, activation),
    _matmul_vjp,
    saves=("1", "0"),
    sample=fixed(
        (((3, 2), (2, 4)), _STATIC),
        (((1, 2), (2, 1)), _STATIC),
        (((2, 3, 2), (2, 2, 4)), _STATIC),
        (((2, 3, 2), (2, 4)), _STATIC),
        (((3, 2), (2, 2, 3)), _STATIC),
    ),
    reference=lambda a, b, activation, orders: np.matmul(a, b),
)


def _apply(a: Tensor, b: Tensor, activation: bool) -> Tensor:
    # The gradient of each factor is asked for in the memory order of that factor.
    orders = (is_activation(a._data), is_activation(b._data))
    return apply(_MATMUL, (a, b), {"activation": activation, "orders": orders})


def matmul(a: Any, b: Any) -> Tensor:
    """Matrix product ``a @ b``; leading axes are batched and broadcast.

    Parameters
    ----------
    a : Tensor or array_like
        (..., m, k), or (k,).
    b : Tensor or array_like
        (..., k, n), or (k,).

    Returns
    -------
    Tensor
        (..., m, n) in the memory order of an activation, the same bits for any
        number of threads; the axes of vectors are left out.
    """
    first = a if type(a) is Tensor else b if type(b) is Tensor else None
    a, b = as_tensor(a, first), as_tensor(b, first)
    if a.dtype != b.dtype:
        a, b = a.astype(np.float64), b.astype(np.float64)
    if a.ndim == 0 or b.ndim == 0:
        raise ValueError(f"matmul needs at least one axis: {a.shape} @ {b.shape}")
    if a.shape[-1] != b.shape[-2 if b.ndim > 1 else 0]:
        raise ValueError(
            f"cannot multiply {a.shape} by {b.shape}: the inner extents differ"
        )
    if a.ndim > 1 and b.ndim > 1:
        return _apply(a, b, True)
    left, right = a.ndim == 1, b.ndim == 1
    out = _apply(
        reshape(a, (1, a.shape[0])) if left else a,
        reshape(b, (b.shape[0], 1)) if right else b,
        True,
    )
    rows = () if left else (out.shape[-2],)
    columns = () if right else (out.shape[-1],)
    return reshape(out, (*out.shape[:-2], *rows, *columns))
