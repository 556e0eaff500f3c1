"""Controls for pruning: is it the positions, the values, or only how many?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import numpy as np

from sparsenn.autograd.sequences import Sequences
from sparsenn.optim import Optimizer
from sparsenn.pruning.result import Result, result_of
from sparsenn.pruning.weights import LayerName, Model, Weight, number_of, weights_of
from sparsenn.random import Purpose, Stream, as_seed
from sparsenn.sparse import SparsePattern, TopologyChange

Seed = int | np.random.Generator | None
Lines = Mapping[LayerName, Any]
_POSITIONS, _PERMUTATION, _VALUES = 0, 1, 2  # steps of the streams


def shuffle(
    model: Model,
    seed: Seed = None,
    *,
    rows: Lines | None = None,
    columns: Lines | None = None,
    values: Literal["initial", "permute", "redraw"] = "initial",
    keep_dense: Iterable[LayerName] = (),
    optimizer: Optimizer | None = None,
) -> Result:
    """Moves the connections of every weight to random positions of that weight.

    A control: what a method of pruning found out beyond how many connections each layer
    should have is lost. Every layer keeps its number of connections, and positions are
    uniform over all choices.

    Parameters
    ----------
    model : Model
    seed : int, Generator or None
    rows, columns : mapping of layer to array, optional
        Of some layers, which outputs or inputs may be connected: bool of shape (n_out,)
        or (n_in,), or their numbers. ``columns={"first": varying_inputs(x)}`` leaves
        out inputs that are constant: a shuffle among all pixels of MNIST wastes two
        fifths of the first layer on its border, which no method does.
    values : {"initial", "permute", "redraw"}
        ``"initial"``: what the new positions' weights were before pruning, as if the
        mask had been shuffled (Frankle et al.); for weights that know their origin.
        ``"permute"``: the present values in random order. ``"redraw"``: new ones from
        the weight's initializer.
    keep_dense : iterable of int or str
        Layers that stay as they are.
    optimizer : Optimizer, optional
        Its state starts anew for the weights that are shuffled.

    Returns
    -------
    Result

    Raises
    ------
    ValueError
        If the rows and columns allowed have fewer positions than there are connections.

    References
    ----------
    Frankle et al., "Pruning neural networks at initialization: why are we missing the
    mark?", arXiv:2009.08576, section 5.
    """
    if values not in ("initial", "permute", "redraw"):
        raise ValueError(
            f"values must be 'initial', 'permute' or 'redraw', got {values!r}"
        )
    weights = weights_of(model, keep_dense)
    names = [w.name for w in weights]
    allowed_rows = _by_number(rows, names, "rows")
    allowed_columns = _by_number(columns, names, "columns")
    seed = as_seed(seed)
    plans = []
    for weight in weights:  # whatever is wrong is found before anything changes
        if weight.exempt:
            continue
        if values == "redraw" and weight.param.initializer is None:
            raise RuntimeError(
                f"weight {weight.name!r} has no initializer to draw from; shuffle with "
                "values='permute'"
            )
        if values == "initial" and not weight.param.knows_origin:
            raise RuntimeError(
                f"weight {weight.name!r} does not know what its first values were "
                "drawn from; shuffle with values='permute' or 'redraw'"
            )
        n_out, n_in = weight.param.shape
        line = (
            _marked(allowed_rows.get(weight.number), n_out, f"rows of {weight.name!r}"),
            _marked(
                allowed_columns.get(weight.number), n_in, f"columns of {weight.name!r}"
            ),
        )
        plans.append((weight, _positions(weight, *line, seed)))
    for weight, (indptr, indices) in plans:
        param = weight.param
        old = param.values.data
        none = np.zeros(param.nnz, np.bool_)
        change = param.pattern.with_changes(none, (indptr, indices))
        param.replace(change, np.zeros(param.nnz, param.dtype))
        if values == "initial":
            new = param.initial_values()
        elif values == "permute":
            stream = _stream(seed, weight, _PERMUTATION)
            new = old[stream.permutation(param.nnz)]
        else:
            new = fresh_values(weight, seed)
        _put(weight, new, change, optimizer)
    return result_of(f"shuffle ({values})", weights)


def reinitialize(
    model: Model,
    seed: Seed = None,
    *,
    keep_dense: Iterable[LayerName] = (),
    optimizer: Optimizer | None = None,
) -> Result:
    """Draws the values of every weight anew; every connection stays where it is.

    A control: whether a mask belongs to the values that it was found with. Biases and
    other tensors stay as they are.

    Parameters
    ----------
    model : Model
    seed : int, Generator or None
        An integer seed that the model was built with gives other values than it had.
    keep_dense : iterable of int or str
        Layers that stay as they are.
    optimizer : Optimizer, optional
        Its state starts anew for the weights that are redrawn.

    Returns
    -------
    Result

    Raises
    ------
    RuntimeError
        If a weight has no initializer.

    References
    ----------
    Frankle et al., arXiv:2009.08576, section 5.
    """
    weights = weights_of(model, keep_dense)
    seed = as_seed(seed)
    fresh = [(w, fresh_values(w, seed)) for w in weights if not w.exempt]
    for weight, values in fresh:
        pattern = weight.param.pattern
        nothing = np.full(pattern.nnz, -1, np.int32)
        _put(weight, values, TopologyChange(pattern, pattern, nothing), optimizer)
    return result_of("reinitialize", weights)


def varying_inputs(x: Any) -> np.ndarray:
    """Which features are not the same in all samples.

    Parameters
    ----------
    x : ndarray, scipy sparse array or Sequences, shape (samples, ...)
        Axes after the first are flattened. The samples of sequences are their steps.

    Returns
    -------
    ndarray of bool, shape (n_features,)
    """
    if hasattr(x, "tocsc"):
        low, high = x.min(axis=0), x.max(axis=0)
        return np.asarray((high != low).todense() if hasattr(high, "todense")
                          else high != low).reshape(-1)  # fmt: skip
    samples = x.values[x.inside] if isinstance(x, Sequences) else np.asarray(x)
    samples = samples.reshape(len(samples), -1)
    return (samples != samples[:1]).any(axis=0)


def fresh_values(weight: Weight, seed: int) -> np.ndarray:
    """New values of the present connections, scaled as the initial ones were."""
    return weight.param.draw(_stream(seed, weight, _VALUES))


def _stream(seed: int, weight: Weight, step: int) -> Stream:
    return Stream(seed, Purpose.CONTROL, layer=weight.number, step=step)


def _put(
    weight: Weight,
    values: np.ndarray,
    change: TopologyChange,
    optimizer: Optimizer | None,
) -> None:
    param = weight.param
    param.set(param.pattern, values)
    if optimizer is not None and any(param is p for p in optimizer.params):
        optimizer.remap(param, change)


def _positions(
    weight: Weight, rows: np.ndarray, columns: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """CSR of as many random positions in the given rows and columns."""
    nnz = weight.param.nnz
    if len(rows) * len(columns) < nnz:
        raise ValueError(
            f"{weight.name!r} has {nnz:,} connections; the {len(rows):,} rows and "
            f"{len(columns):,} columns allowed have {len(rows) * len(columns):,} "
            "positions"
        )
    drawn = SparsePattern.random(
        (len(rows), len(columns)), nnz, stream=_stream(seed, weight, _POSITIONS)
    )
    indptr, indices = drawn.csr()
    counts = np.zeros(weight.param.shape[0] + 1, np.int32)
    counts[rows + 1] = np.diff(indptr)
    return np.cumsum(counts, dtype=np.int32), columns.astype(np.int32)[indices]


def _by_number(lines: Lines | None, names: list[str], what: str) -> dict[int, Any]:
    return {
        number_of(layer, names, what): given for layer, given in (lines or {}).items()
    }


def _marked(given: Any, n: int, what: str) -> np.ndarray:
    """Numbers of the rows or columns allowed, ascending."""
    if given is None:
        return np.arange(n)
    lines = np.asarray(given)
    if lines.dtype == np.bool_ and lines.shape == (n,):
        return np.flatnonzero(lines)
    if lines.dtype.kind not in "iu" or lines.ndim != 1:
        raise ValueError(
            f"{what} is {lines.dtype} of shape {lines.shape}; it must be bool of shape "
            f"({n},), or integers"
        )
    lines = np.unique(lines)
    if lines.size and (lines[0] < 0 or lines[-1] >= n):
        raise ValueError(f"{what} holds numbers outside 0..{n - 1}")
    return lines
