"""The sparse products and their derivatives: here patterns and gradients meet.

With S the pattern of W and batch-first activations::

    spmm(v, x)   = x W^T        (batch, n_out)
    spmm_t(v, y) = y W          (batch, n_in)
    sddmm(a, b)_k = sum over the batch of a[:, row_k] * b[:, col_k]

Each one's derivatives are the other two, so derivatives of any order exist. Where
nothing records, the backward pass calls one fused kernel instead; the bits are the
same. A full pattern goes to BLAS unless it is narrow.

A weight whose ``factors`` is a list has every derivative for its values noted there as
factors (dy, x) of ``dy^T x``, in passes of any order: after the second one of a product
``<gradient, v>`` they are those of H v, at inactive positions as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, Literal

import numpy as np

from sparsenn import _core
from sparsenn.autograd import Tensor, is_recording
from sparsenn.autograd.array import as_order
from sparsenn.autograd.matmul import matmul
from sparsenn.autograd.registry import Primitive, Sample, apply, primitive
from sparsenn.autograd.tensor import as_tensor, wrap
from sparsenn.ops.linear_activation import IDENTITY, RELU, activation_backward
from sparsenn.ops.shape import join_samples, split_samples
from sparsenn.ops.sparse_batch import SparseBatch
from sparsenn.ops.sparse_input import sparse_linear_, sparse_linear_relu_
from sparsenn.ops.unrecorded import linear_unrecorded
from sparsenn.ops.virtual import virtual_linear
from sparsenn.sparse import SparseParameter, SparsePattern

Factors = list[tuple[np.ndarray, np.ndarray | SparseBatch]]


# ---------------------------------------------------------------- products on arrays


def _dense(values: np.ndarray, pattern: SparsePattern) -> np.ndarray:
    return values.reshape(pattern.shape)


def _spmm(
    values: np.ndarray,
    x: np.ndarray,
    *,
    pattern: SparsePattern,
    factors: Factors | None = None,
) -> np.ndarray:
    layout = pattern.kernel_layout
    if layout is None:
        return matmul(x, _dense(values, pattern).T)
    if pattern.by_column:  # the layout is that of the transpose
        return _core.spmm_t(layout, values, as_order(x, True))
    return _core.spmm(layout, values, as_order(x, True))


def _spmm_t(
    values: np.ndarray,
    y: np.ndarray,
    *,
    pattern: SparsePattern,
    factors: Factors | None = None,
) -> np.ndarray:
    layout = pattern.kernel_layout
    if layout is None:
        return matmul(y, _dense(values, pattern))
    if pattern.by_column:
        return _core.spmm(layout, values, as_order(y, True))
    return _core.spmm_t(layout, values, as_order(y, True))


def _sddmm(a: np.ndarray, b: np.ndarray, *, pattern: SparsePattern) -> np.ndarray:
    layout = pattern.kernel_layout
    if layout is None:
        return matmul(a.T, b, activation=False).reshape(-1)
    a, b = as_order(a, True), as_order(b, True)
    if pattern.by_column:
        a, b = b, a
    return _core.sddmm(layout, a, b)


def array_products(pattern: SparsePattern) -> tuple[Any, Any, Any]:
    """(spmm, spmm_t, sddmm) of a pattern on arrays; nothing is recorded."""
    return (
        partial(_spmm, pattern=pattern),
        partial(_spmm_t, pattern=pattern),
        partial(_sddmm, pattern=pattern),
    )


def linear_backward(
    values: Tensor,
    g: Tensor,
    x: Tensor,
    needs: tuple[bool, bool],
    pattern: SparsePattern,
    factors: Factors | None,
) -> tuple[Tensor | None, Tensor | None]:
    """Gradients of ``spmm(values, x)`` for the values and for x."""
    if factors is not None and needs[0]:
        factors.append((g.data, x.data))
    if not is_recording():
        dy = g.data
        fused = None if pattern.by_column else pattern.kernel_layout
        if fused is not None and needs[0] and needs[1]:
            dx, dvalues = _core.spmm_backward(
                fused, values.data, as_order(dy, True), as_order(x.data, True)
            )
            return wrap(dvalues), wrap(dx)
        return (
            wrap(_sddmm(dy, x.data, pattern=pattern)) if needs[0] else None,
            wrap(_spmm_t(values.data, dy, pattern=pattern)) if needs[1] else None,
        )
    return (
        apply(sddmm_, (g, x), {"pattern": pattern}) if needs[0] else None,
        _noting(spmm_t_, values, g, pattern, factors) if needs[1] else None,
    )


def _spmm_t_vjp(
    g: Tensor,
    out: Tensor | None,
    inputs: tuple[Tensor, Tensor],
    needs: tuple[bool, bool],
    *,
    pattern: SparsePattern,
    factors: Factors | None = None,
) -> tuple[Tensor | None, Tensor | None]:
    values, y = inputs
    if factors is not None and needs[0]:
        factors.append((y.data, g.data))
    return (
        apply(sddmm_, (y, g), {"pattern": pattern}) if needs[0] else None,
        _noting(spmm_, values, g, pattern, factors) if needs[1] else None,
    )


def _noting(
    product: Primitive,
    values: Tensor,
    x: Tensor,
    pattern: SparsePattern,
    factors: Factors | None,
) -> Tensor:
    """A product with a weight, whose own derivative is noted as the weight's is."""
    return apply(product, (values, x), {"pattern": pattern, "factors": factors})


