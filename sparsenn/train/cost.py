"""What training costs and how many connections there are."""

from __future__ import annotations

from math import prod
from typing import Any, final

import numpy as np

from sparsenn.autograd.sequences import Sequences
from sparsenn.nn.trace import applications
from sparsenn.sparse import SparseParameter, SparsePattern


def weights(model: Any) -> list[SparseParameter]:
    """The sparse (and full) weights in the order of the network."""
    return [p for _, p in model.named_parameters() if isinstance(p, SparseParameter)]


def connections(model: Any) -> tuple[int, int]:
    """Connections that exist, and positions where one could."""
    found = weights(model)
    return sum(p.nnz for p in found), sum(p.shape[0] * p.shape[1] for p in found)


@final
class StepCost:
    """Floating-point operations of training steps on batches: ``cost(x)``.

    Each connection costs a multiplication and an addition in each of three products:
    forward, gradient of the weight, gradient of the input, which the first layer does
    not need; a convolution's once for each pixel of its result. Of a first layer on a
    sparse batch only the connections of each nonzero's column count. Weights of
    recurrent layers work in every step of every sequence (the projections that they
    make a second time instead of keeping them are not counted). In models that take the
    numbers of tokens every weight works on every token. Biases, activations and the
    optimiser are not counted; searches of a topology's updates are counted apart
    (`TopologyUpdater.flops`).

    Parameters
    ----------
    model : Module
        As it is now: a change of topology needs a new one.
    """

    def __init__(self, model: Any) -> None:
        found = weights(model)
        walked = _of_every_step(model)
        work = list(zip(found, _multiplications(model, found), strict=True))
        self._first = work[0][1] if work else 0
        self._others = sum(n for p, n in work[1:] if id(p) not in walked)
        self._steps = sum(n for p, n in work[1:] if id(p) in walked)
        self._walks = bool(found) and id(found[0]) in walked
        self._entered = _entered_sparse(model)
        self._fan_out: np.ndarray | None = None

    def __call__(self, x: Any) -> int:
        """Operations of a step on a batch: dense, CSR, or numbers of tokens."""
        if getattr(x, "dtype", np.dtype(float)).kind in "iu":  # an embedding learns too
            return 6 * x.size * (self._first + self._others + self._steps)
        n = int(x.shape[0])
        tokens = x.tokens if isinstance(x, Sequences) else n * prod(x.shape[1:-1])
        first = (tokens if self._walks else n) * self._first
        if self._entered is not None and hasattr(x, "indices"):
            if self._fan_out is None:
                self._fan_out = _column_counts(self._entered)
            first = int(self._fan_out[x.indices].sum())
        return 4 * first + 6 * (n * self._others + tokens * self._steps)


def _of_every_step(model: Any) -> set[int]:
    """Ids of the weights that see every step of a sequence."""
    return {
        id(p)
        for _, module in model.named_modules()
        if module.walks_steps
        for p in module.parameters()
    }


def _multiplications(model: Any, found: list[SparseParameter]) -> list[int]:
    """Of one sample by each weight."""
    applied: dict[int, int] = {}
    if any(weight.kernel for weight in found):  # else nothing is applied twice
        applied = applications(model)
    return [weight.nnz * applied.get(id(weight), 1) for weight in found]


def _entered_sparse(model: Any) -> SparsePattern | None:
    """The pattern that a sparse batch meets without being made dense, if any."""
    module = model
    while getattr(module, "takes_sparse", False):
        children = [child for _, child in module.children()]
        if not children:
            weight = getattr(module, "weight", None)
            return weight.pattern if isinstance(weight, SparseParameter) else None
        module = children[0]
    return None


def _column_counts(pattern: SparsePattern) -> np.ndarray:
    """Connections of each column, int64."""
    if pattern.layout is None:
        return np.full(pattern.shape[1], pattern.shape[0], np.int64)
    if pattern.by_column:
        return np.diff(pattern.layout.indptr).astype(np.int64)
    return np.bincount(pattern.positions()[1], minlength=pattern.shape[1])


def layer_table(model: Any) -> list[dict[str, Any]]:
    """Name, shape, connections and density of every weight, JSON-able."""
    return [
        {
            "name": name,
            "shape": [int(n) for n in parameter.shape],
            "nnz": int(parameter.nnz),
            "density": float(parameter.density),
        }
        for name, parameter in model.named_parameters()
        if isinstance(parameter, SparseParameter)
    ]
