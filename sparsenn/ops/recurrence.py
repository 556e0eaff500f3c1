"""Recurrent layers: a state that is multiplied with one sparse weight in every step.

Forward, a step is one product with the step's samples. Backward, everything but the
recursion itself is done for all steps together: the states before each token are the
results that are there already, so that one product makes all hidden projections, and
one sddmm the gradient of the weight, as one pair of factors.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from sparsenn.autograd import Tensor, is_recording
from sparsenn.autograd.array import empty
from sparsenn.autograd.registry import Sample, apply, primitive
from sparsenn.autograd.tensor import as_tensor, wrap
from sparsenn.ops.cells import CELLS
from sparsenn.ops.indexing import take
from sparsenn.ops.linear_activation import IDENTITY
from sparsenn.ops.packing import Packing
from sparsenn.ops.reduce import sum as reduce_sum
from sparsenn.ops.shape import concatenate
from sparsenn.ops.sparse import linear_, sddmm_, spmm_, spmm_t_
from sparsenn.ops.virtual import virtual_linear_, virtual_linear_t_
from sparsenn.random import Purpose, Stream
from sparsenn.sparse import SparseParameter, SparsePattern, VirtualWeight

__all__ = ["recurrence"]

Weight = SparsePattern | VirtualWeight


def _products(weight: Weight, factors: Any) -> tuple[Any, Any]:
    """``(values, h) -> h W^T`` and ``(values, y) -> y W``, whose factors are noted."""
    if isinstance(weight, VirtualWeight):
        static: dict[str, Any] = {"weight": weight, "factors": factors}
        chosen = virtual_linear_, virtual_linear_t_
    else:
        static = {"pattern": weight, "factors": factors}
        chosen = spmm_, spmm_t_
    into, back = (
        lambda values, x, product=product: apply(product, (values, x), static)
        for product in chosen
    )
    return into, back


def _forward(
    values: np.ndarray,
    projected: np.ndarray,
    bias: np.ndarray,
    state: np.ndarray,
    *,
    weight: Weight,
    factors: Any,
    cell: str,
    packing: Packing,
) -> np.ndarray:
    kind = CELLS[cell]
    width = state.shape[1] // kind.states
    out = empty((packing.tokens, state.shape[1]), state.dtype)
    if isinstance(weight, VirtualWeight):

        def product(h: np.ndarray) -> np.ndarray:
            static = {"weight": weight, "factors": None}
            return virtual_linear_.forward(values, h, **static) + bias
    else:
        static = {"pattern": weight, "activation": IDENTITY, "factors": None}

        def product(h: np.ndarray) -> np.ndarray:
            return linear_.forward(values, h, bias, **static)

    for rows in packing.steps():
        state = state[: rows.stop - rows.start]
        state = kind.step(projected[rows], product(state[:, :width]), state)
        out[rows] = state
    return out


def _vjp(
    g: Tensor,
    out: Tensor,
    inputs: tuple[Tensor, Tensor, Tensor, Tensor],
    needs: tuple[bool, bool, bool, bool],
    *,
    weight: Weight,
    factors: Any,
    cell: str,
    packing: Packing,
) -> tuple[Tensor | None, ...]:
    if not is_recording():
        arrays = [x.data for x in inputs]
        return _backward(
            g.data, out.data, arrays, needs, weight, factors, cell, packing
        )
    values, projected, bias, state = inputs
    kind = CELLS[cell]
    into, back = _products(weight, factors)
    before = take(concatenate([state, out]), packing.previous)
    hidden = before[:, : before.shape[1] // kind.states]
    slopes = kind.slopes(projected, into(values, hidden) + bias, before, out)

    gradients: list[Tensor] = []  # of the state after each step, the last step first
    carried: Tensor | None = None
    for rows in reversed(list(packing.steps())):
        d = g[rows]
        if carried is not None:
            d = _add_to_first(d, carried)
        gradients.append(d)
        if rows.start == 0 and not needs[3]:
            break
        at = tuple(slope[rows] for slope in slopes)
        dq, rest = kind.to_hidden(d, at)
        carried = back(values, dq)
        if rest is not None:
            both = kind.states == 2
            carried = concatenate([carried, rest], 1) if both else carried + rest

    d = concatenate(gradients[::-1])
    dq, _ = kind.to_hidden(d, slopes)
    return (
        _weight_gradient(dq, hidden, weight, factors) if needs[0] else None,
        kind.to_input(d, dq, slopes) if needs[1] else None,
        reduce_sum(dq, axis=0) if needs[2] else None,
        carried if needs[3] else None,
    )


def _backward(
    g: np.ndarray,
    out: np.ndarray,
    inputs: Sequence[np.ndarray],
    needs: tuple[bool, bool, bool, bool],
    weight: Weight,
    factors: Any,
    cell: str,
    packing: Packing,
) -> tuple[Tensor | None, ...]:
    """The same derivative where nothing is recorded, on arrays step by step."""
    values, projected, bias, state = inputs
    kind = CELLS[cell]
    width = state.shape[1] // kind.states
    before = np.concatenate([state, out]).T.take(packing.previous, 1).T
    hidden = before[:, :width]
    into, back = _array_products(weight)
    q = into(values, hidden)
    q += bias
    dq = empty(q.shape, q.dtype)
    dp = empty(q.shape, q.dtype) if kind.apart else dq
    carried: np.ndarray | None = None
    for rows in reversed(list(packing.steps())):
        d = g[rows]
        if carried is not None:
            d = d.copy(order="F")
            d[: len(carried)] += carried
        rest = kind.back(
            d, projected[rows], q[rows], before[rows], out[rows], dp[rows], dq[rows]
        )
        if rows.start == 0 and not needs[3]:
            break
        carried = back(values, dq[rows])
        if kind.states == 2:
            carried = np.concatenate([carried, rest], 1)
        elif rest is not None:
            carried += rest
    dvalues = None
    if needs[0]:
        dvalues = _weight_gradient(wrap(dq), wrap(hidden), weight, factors)
    return (
        dvalues,
        wrap(dp) if needs[1] else None,
        wrap(dq.sum(axis=0)) if needs[2] else None,
        wrap(carried) if carried is not None and needs[3] else None,
    )


def _array_products(weight: Weight) -> tuple[Any, Any]:
    """Those of `_products` on arrays."""
    if isinstance(weight, VirtualWeight):
        static = {"weight": weight, "factors": None}
        return (
            partial(virtual_linear_.forward, **static),
            partial(virtual_linear_t_.forward, **static),
        )
    return (
        partial(spmm_.forward, pattern=weight),
        partial(spmm_t_.forward, pattern=weight),
    )


def _add_to_first(d: Tensor, carried: Tensor) -> Tensor:
    """Adds what comes from the next step, to the samples that have one."""
    n = len(carried.data)
    if n == len(d.data):
        return d + carried
    return concatenate([d[:n] + carried, d[n:]])


def _weight_gradient(
    dq: Tensor, hidden: Tensor, weight: Weight, factors: Any
) -> Tensor:
    """``dq^T h`` on the weight's positions, of all steps."""
    virtual = isinstance(weight, VirtualWeight)
    if factors is not None:
        as_tensors = virtual and is_recording()
        factors.append((dq, hidden) if as_tensors else (dq.data, hidden.data))
    if virtual:
        return wrap(np.zeros(0, dq.dtype))
    return apply(sddmm_, (dq, hidden), {"pattern": weight})