# ---------------------------------------------------------------- primitives


def _samples(kind: str, rng: np.random.Generator) -> Iterator[Sample]:
    """Inputs of a product: on a sparse, a nearly empty and two full patterns."""
    for mask in (
        rng.random((5, 7)) < 0.4,
        rng.random((3, 9)) < 0.1,
        np.ones((2, 3), bool),
        np.ones((17, 18), bool),  # too wide for our kernels
    ):
        pattern = SparsePattern.from_mask(mask)
        n_out, n_in = mask.shape
        values = rng.standard_normal(pattern.nnz)
        x = np.asfortranarray(rng.standard_normal((4, n_in)))
        y = np.asfortranarray(rng.standard_normal((4, n_out)))
        inputs = {"spmm": (values, x), "spmm_t": (values, y), "sddmm": (y, x)}
        yield Sample(inputs[kind], {"pattern": pattern})


def _weight(values: np.ndarray, pattern: SparsePattern) -> np.ndarray:
    return pattern.to_scipy(values).toarray()


spmm_: Primitive = primitive(
    "spmm",
    _spmm,
    lambda g, out, inputs, needs, *, pattern, factors=None: linear_backward(
        inputs[0], g, inputs[1], needs, pattern, factors
    ),
    saves=("1", "0"),
    sample=lambda rng: _samples("spmm", rng),
    reference=lambda values, x, *, pattern: x @ _weight(values, pattern).T,
)

spmm_t_: Primitive = primitive(
    "spmm_t",
    _spmm_t,
    _spmm_t_vjp,
    saves=("1", "0"),
    sample=lambda rng: _samples("spmm_t", rng),
    reference=lambda values, y, *, pattern: y @ _weight(values, pattern),
)


def _sddmm_reference(
    a: np.ndarray, b: np.ndarray, *, pattern: SparsePattern
) -> np.ndarray:
    rows, cols = pattern.positions()
    return (a.T @ b)[rows, cols]


sddmm_: Primitive = primitive(
    "sddmm",
    _sddmm,
    lambda g, out, inputs, needs, *, pattern: (
        apply(spmm_, (g, inputs[1]), {"pattern": pattern}) if needs[0] else None,
        apply(spmm_t_, (g, inputs[0]), {"pattern": pattern}) if needs[1] else None,
    ),
    saves=("1", "0"),
    sample=lambda rng: _samples("sddmm", rng),
    reference=_sddmm_reference,
)


