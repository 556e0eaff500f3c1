"""Which connections lie on a path from an input to an output."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, final

import numpy as np

from sparsenn.optim import Optimizer
from sparsenn.pruning.apply import prune
from sparsenn.pruning.result import Result, result_of
from sparsenn.pruning.signal import Signal, is_chain
from sparsenn.pruning.weights import weights_of
from sparsenn.sparse import SparseParameter


@final
@dataclass(frozen=True, eq=False)
class EffectiveLayer:
    """One weight of a model.

    Attributes
    ----------
    name : str
    shape : tuple of int
        (n_out, n_in).
    nnz : int
        Connections.
    mask : ndarray of bool, shape (nnz,)
        True for the effective ones, in storage order.
    """

    name: str
    shape: tuple[int, int]
    nnz: int
    mask: np.ndarray

    @property
    def effective(self) -> int:
        """Connections on a path from an input to an output."""
        return int(np.count_nonzero(self.mask))

    @property
    def density(self) -> float:
        """Connections over positions."""
        return _share(self.nnz, self.shape[0] * self.shape[1])

    @property
    def effective_density(self) -> float:
        """Effective connections over positions."""
        return _share(self.effective, self.shape[0] * self.shape[1])


@final
@dataclass(frozen=True, eq=False)
class Effective:
    """What of a network can carry a signal from its inputs to its outputs.

    Attributes
    ----------
    layers : tuple of EffectiveLayer
        From the input on.
    reached : tuple of ndarray of bool
        Of the inputs, of each layer of hidden neurons, and of the outputs: whether a
        path comes from an input.
    leading : tuple of ndarray of bool
        The same: whether a path leads to an output. Where the model is no chain, both
        are of the outputs of each weight, and say whether an effective connection ends
        there.
    """

    layers: tuple[EffectiveLayer, ...]
    reached: tuple[np.ndarray, ...]
    leading: tuple[np.ndarray, ...]

    @property
    def nnz(self) -> int:
        """Connections of all weights."""
        return sum(layer.nnz for layer in self.layers)

    @property
    def effective(self) -> int:
        """Effective connections of all weights."""
        return sum(layer.effective for layer in self.layers)

    @property
    def density(self) -> float:
        """Connections over positions, all weights together."""
        return _share(self.nnz, self._positions)

    @property
    def effective_density(self) -> float:
        """Effective connections over positions, all weights together."""
        return _share(self.effective, self._positions)

    @property
    def collapsed(self) -> bool:
        """Whether no path is left from any input to any output."""
        return self.effective == 0

    @property
    def dead(self) -> tuple[np.ndarray, ...]:
        """Of each layer of hidden neurons, which lie on no path from input to output.

        One that no input reaches still emits a constant, see
        :meth:`sparsenn.nn.Module.compact`.
        """
        return tuple(
            ~(reached & leading)
            for reached, leading in zip(
                self.reached[1:-1], self.leading[1:-1], strict=True
            )
        )

    @property
    def n_dead(self) -> int:
        """Hidden neurons on no path from an input to an output."""
        return sum(int(np.count_nonzero(dead)) for dead in self.dead)

    def rows(self) -> list[dict[str, Any]]:
        """A JSON-able table: name, shape, nnz, density, effective, effective_density.

        And ``dead``, the dead neurons among the outputs of a weight; None for the last.
        """
        dead = [int(np.count_nonzero(d)) for d in self.dead]
        return [
            {
                "name": layer.name,
                "shape": list(layer.shape),
                "nnz": layer.nnz,
                "density": layer.density,
                "effective": layer.effective,
                "effective_density": layer.effective_density,
                "dead": n,
            }
            for layer, n in zip(self.layers, [*dead, None], strict=True)
        ]

    @property
    def _positions(self) -> int:
        return sum(layer.shape[0] * layer.shape[1] for layer in self.layers)

    def __repr__(self) -> str:
        """A table of the layers."""
        lines = [
            f"{self.effective:,} of {self.nnz:,} connections effective, density "
            f"{self.effective_density:.4g} of {self.density:.4g}, {self.n_dead:,} dead "
            f"neurons{', collapsed' if self.collapsed else ''}"
        ]
        width = max(len(layer.name) for layer in self.layers)
        for row in self.rows():
            shape = " x ".join(map(str, row["shape"]))
            dead = "" if row["dead"] is None else f"  {row['dead']:,} dead"
            lines.append(
                f"  {row['name']:<{width}}  {shape:>15}  {row['effective']:>11,} of "
                f"{row['nnz']:>11,}  {row['effective_density']:.4g}{dead}"
            )
        return "\n".join(lines)


def effective(model: Any, input_shape: Sequence[int] | None = None) -> Effective:
    """Effective connections: those on a path from an input to an output.

    Parameters
    ----------
    model : Module or sequence of SparseParameter
        A chain of weights, each applied to what is made of the outputs of the one
        before, neuron by neuron: a :class:`sparsenn.nn.Sequential`, or a model whose
        ``chain()`` says which. A sequence of weights is taken to be such a chain.
        Through any other model, with convolutions, branches or shortcuts, a signal is
        sent.
    input_shape : sequence of int, optional
        Of one sample, of a model that is no chain and does not say.

    Returns
    -------
    Effective
        Time and memory O(connections + neurons).

    Raises
    ------
    TypeError
        If the model says neither how its weights are connected nor what shape a sample
        has.
    ValueError
        If there is no weight, or one has other inputs than the one before has outputs.

    Notes
    -----
    A connection counts by its place, whatever its value, 0 included. Biases start no
    path: a neuron that no input reaches emits a constant. Without biases ineffective
    connections can go and the function stays (`drop_ineffective`); with them,
    :meth:`sparsenn.nn.Module.compact` folds the constants. What layer norms or
    k-winners mix between neurons is no path either.

    References
    ----------
    Vysogorets & Kempe, "Connectivity matters: neural network pruning through the lens
    of effective sparsity", arXiv:2107.02306.
    """
    if hasattr(model, "chain") and not is_chain(model):
        return _by_signal(model, input_shape)
    params = _chain(model)
    reached = [np.ones(params[0].shape[1], bool)]
    leading = [np.ones(params[-1].shape[0], bool)]
    for param in params:
        reached.append(_step(param, reached[-1], forward=True))
    for param in params[::-1]:
        leading.append(_step(param, leading[-1], forward=False))
    leading.reverse()
    layers = tuple(
        EffectiveLayer(
            param.name or str(i),
            param.shape,
            param.nnz,
            _on_a_path(param, reached[i], leading[i + 1]),
        )
        for i, param in enumerate(params)
    )
    return Effective(layers, tuple(reached), tuple(leading))


def _by_signal(model: Any, input_shape: Sequence[int] | None) -> Effective:
    """The same of a model that is no chain."""
    signal = Signal(model, input_shape, every_path=True)
    # Each neuron takes the mean over its connections, so that numbers stay moderate.
    shares = [_row_means(param) for param in signal.params]
    masks = [carried > 0 for carried in signal.carried(shares)]
    names = {id(p): n for n, p in model.named_parameters()}
    originals = {id(p): p for p in model.parameters() if isinstance(p, SparseParameter)}
    layers = tuple(
        EffectiveLayer(names[key] or str(i), param.shape, param.nnz, mask)
        for i, ((key, param), mask) in enumerate(
            zip(originals.items(), masks, strict=True)
        )
    )
    live = [_rows_of(p, m) for p, m in zip(originals.values(), masks, strict=True)]
    ends = (np.ones(layers[0].shape[1], bool), *live)
    return Effective(layers, ends, ends)


def _row_means(param: SparseParameter) -> np.ndarray:
    rows = param.positions()[0]
    counts = np.bincount(rows, minlength=param.shape[0])
    return 1.0 / counts[rows]


def _rows_of(param: SparseParameter, mask: np.ndarray) -> np.ndarray:
    """Rows with a marked connection."""
    found = np.zeros(param.shape[0], bool)
    found[param.positions()[0][mask]] = True
    return found


def effective_density(model: Any) -> float:
    """Effective connections over positions, see `effective`."""
    return effective(model).effective_density


def dead_neurons(model: Any) -> tuple[np.ndarray, ...]:
    """Which hidden neurons lie on no path from an input to an output.

    Returns
    -------
    tuple of ndarray of bool
        One for each layer of hidden neurons; see `effective`.
    """
    return effective(model).dead


def collapsed(model: Any) -> bool:
    """Whether no path is left from any input to any output, see `effective`."""
    return effective(model).collapsed


def drop_ineffective(model: Any, *, optimizer: Optimizer | None = None) -> Result:
    """Drops the connections that are on no path from an input to an output.

    Without biases the function stays the same. With biases the constants of neurons
    that no input reaches are lost: use :meth:`sparsenn.nn.Module.compact`, which keeps
    them.

    Parameters
    ----------
    model : Module
        See `effective`.
    optimizer : Optimizer, optional
        Its state follows.

    Returns
    -------
    Result
    """
    weights = weights_of(model)
    branched = hasattr(model, "chain") and not is_chain(model)
    params = [w.param for w in weights] if branched else _chain(model)
    masks = {
        id(param): layer.mask
        for param, layer in zip(params, effective(model).layers, strict=True)
    }
    prune(weights, [masks[id(w.param)] for w in weights], optimizer)
    return result_of(
        "drop_ineffective", weights, effective=sum(w.param.nnz for w in weights)
    )


def _chain(model: Any) -> list[SparseParameter]:
    if isinstance(model, Sequence):
        params = list(model)
    elif hasattr(model, "chain"):
        params = model.chain()
    else:
        raise TypeError(
            f"{type(model).__name__} does not say how its weights are connected; give "
            "a Sequential, a model with a method chain(), or the weights in order"
        )
    for param in params:
        if not isinstance(param, SparseParameter):
            raise TypeError(f"a chain is of SparseParameters, got {param!r:.60}")
        param.check_stored("followed by its connections")
    if not params:
        raise ValueError("the model has no sparse weight")
    for first, second in pairwise(params):
        if first.shape[0] != second.shape[1]:
            raise ValueError(
                f"weight {first.name!r} has {first.shape[0]} outputs, the next, "
                f"{second.name!r}, {second.shape[1]} inputs; they are no chain"
            )
    return params


def _step(param: SparseParameter, marked: np.ndarray, *, forward: bool) -> np.ndarray:
    """Which neurons on the other side of a weight a marked one is connected to."""
    to, at = param.shape if forward else param.shape[::-1]
    if param.pattern.is_full:
        return np.full(to, at > 0 and bool(marked.any()))
    rows, columns = param.positions()
    ends, starts = (rows, columns) if forward else (columns, rows)
    found = np.zeros(to, bool)
    found[ends[marked[starts]]] = True
    return found


def _on_a_path(
    param: SparseParameter, reached: np.ndarray, leading: np.ndarray
) -> np.ndarray:
    if param.pattern.is_full:
        return (leading[:, None] & reached).reshape(-1)
    rows, columns = param.positions()
    return reached[columns] & leading[rows]


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