# ---------------------------------------------------------------- the primitive


class _Draws:
    """Values of the virtual samples."""

    def law(self, shape: tuple[int, int]) -> tuple[str, float]:
        return "normal", 0.5


def _samples(rng: np.random.Generator) -> Iterator[Sample]:
    lengths = np.array([2, 1, 3])
    for cell, kind in CELLS.items():
        for virtual in (False, True):
            shape = kind.gates * 2, 2
            weight: Weight
            if virtual:
                stream = Stream(1, Purpose.TEST)
                weight = VirtualWeight(shape, _Draws(), stream, np.dtype(np.float64))
                values = np.zeros(0)
            else:
                weight = SparsePattern.from_mask(rng.random(shape) < 0.6)
                values = rng.standard_normal(weight.nnz)
            # Far from zero, where ReLU has its kink.
            projected = rng.standard_normal((6, shape[0])) * 3
            bias = rng.standard_normal(shape[0])
            state = 0.1 * rng.standard_normal((3, kind.states * 2))
            static: dict[str, Any] = {"weight": weight, "factors": None, "cell": cell}
            static["packing"] = Packing(lengths, 3)
            yield Sample((values, projected, bias, state), static)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def _reference(
    values: np.ndarray,
    projected: np.ndarray,
    bias: np.ndarray,
    state: np.ndarray,
    *,
    weight: Weight,
    factors: Any,
    cell: str,
    packing: Packing,
) -> np.ndarray:
    if isinstance(weight, VirtualWeight):
        w = weight.rows(0, weight.shape[0])
    else:
        w = weight.to_scipy(values).toarray()
    n = w.shape[1]
    rows = list(state)
    for k, before in enumerate(packing.previous):
        h, c = rows[before][:n], rows[before][n:]
        p, q = projected[k], w @ h + bias
        if cell == "gru":
            r, z = _sigmoid(p[:n] + q[:n]), _sigmoid(p[n : 2 * n] + q[n : 2 * n])
            rows.append((1 - z) * np.tanh(p[2 * n :] + r * q[2 * n :]) + z * h)
        elif cell == "lstm":
            i, f, g, o = np.split(p + q, 4)
            c = _sigmoid(f) * c + _sigmoid(i) * np.tanh(g)
            rows.append(np.concatenate([_sigmoid(o) * np.tanh(c), c]))
        elif cell == "rnn-tanh":
            rows.append(np.tanh(p + q))
        elif cell == "rnn-relu":
            rows.append(np.maximum(p + q, 0))
        else:
            raise ValueError(f"no reference of the cell {cell!r}")
    return np.array(rows[len(state) :])


