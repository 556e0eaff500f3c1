"""One layer back at an earlier state, or at a random one, for as long as one looks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from sparsenn.autograd import Tensor
from sparsenn.pruning.controls import Seed, fresh_values
from sparsenn.pruning.restore import Undo, write
from sparsenn.pruning.weights import LayerName, Weight, number_of, weights_of
from sparsenn.random import as_seed
from sparsenn.sparse import SparsePattern


def reset(
    model: Any,
    layer: LayerName,
    to: Literal["init"] | Mapping[str, np.ndarray] | Any = "init",
    *,
    keep_pattern: bool = False,
) -> Undo:
    """Sets one layer back to its initial or some earlier state.

    Parameters
    ----------
    model : Module
    layer : int or str
        Number among the sparse weights (negative: from the last), name of the weight
        or of its layer, "first" or "last".
    to : "init", mapping of str to array, or ModelFile
        ``"init"``: the initial values of the connections that there are now, drawn
        again rather than kept; the bias goes to 0, where :class:`sparsenn.nn.Linear`
        starts. Otherwise arrays named as in a file: ``export.model.read_model(path)``,
        or ``export.model.model_arrays(model)``.
    keep_pattern : bool
        Take values of the present connections only, 0 where the file has none, instead
        of the file's connections.

    Returns
    -------
    Undo
        ``with reset(...):`` puts the layer back at the end, exactly; otherwise call its
        ``undo()``, or leave it.

    Raises
    ------
    ValueError
        If the file has no such weight, or of another shape.
    RuntimeError
        For ``"init"`` if the weight does not know what it was drawn from.

    References
    ----------
    Zhang, Bengio & Singer, "Are all layers created equal?", JMLR 23, 2022, where this
    is to re-initialise.
    """
    weight, bias = find(model, layer)
    param = weight.param
    if isinstance(to, str):
        if to != "init":
            raise ValueError(
                f"to must be 'init', arrays or a ModelFile, got {to!r}; read a file by "
                "export.model.read_model(path)"
            )
        pattern, values, offset = param.pattern, param.initial_values(), None
    else:
        arrays = getattr(to, "arrays", to)
        pattern, values = state_in(weight, arrays)
        offset = _bias_in(weight, bias, arrays)
        if keep_pattern:
            values = values_at(param.pattern, pattern, values)
            pattern = param.pattern
    return _put(weight, bias, pattern, values, 0 if offset is None else offset)


def rerandomize(model: Any, layer: LayerName, seed: Seed = None) -> Undo:
    """Draws the values of one layer anew; its bias goes to 0.

    Parameters
    ----------
    model : Module
    layer : int or str
        As in `reset`.
    seed : int, Generator or None

    Returns
    -------
    Undo
        See `reset`.

    Raises
    ------
    RuntimeError
        If the weight has no initializer.

    References
    ----------
    Zhang, Bengio & Singer, JMLR 23, 2022, where this is to re-randomise.
    """
    weight, bias = find(model, layer)
    values = fresh_values(weight, as_seed(seed))
    return _put(weight, bias, weight.param.pattern, values, 0)


def find(model: Any, layer: LayerName) -> tuple[Weight, Tensor | None]:
    """A weight, and the bias beside it."""
    weights = weights_of(model)
    weight = weights[number_of(layer, [w.name for w in weights], "layer")]
    named = dict(model.named_parameters()) if hasattr(model, "named_parameters") else {}
    bias = named.get(weight.name.removesuffix("weight") + "bias")
    return weight, bias if isinstance(bias, Tensor) else None


def state_in(
    weight: Weight, arrays: Mapping[str, np.ndarray]
) -> tuple[SparsePattern, np.ndarray]:
    """Pattern and values (storage order) of a weight in the arrays of a file."""
    name, param = weight.name, weight.param
    if f"{name}.values" not in arrays:
        raise ValueError(
            f"the arrays have no {name + '.values'!r}, only "
            f"{', '.join(sorted(arrays)) or 'nothing'}"
        )
    values = np.asarray(arrays[f"{name}.values"])
    if f"{name}.indptr" in arrays:
        pattern = SparsePattern(
            param.shape, arrays[f"{name}.indptr"], arrays[f"{name}.indices"]
        )
        if param.pattern.by_column:
            pattern = pattern.stored_by_column()
    else:
        pattern = SparsePattern.full(param.shape)
    if values.shape != (pattern.nnz,):
        raise ValueError(
            f"{name + '.values'!r} has shape {values.shape}, its pattern has "
            f"nnz={pattern.nnz}"
        )
    if param.pattern.same_positions(pattern):
        pattern = param.pattern  # so that an optimiser's state still fits
    return pattern, pattern.from_canonical(values).astype(param.dtype)


def values_at(
    wanted: SparsePattern, pattern: SparsePattern, values: np.ndarray
) -> np.ndarray:
    """Values at the positions of another pattern, 0 where there are none."""
    if pattern is wanted:
        return values
    if pattern.is_full:
        return values[wanted.ranks()]
    there = pattern.to_canonical(pattern.ranks())
    ordered = pattern.to_canonical(values)
    ranks = wanted.ranks()
    at = np.minimum(np.searchsorted(there, ranks), max(len(there) - 1, 0))
    if not len(there):
        return np.zeros(len(ranks), values.dtype)
    return np.where(there[at] == ranks, ordered[at], 0).astype(values.dtype)


def _bias_in(
    weight: Weight, bias: Tensor | None, arrays: Mapping[str, np.ndarray]
) -> np.ndarray | None:
    if bias is None:
        return None
    name = weight.name.removesuffix("weight") + "bias"
    if name not in arrays or np.shape(arrays[name]) != bias.shape:
        raise ValueError(
            f"the arrays have no {name!r} of shape {bias.shape}, which belongs to "
            f"{weight.name!r}"
        )
    return np.asarray(arrays[name])


def _put(
    weight: Weight,
    bias: Tensor | None,
    pattern: SparsePattern,
    values: np.ndarray,
    offset: Any,
) -> Undo:
    undo = Undo([weight.param], [] if bias is None else [bias])
    weight.param.set(pattern, values)
    if bias is not None:
        write(bias, offset)
    return undo
