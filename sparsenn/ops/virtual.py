"""Products with a weight that is drawn again, tile by tile, whenever it is needed.

With W virtual and batch-first activations, ``virtual_linear(x) = x W^T`` and
``virtual_linear_t(y) = y W`` are each other's derivatives for the activations. W has no
tensor of its own: an empty one, the token, stands for it, so that the tape comes by,
and its gradients are noted as factors (dy, x) of ``dy^T x``, in passes of any order.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from sparsenn.autograd import Tensor, is_recording
from sparsenn.autograd.array import empty
from sparsenn.autograd.matmul import matmul
from sparsenn.autograd.registry import Primitive, Sample, apply, primitive
from sparsenn.autograd.tensor import as_tensor, wrap
from sparsenn.ops.activations import relu
from sparsenn.ops.arithmetic import add
from sparsenn.ops.sparse_batch import SparseBatch
from sparsenn.random import Purpose, Stream
from sparsenn.sparse import SparseParameter, VirtualWeight
from sparsenn.sparse.virtual import blocks

Factors = list[tuple[Any, Any]]


def _product(
    token: np.ndarray,
    x: np.ndarray,
    *,
    weight: VirtualWeight,
    factors: Factors | None,
) -> np.ndarray:
    return _accumulate(x, weight, transposed=False)


def _product_t(
    token: np.ndarray,
    y: np.ndarray,
    *,
    weight: VirtualWeight,
    factors: Factors | None,
) -> np.ndarray:
    return _accumulate(y, weight, transposed=True)


def _accumulate(x: np.ndarray, weight: VirtualWeight, transposed: bool) -> np.ndarray:
    """``x W^T`` or ``x W``: every tile adds to its features, in the order of tiles."""
    out = empty((len(x), weight.shape[1 if transposed else 0]), x.dtype)
    out.fill(0)
    for rows, columns, tile in blocks(weight):
        w = tile.astype(x.dtype, copy=False)
        if transposed:
            out[:, columns] += matmul(x[:, rows], w)
        else:
            out[:, rows] += matmul(x[:, columns], w.T)
    return out


def _note(factors: Factors | None, dy: Tensor, x: Tensor) -> None:
    """Factors of a derivative; as tensors where they can be differentiated again."""
    if factors is not None:
        factors.append((dy, x) if is_recording() else (dy.data, x.data))


def _vjp(
    g: Tensor,
    out: Tensor | None,
    inputs: tuple[Tensor, Tensor],
    needs: tuple[bool, bool],
    *,
    weight: VirtualWeight,
    factors: Factors | None,
) -> tuple[Tensor | None, Tensor | None]:
    token, x = inputs
    if needs[0]:
        _note(factors, g, x)
    return _gradients(virtual_linear_t_, token, g, needs, weight, factors)


def _vjp_t(
    g: Tensor,
    out: Tensor | None,
    inputs: tuple[Tensor, Tensor],
    needs: tuple[bool, bool],
    *,
    weight: VirtualWeight,
    factors: Factors | None,
) -> tuple[Tensor | None, Tensor | None]:
    token, y = inputs
    if needs[0]:
        _note(factors, y, g)
    return _gradients(virtual_linear_, token, g, needs, weight, factors)


def _gradients(
    product: Primitive,
    token: Tensor,
    g: Tensor,
    needs: tuple[bool, bool],
    weight: VirtualWeight,
    factors: Factors | None,
) -> tuple[Tensor | None, Tensor | None]:
    static = {"weight": weight, "factors": factors}
    return (
        wrap(np.zeros(0, g.dtype)) if needs[0] else None,
        apply(product, (token, g), static) if needs[1] else None,
    )


# ---------------------------------------------------------------- primitives


class _Normal:
    """Values of the samples."""

    def law(self, shape: tuple[int, int]) -> tuple[str, float]:
        return "normal", 1.0


def _samples(axis: int, rng: np.random.Generator) -> Iterator[Sample]:
    for shape in ((5, 7), (1, 3), (17, 18)):
        weight = VirtualWeight(shape, _Normal(), Stream(1, Purpose.TEST), np.float64)
        x = np.asfortranarray(rng.standard_normal((4, shape[axis])))
        yield Sample((np.zeros(0), x), {"weight": weight, "factors": None})


virtual_linear_: Primitive = primitive(
    "virtual_linear",
    _product,
    _vjp,
    saves=("1", "0"),
    sample=lambda rng: _samples(1, rng),
    reference=lambda token, x, *, weight, factors: (
        x @ weight.rows(0, weight.shape[0]).T
    ),
)
virtual_linear_t_: Primitive = primitive(
    "virtual_linear_t",
    _product_t,
    _vjp_t,
    saves=("1", "0"),
    sample=lambda rng: _samples(0, rng),
    reference=lambda token, y, *, weight, factors: y @ weight.rows(0, weight.shape[0]),
)


# ---------------------------------------------------------------- functions


def virtual_linear(
    x: Any, weight: SparseParameter, bias: Tensor | None = None, relu_: bool = False
) -> Tensor:
    """``x W^T + bias`` for a virtual weight, with or without ReLU.

    Parameters
    ----------
    x : Tensor, ndarray or SparseBatch, shape (batch, n_in)
        A sparse batch is made dense: W has a connection for every feature.
    weight : SparseParameter, shape (n_out, n_in)
        Virtual.
    bias : Tensor, shape (n_out,), or None
    relu_ : bool

    Returns
    -------
    Tensor, shape (batch, n_out)
    """
    virtual = weight.virtual
    if virtual is None:
        raise ValueError(f"weight {weight.name!r} is not virtual; use ops.linear")
    x = wrap(x.to_dense()) if isinstance(x, SparseBatch) else as_tensor(x)
    n_out, n_in = weight.shape
    if x.ndim != 2 or x.shape[1] != n_in:
        raise ValueError(
            f"linear: x must have shape (batch, {n_in}) for a virtual weight of shape "
            f"{weight.shape}, got {x.shape}"
        )
    if x.dtype != weight.dtype:
        x = x.astype(weight.dtype)
    static = {"weight": virtual, "factors": weight.factors}
    y = apply(virtual_linear_, (weight.values, x), static)
    if bias is not None:
        if bias.shape != (n_out,) or bias.dtype != weight.dtype:
            raise ValueError(
                f"bias must be {weight.dtype} of shape ({n_out},), got {bias.dtype} "
                f"of shape {bias.shape}"
            )
        y = add(y, bias)
    return relu(y) if relu_ else y
