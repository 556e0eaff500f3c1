"""The linear layer on activations of which only some count.

With a constant set of events E of the batch::

    event_linear(v, x, b) = activation(keep(x) W^T + b),   keep(x) = x at E, 0 elsewhere

Forward and backward walk the events' columns of W where that is faster, and all of W
where it is not (:mod:`sparsenn.ops.event_choice`); the gradient for x is zero outside E
either way. When a derivative is recorded, it is written with the dense products.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from sparsenn import _core
from sparsenn.autograd import Tensor, is_recording
from sparsenn.autograd.array import as_order
from sparsenn.autograd.registry import Primitive, Sample, apply, primitive
from sparsenn.autograd.tensor import wrap
from sparsenn.ops import sparse
from sparsenn.ops.event_choice import backward_by_events, forward_by_events
from sparsenn.ops.k_winners import keep, mask_of
from sparsenn.ops.linear_activation import IDENTITY, RELU, activation_backward
from sparsenn.sparse import SparsePattern


def _forward(
    values: np.ndarray,
    x: np.ndarray,
    bias: np.ndarray,
    *,
    events: _core.Events,
    pattern: SparsePattern,
    activation: int,
    factors: sparse.Factors | None,
) -> np.ndarray:
    x = as_order(x, True)
    if forward_by_events(pattern, len(x), events.count, values.itemsize):
        index = pattern.column_index()
        return _core.event_spmm(index, values, events, x, bias, activation)
    static = {"pattern": pattern, "activation": activation, "factors": None}
    return sparse.linear_.forward(values, _core.keep(events, x), bias, **static)


def _vjp(
    g: Tensor,
    out: Tensor | None,
    inputs: tuple[Tensor, Tensor, Tensor],
    needs: tuple[bool, bool, bool],
    *,
    events: _core.Events,
    pattern: SparsePattern,
    activation: int,
    factors: sparse.Factors | None,
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    values, x, _ = inputs
    g, dbias = activation_backward(g, out, needs[2], activation)
    batch, itemsize = x.shape[0], values.dtype.itemsize
    if not is_recording() and backward_by_events(
        pattern, batch, events.count, itemsize
    ):
        if factors is not None and needs[0]:
            factors.append((g.data, x.data))
        dx, dvalues = _core.event_backward(
            pattern.column_index(),
            values.data if needs[1] else None,
            events,
            as_order(g.data, True),
            as_order(x.data, True) if needs[0] else None,
            bool(needs[1]),
        )
        return (
            None if dvalues is None else wrap(dvalues),
            None if dx is None else wrap(dx),
            dbias,
        )
    kept = keep(x, events) if needs[0] else x
    to_values, to_x = sparse.linear_backward(
        values, g, kept, needs[:2], pattern, factors
    )
    return to_values, None if to_x is None else keep(to_x, events), dbias


def _samples(activation: int, rng: np.random.Generator) -> Iterator[Sample]:
    """Where events win (one sample) and where they do not, in all storage orders."""
    for shape, density, batch, k, by_column in (
        ((5, 7), 0.4, 4, 2, False),
        ((5, 7), 0.4, 4, 2, True),
        ((5, 7), 0.4, 1, 2, True),
        ((6, 40), 0.3, 1, 3, False),
        ((3, 9), 0.1, 3, 0, True),
        ((2, 3), 1.0, 4, 2, False),
    ):
        n_out, n_in = shape
        pattern = SparsePattern.from_mask(rng.random(shape) < density)
        if by_column:
            pattern = pattern.stored_by_column()
        values = rng.standard_normal(pattern.nnz)
        x = np.asfortranarray(rng.standard_normal((batch, n_in)))
        bias = rng.standard_normal(n_out)
        scores = np.asfortranarray(rng.standard_normal((batch, n_in)))
        static: dict[str, Any] = {
            "events": _core.k_winners(scores, k),
            "pattern": pattern,
            "activation": activation,
            "factors": None,
        }
        yield Sample((values, x, bias), static)


def _reference(
    values: np.ndarray,
    x: np.ndarray,
    bias: np.ndarray,
    *,
    events: _core.Events,
    pattern: SparsePattern,
    activation: int,
    factors: sparse.Factors | None,
) -> np.ndarray:
    weight = pattern.to_scipy(values).toarray()
    y = (x * mask_of(events)) @ weight.T + bias
    return np.maximum(y, 0) if activation == RELU else y


event_linear_: Primitive = primitive(
    "event_linear",
    _forward,
    _vjp,
    saves=("1", "0", ""),
    sample=lambda rng: _samples(IDENTITY, rng),
    reference=_reference,
)
event_linear_relu_: Primitive = primitive(
    "event_linear_relu",
    _forward,
    _vjp,
    saves=("1o", "0o", "o"),
    sample=lambda rng: _samples(RELU, rng),
    reference=_reference,
)


def event_linear(
    values: Tensor, x: Tensor, bias: Tensor, static: dict[str, Any]
) -> Tensor:
    """`sparse.linear` of an x that carries its events, shapes checked by the caller."""
    chosen = event_linear_ if static["activation"] == IDENTITY else event_linear_relu_
    return apply(chosen, (values, x, bias), static | {"events": x.active})