recurrence_ = primitive(
    "recurrence",
    _forward,
    _vjp,
    saves=("0123o",) * 4,
    sample=_samples,
    reference=_reference,
)


def recurrence(
    projected: Tensor,
    weight: SparseParameter,
    bias: Tensor | None,
    state: Any,
    *,
    cell: str,
    packing: Packing,
) -> Tensor:
    """States of a recurrent layer in every step.

    Parameters
    ----------
    projected : Tensor, shape (tokens, gates * hidden)
        The input of every token, projected, in the order of `packing`.
    weight : SparseParameter, shape (gates * hidden, hidden)
        Of the hidden state.
    bias : Tensor, shape (gates * hidden,), or None
        Added to the projected hidden state.
    state : Tensor or ndarray, shape (batch, states * hidden)
        Before the first step, in the order of `packing`. An LSTM has two states, the
        hidden one and its cell's.
    cell : {"rnn-tanh", "rnn-relu", "gru", "lstm"}
    packing : Packing

    Returns
    -------
    Tensor, shape (tokens, states * hidden)
        After each token.

    References
    ----------
    Elman, "Finding structure in time", 1990; Hochreiter & Schmidhuber, "Long short-term
    memory", 1997; Cho et al., "Learning phrase representations using RNN
    encoder-decoder", arXiv:1406.1078, with the reset gate behind the product as in
    cuDNN and PyTorch.
    """
    kind = CELLS[cell]
    n_hidden = weight.shape[1]
    n_gates = kind.gates * n_hidden
    state = as_tensor(state, projected)
    wanted = (packing.tokens, n_gates), (packing.sizes[0], kind.states * n_hidden)
    if weight.shape[0] != n_gates or (projected.shape, state.shape) != wanted:
        raise ValueError(
            f"{cell}: a weight of shape {weight.shape} and {packing.tokens} tokens of "
            f"{packing.sizes[0]} sequences take inputs {wanted[0]} and states "
            f"{wanted[1]}, got {projected.shape} and {state.shape}"
        )
    if bias is None:
        bias = wrap(np.zeros(n_gates, projected.dtype))
    stored = weight.pattern if weight.virtual is None else weight.virtual
    values = weight.values if weight.gate is None else weight.gate(weight.values)
    static = {
        "weight": stored,
        "factors": weight.factors,
        "cell": cell,
        "packing": packing,
    }
    out = apply(recurrence_, (values, projected, bias, state), static)
    if weight.observer is not None:
        before = take(concatenate([state, out]), packing.previous)
        weight.observer(before[:, :n_hidden])
    return out