def _linear(
    values: np.ndarray,
    x: np.ndarray,
    bias: np.ndarray,
    *,
    pattern: SparsePattern,
    activation: int,
    factors: Factors | None,
) -> np.ndarray:
    if pattern.by_column and len(x) == 1:
        x = as_order(x, True)  # column by column anyway: those of zeros are left out
        index, events = pattern.column_index(), _core.nonzeros(x)
        return _core.event_spmm(index, values, events, x, bias, activation)
    layout = pattern.kernel_layout
    if layout is None or pattern.by_column:
        y = _spmm(values, x, pattern=pattern)
        y += bias
        return np.maximum(y, 0, out=y) if activation == RELU else y
    return _core.spmm(layout, values, as_order(x, True), bias, activation)


def _linear_vjp(
    g: Tensor,
    out: Tensor | None,
    inputs: tuple[Tensor, Tensor, Tensor],
    needs: tuple[bool, bool, bool],
    *,
    pattern: SparsePattern,
    activation: int,
    factors: Factors | None,
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    values, x, _ = inputs
    g, dbias = activation_backward(g, out, needs[2], activation)
    dvalues, dx = linear_backward(values, g, x, needs[:2], pattern, factors)
    return dvalues, dx, dbias


def _linear_samples(activation: int, rng: np.random.Generator) -> Iterator[Sample]:
    for sample in _samples("spmm", rng):
        pattern = sample.static["pattern"]
        bias = rng.standard_normal(pattern.shape[0])
        static = {"pattern": pattern, "activation": activation, "factors": None}
        yield Sample((*sample.inputs, bias), static)


def _linear_reference(
    values: np.ndarray,
    x: np.ndarray,
    bias: np.ndarray,
    *,
    pattern: SparsePattern,
    activation: int,
    factors: Factors | None,
) -> np.ndarray:
    y = x @ _weight(values, pattern).T + bias
    return np.maximum(y, 0) if activation == RELU else y


# Two primitives, because only the one with an activation needs its result again.
linear_ = primitive(
    "linear",
    _linear,
    _linear_vjp,
    saves=("1", "0", ""),
    sample=lambda rng: _linear_samples(IDENTITY, rng),
    reference=_linear_reference,
)
linear_relu_ = primitive(
    "linear_relu",
    _linear,
    _linear_vjp,
    saves=("1o", "0o", "o"),
    sample=lambda rng: _linear_samples(RELU, rng),
    reference=_linear_reference,
)


# ---------------------------------------------------------------- functions


def spmm(values: Any, x: Any, *, pattern: SparsePattern) -> Tensor:
    """``x W^T``, the product of a batch with a sparse weight.

    Parameters
    ----------
    values : Tensor or ndarray, shape (nnz,)
        Values of W in the pattern's storage order.
    x : Tensor or ndarray, shape (batch, n_in)
    pattern : SparsePattern, shape (n_out, n_in)

    Returns
    -------
    Tensor, shape (batch, n_out)
    """
    values, x = as_tensor(values), as_tensor(x)
    _check("spmm", pattern, values=values, x=(x, 1))
    return apply(spmm_, (values, x), {"pattern": pattern})


def spmm_t(values: Any, y: Any, *, pattern: SparsePattern) -> Tensor:
    """``y W``, the product of a batch with the transpose of a sparse weight.

    Parameters
    ----------
    values : Tensor or ndarray, shape (nnz,)
    y : Tensor or ndarray, shape (batch, n_out)
    pattern : SparsePattern, shape (n_out, n_in)

    Returns
    -------
    Tensor, shape (batch, n_in)
    """
    values, y = as_tensor(values), as_tensor(y)
    _check("spmm_t", pattern, values=values, y=(y, 0))
    return apply(spmm_t_, (values, y), {"pattern": pattern})


def sddmm(a: Any, b: Any, *, pattern: SparsePattern) -> Tensor:
    """The entries of ``a^T b`` at the positions of a pattern, and no others.

    Parameters
    ----------
    a : Tensor or ndarray, shape (batch, n_out)
    b : Tensor or ndarray, shape (batch, n_in)
    pattern : SparsePattern, shape (n_out, n_in)

    Returns
    -------
    Tensor, shape (nnz,)
        In the pattern's storage order.
    """
    a, b = as_tensor(a), as_tensor(b)
    _check("sddmm", pattern, a=(a, 0), b=(b, 1))
    if a.shape[0] != b.shape[0]:
        raise ValueError(f"sddmm: a has {a.shape[0]} samples, b has {b.shape[0]}")
    return apply(sddmm_, (a, b), {"pattern": pattern})


def linear(
    x: Any,
    weight: SparseParameter,
    bias: Tensor | None = None,
    *,
    activation: Literal["relu"] | None = None,
) -> Tensor:
    """``activation(x W^T + bias)`` in one kernel.

    Parameters
    ----------
    x : Tensor, ndarray, SparseBatch or scipy sparse array, shape (..., n_in)
        Converted to the weight's dtype. All axes but the last are samples. A sparse
        batch, of two axes, goes through sparse x sparse kernels, in time proportional
        to the connections of the features that occur.
    weight : SparseParameter, shape (n_out, n_in)
    bias : Tensor, shape (n_out,), or None
    activation : {"relu"} or None

    Returns
    -------
    Tensor, shape (..., n_out)
    """
    if activation not in (None, "relu"):
        raise ValueError(f"activation must be None or 'relu', got {activation!r}")
    kind = IDENTITY if activation is None else RELU
    y = linear_unrecorded(x, weight, bias, kind)
    if y is not None:
        return y
    if not isinstance(x, SparseBatch):
        x = SparseBatch(x) if hasattr(x, "tocsr") else as_tensor(x)
    sparse = isinstance(x, SparseBatch)
    if not sparse and x.ndim > 2:
        y = linear(join_samples(x), weight, bias, activation=activation)
        return split_samples(y, x.shape[:-1])
    if weight.observer is not None:
        weight.observer(x)
    if weight.virtual is not None:
        return virtual_linear(x, weight, bias, kind == RELU)
    pattern = weight.pattern
    if sparse:
        x.check_features(pattern.shape)
    if weight.gate is not None:
        values = weight.gate(weight.values)
    elif sparse:
        values = weight.values_for(x.columns.columns)
    else:
        values = weight.values
    if not sparse and x.dtype != values.dtype:
        x = x.astype(values.dtype)
    if not sparse and (x.ndim != 2 or x.shape[1] != pattern.shape[1]):
        _check("linear", pattern, x=(x, 1))
    if bias is None:
        bias = wrap(np.zeros(pattern.shape[0], values.dtype))
    elif bias.shape != (pattern.shape[0],) or bias.dtype != values.dtype:
        raise ValueError(
            f"bias must be {values.dtype} of shape ({pattern.shape[0]},), got "
            f"{bias.dtype} of shape {bias.shape}"
        )
    static = {
        "pattern": pattern,
        "activation": kind,
        "factors": weight.factors,
    }
    if sparse:
        static["batch"] = x
        on_sparse = sparse_linear_ if activation is None else sparse_linear_relu_
        return apply(on_sparse, (values, bias), static)
    if x.active is not None:
        from sparsenn.ops.event_linear import event_linear

        return event_linear(values, x, bias, static)
    chosen = linear_ if activation is None else linear_relu_
    return apply(chosen, (values, x, bias), static)


def _check(op: str, pattern: SparsePattern, **operands: Any) -> None:
    """Shapes and dtypes: ``name=values`` or ``name=(tensor, axis of the pattern)``."""
    dtypes = set()
    for name, operand in operands.items():
        if isinstance(operand, Tensor):
            tensor, wanted = operand, [str(pattern.nnz)]
        else:
            tensor, axis = operand
            batch = str(tensor.shape[0]) if tensor.ndim == 2 else "batch"
            wanted = [batch, str(pattern.shape[axis])]
        if list(map(str, tensor.shape)) != wanted:
            raise ValueError(
                f"{op}: {name} must have shape ({', '.join(wanted)}) for a pattern "
                f"of shape {pattern.shape} with nnz={pattern.nnz}, got {tensor.shape}"
            )
        dtypes.add(tensor.dtype)
    if len(dtypes) > 1:
        raise ValueError(
            f"{op}: dtypes must agree, got " + ", ".join(sorted(str(d) for d in dtypes))
        )
