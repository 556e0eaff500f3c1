"""Carrying out what was chosen: patterns, values and the optimiser's state together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from sparsenn.optim import Optimizer
from sparsenn.pruning.weights import Kept, Weight
from sparsenn.sparse import TopologyChange


def prune(
    weights: Sequence[Weight],
    keeps: Sequence[Kept],
    optimizer: Optimizer | None = None,
    values: Callable[[Weight, TopologyChange], np.ndarray] | None = None,
) -> list[TopologyChange | None]:
    """Drops the connections that are not marked.

    Parameters
    ----------
    weights : sequence of Weight
    keeps : sequence of ndarray of bool, shape (nnz,)
        In storage order. Of a virtual weight canonical CSR, (indptr, indices); it then
        becomes an ordinary one.
    optimizer : Optimizer, optional
        Its state follows.
    values : callable, optional
        ``(weight, change) -> values`` on the new pattern; by default connections keep
        theirs.

    Returns
    -------
    list of TopologyChange or None
        None of a weight that keeps everything, or was virtual.
    """
    changes: list[TopologyChange | None] = []
    for weight, keep in zip(weights, keeps, strict=True):
        param = weight.param
        if isinstance(keep, tuple):
            param.materialize(*keep)
            changes.append(None)
            continue
        if keep.all():
            changes.append(None)
            continue
        change = param.pattern.with_changes(keep)
        param.replace(change, None if values is None else values(weight, change))
        if optimizer is not None and any(param is p for p in optimizer.params):
            optimizer.remap(param, change)
        changes.append(change)
    return changes


@contextmanager
def mode(model: Any, training: bool) -> Iterator[None]:
    """Puts a model into training or evaluation behaviour for a while.

    Afterwards, and after an error, every module behaves as before, and buffers (running
    statistics, counters of random draws) hold what they held.

    Parameters
    ----------
    model : object
        With ``named_modules()``, ``named_buffers()`` and ``train(mode)``, as an
        `nn.Module`; any other is left as it is.
    training : bool
    """
    if not hasattr(model, "named_modules"):
        yield
        return
    before = [(module, module.training) for _, module in model.named_modules()]
    buffers = [(array, array.copy()) for _, array in model.named_buffers()]
    try:
        model.train(training)
        yield
    finally:
        for module, was in before:
            module.training = was
        for array, held in buffers:
            array[...] = held
