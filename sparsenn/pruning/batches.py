"""Gradients of a loss over batches, for weights that are stored and that are not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

import numpy as np

from sparsenn.autograd import Tensor, enable_grad, grad
from sparsenn.ops import OuterSum
from sparsenn.pruning.weights import Weight

LossFunction: TypeAlias = Callable[[Any, Any], Tensor]
"""``(output, target) -> loss``, the mean over a batch."""


def batches_of(batches: Iterable[Any]) -> list[tuple[Any, Any, float]]:
    """Batches with the share of all samples that each has.

    Parameters
    ----------
    batches : iterable of (x, y)

    Returns
    -------
    list of (x, y, share)

    Raises
    ------
    ValueError
        If there is none, or one is not a pair.
    """
    found = []
    for batch in batches:
        if not isinstance(batch, tuple | list) or len(batch) != 2:
            raise ValueError(
                "batches must be an iterable of pairs (x, y), such as [(x, y)]; one "
                f"of them is {type(batch).__name__}"
            )
        found.append((batch[0], batch[1], int(np.shape(batch[0])[0])))
    samples = sum(n for _, _, n in found)
    if not samples:
        raise ValueError("batches must hold at least one sample, there is none")
    return [(x, y, n / samples) for x, y, n in found if n]


@contextmanager
def noting(weights: Sequence[Weight], *, stored: bool) -> Iterator[None]:
    """Lets virtual weights, or all, note the factors of their gradients meanwhile."""
    before = [weight.param.factors for weight in weights]
    try:
        for weight in weights:
            wanted = stored or weight.param.virtual is not None
            weight.param.factors = [] if wanted else None
        yield
    finally:
        for weight, factors in zip(weights, before, strict=True):
            weight.param.factors = factors


def loss_of(
    model: Callable[[Any], Any],
    loss_fn: LossFunction,
    batch: tuple[Any, Any, float],
    temperature: float = 1.0,
) -> Tensor:
    """The batch's share of the mean loss over all samples."""
    x, y, share = batch
    output = model(x)
    if temperature != 1.0:
        output = output * (1.0 / temperature)
    loss = loss_fn(output, y)
    return loss if share == 1.0 else loss * share


def gradients(
    model: Callable[[Any], Any],
    loss_fn: LossFunction,
    batches: Sequence[tuple[Any, Any, float]],
    weights: Sequence[Weight],
    temperature: float = 1.0,
) -> list[np.ndarray | OuterSum]:
    """Gradient of the mean loss over all samples.

    Every variable's own ``grad`` stays as it is.

    Returns
    -------
    list of ndarray, shape (nnz,), or OuterSum
        Of stored weights in storage order; of virtual ones as outer products.
    """
    sums: list[np.ndarray | None] = [None] * len(weights)
    virtual = [w for w in weights if w.param.virtual is not None]
    factors: dict[int, list[Any]] = {w.number: [] for w in virtual}
    with noting(weights, stored=False), enable_grad():
        for batch in batches:
            loss = loss_of(model, loss_fn, batch, temperature)
            values = [w.param.values for w in weights]
            found = grad(loss, values, allow_unused=True)
            for i, gradient in enumerate(found):
                if gradient is not None and weights[i].param.virtual is None:
                    sums[i] = _plus(sums[i], gradient.data)
            for weight in virtual:
                noted = weight.param.factors
                assert noted is not None
                factors[weight.number] += noted
                noted.clear()
    return [
        _outer(w, factors[w.number]) if w.number in factors else _or_zeros(w, total)
        for w, total in zip(weights, sums, strict=True)
    ]


def _plus(total: np.ndarray | None, more: np.ndarray) -> np.ndarray:
    return more.copy() if total is None else np.add(total, more, out=total)


def _or_zeros(weight: Weight, total: np.ndarray | None) -> np.ndarray:
    """The sum, of a weight that the loss does not use zeros."""
    return np.zeros(weight.param.nnz, weight.param.dtype) if total is None else total


def _outer(weight: Weight, factors: list[Any]) -> OuterSum:
    n_out, n_in = weight.param.shape
    dtype = weight.param.dtype
    return OuterSum(
        factors or [(np.zeros((1, n_out), dtype), np.zeros((1, n_in), dtype))]
    )
