"""The first layer on a sparse batch: sparse x sparse, forward and backward.

With a constant CSR batch x and the weight W of a pattern::

    sparse_input(v)        = x W^T                                   (batch, n_out)
    sparse_input_grad(y)_k = sum over the batch of y[:, row_k] * x[:, col_k]

Each is linear and the other's adjoint, so derivatives of any order exist. Both walk the
columns of W that occur in the batch and no others: time follows the connections of
those columns, whatever the number of features.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from sparsenn import _core
from sparsenn.autograd import Tensor
from sparsenn.autograd.array import as_order
from sparsenn.autograd.mode import MODE
from sparsenn.autograd.node import Leaf
from sparsenn.autograd.registry import Primitive, Sample, apply, primitive
from sparsenn.ops.linear_activation import IDENTITY, RELU, activation_backward
from sparsenn.ops.sparse_batch import SparseBatch
from sparsenn.sparse import SparseGradient, SparsePattern


def _forward(
    values: np.ndarray,
    *,
    batch: SparseBatch,
    pattern: SparsePattern,
    bias: np.ndarray | None = None,
    activation: int = IDENTITY,
) -> np.ndarray:
    return _core.sparse_input(
        pattern.column_index(),
        values,
        batch.columns,
        batch.values(values.dtype),
        bias,
        activation,
    )


def _gradient(
    dy: np.ndarray, *, batch: SparseBatch, pattern: SparsePattern
) -> np.ndarray:
    return _core.sparse_input_grad(
        pattern.column_index(),
        batch.columns,
        batch.values(dy.dtype),
        as_order(dy, True),
    )


def _compact_gradient(
    dy: np.ndarray, batch: SparseBatch, pattern: SparsePattern
) -> SparseGradient:
    """The same, for a pattern stored by column: the columns that occur alone."""
    start, values = _core.sparse_input_grad_columns(
        pattern.column_index(),
        batch.columns,
        batch.values(dy.dtype),
        as_order(dy, True),
    )
    return SparseGradient(pattern, batch.columns.columns, start, values)


def _samples(kind: str, rng: np.random.Generator) -> Iterator[Sample]:
    """Inputs on sparse, nearly empty, full patterns and one stored by column."""
    from scipy.sparse import csr_array

    for mask, by_column in (
        (rng.random((5, 7)) < 0.4, False),
        (rng.random((5, 7)) < 0.4, True),
        (rng.random((3, 9)) < 0.1, False),
        (np.ones((2, 3), bool), False),
    ):
        pattern = SparsePattern.from_mask(mask)
        if by_column:
            pattern = pattern.stored_by_column()
        n_out, n_in = mask.shape
        x = rng.standard_normal((4, n_in)) * (rng.random((4, n_in)) < 0.5)
        values = rng.standard_normal(pattern.nnz)
        bias = np.asarray(rng.standard_normal(n_out))
        y = np.asfortranarray(rng.standard_normal((4, n_out)))
        static: dict[str, Any] = {
            "pattern": pattern,
            "batch": SparseBatch(csr_array(x)),
        }
        if kind.startswith("linear"):
            activation = RELU if kind == "linear_relu" else IDENTITY
            static |= {"activation": activation, "factors": None}
            yield Sample((values, bias), static)
        else:
            yield Sample((y,) if kind == "grad" else (values,), static)


def _weight(values: np.ndarray, pattern: SparsePattern) -> np.ndarray:
    return pattern.to_scipy(values).toarray()


def _grad_reference(
    y: np.ndarray, *, batch: SparseBatch, pattern: SparsePattern
) -> np.ndarray:
    rows, cols = pattern.positions()
    return (y.T @ batch.to_dense())[rows, cols]


sparse_input_: Primitive = primitive(
    "sparse_input",
    _forward,
    lambda g, out, inputs, needs, **static: (apply(sparse_input_grad_, (g,), static),),
    sample=lambda rng: _samples("input", rng),
    reference=lambda values, *, batch, pattern: (
        batch.to_dense() @ _weight(values, pattern).T
    ),
)

sparse_input_grad_: Primitive = primitive(
    "sparse_input_grad",
    _gradient,
    lambda g, out, inputs, needs, **static: (apply(sparse_input_, (g,), static),),
    sample=lambda rng: _samples("grad", rng),
    reference=_grad_reference,
)


def _linear(
    values: np.ndarray,
    bias: np.ndarray,
    *,
    batch: SparseBatch,
    pattern: SparsePattern,
    activation: int,
    factors: list[Any] | None,
) -> np.ndarray:
    return _forward(
        values, batch=batch, pattern=pattern, bias=bias, activation=activation
    )


def _linear_vjp(
    g: Tensor,
    out: Tensor | None,
    inputs: tuple[Tensor, Tensor],
    needs: tuple[bool, bool],
    *,
    batch: SparseBatch,
    pattern: SparsePattern,
    activation: int,
    factors: list[Any] | None,
) -> tuple[Any, Tensor | None]:
    g, dbias = activation_backward(g, out, needs[1], activation)
    if not needs[0]:
        return None, dbias
    if factors is not None:
        factors.append((g.data, batch))
    if pattern.by_column and not MODE.recording and type(inputs[0]) is Leaf:
        return _compact_gradient(g.data, batch, pattern), dbias
    static = {"batch": batch, "pattern": pattern}
    return apply(sparse_input_grad_, (g,), static), dbias


def _linear_reference(
    values: np.ndarray,
    bias: np.ndarray,
    *,
    batch: SparseBatch,
    pattern: SparsePattern,
    activation: int,
    factors: list[Any] | None,
) -> np.ndarray:
    y = batch.to_dense() @ _weight(values, pattern).T + bias
    return np.maximum(y, 0) if activation == RELU else y


# Two primitives, because only the one with an activation needs its result again.
sparse_linear_ = primitive(
    "sparse_linear",
    _linear,
    _linear_vjp,
    sample=lambda rng: _samples("linear", rng),
    reference=_linear_reference,
)
sparse_linear_relu_ = primitive(
    "sparse_linear_relu",
    _linear,
    _linear_vjp,
    saves=("o", "o"),
    sample=lambda rng: _samples("linear_relu", rng),
    reference=_linear_reference,
)
