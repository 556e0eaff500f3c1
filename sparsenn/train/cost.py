"""What training costs and how many connections there are."""

from __future__ import annotations

from typing import Any, final

import numpy as np

from sparsenn.autograd.sequences import Sequences
from sparsenn.nn import Embedding
from sparsenn.nn.trace import multiplications
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
    forward, gradient of the weight, gradient of the input. The last one is left out for
    a weight that is the very first parameter: nothing before it learns. How often a
    weight is applied to a sample is found by tracing one of zeros (a convolution's for
    each pixel of its result, a recurrent one's in every step, those of tokens for each
    token). A recurrent layer at the entry works in the steps before the ends of
    Sequences alone (the projections that it makes a second time instead of keeping them
    are not counted), what follows it also where they are padded. Of a first layer on a
    sparse batch, or a sparse embedding, only the connections of each nonzero's or
    token's column count. Biases, activations, dense tables, the products of attention
    itself and the optimiser are not counted; searches of a topology's updates are
    counted apart (`TopologyUpdater.flops`).

    Parameters
    ----------
    model : Module
        As it is now: a change of topology needs a new one.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._first = next(iter(weights(model)), None)
        self._products = 2 if self._first is next(iter(model.parameters()), None) else 3
        self._entry, self._enters_sparse = _entry(model, self._first)
        self._samples: dict[tuple[int, ...], tuple[int, int, int]] = {}
        self._fan_out: np.ndarray | None = None

    def __call__(self, x: Any) -> int:
        """Operations of a step on a batch: dense, CSR, Sequences or tokens."""
        shape = tuple(x.shape[1:])
        if shape not in self._samples:
            self._samples[shape] = self._trace(x)
        first, entry, others = (int(x.shape[0]) * n for n in self._samples[shape])
        if isinstance(x, Sequences):
            first, entry = (n * x.tokens // x.inside.size for n in (first, entry))
        columns = self._columns(x)
        if columns is not None and self._first is not None:
            if self._fan_out is None:
                self._fan_out = _column_counts(self._first.pattern)
            first = int(self._fan_out[columns].sum())
        return 2 * self._products * first + 6 * (entry + others)

    def _trace(self, x: Any) -> tuple[int, int, int]:
        """Multiplications of a sample: first weight, rest of the entry, all others."""
        zeros = type(x) if hasattr(x, "indices") else np.zeros
        made = multiplications(self._model, zeros((1, *x.shape[1:]), dtype=x.dtype))
        first = made.pop(id(self._first), 0)
        within = () if self._entry is None else self._entry.parameters()
        entry = sum(made.pop(id(p), 0) for p in within)
        return first, entry, sum(made.values())

    def _columns(self, x: Any) -> np.ndarray | None:
        """Columns of the first weight that a batch meets, if not all for each row."""
        if isinstance(self._entry, Embedding):
            return np.asarray(x).reshape(-1)
        return getattr(x, "indices", None) if self._enters_sparse else None


def _entry(model: Any, first: SparseParameter | None) -> tuple[Any, bool]:
    """The layer of the first weight, if batches enter there; if sparse ones stay so."""
    module, stays = model, model.takes_sparse
    while not any(value is first for value in vars(module).values()):
        children = [child for _, child in module.children()]
        if not children:
            return None, False
        module = children[0]
        stays = stays and module.takes_sparse
    return module, stays


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
