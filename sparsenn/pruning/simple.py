"""Pruning without data or gradients: at random, and by magnitude."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from sparsenn.optim import Optimizer
from sparsenn.pruning.apply import prune
from sparsenn.pruning.choose import Scores
from sparsenn.pruning.result import Result, result_of
from sparsenn.pruning.rounds import Masks
from sparsenn.pruning.shares import Scope, Shares
from sparsenn.pruning.stream import Tiles
from sparsenn.pruning.values import Seed, Values, revaluer
from sparsenn.pruning.weights import Kept, LayerName, Weight, target, weights_of
from sparsenn.random import Purpose, Stream, as_seed
from sparsenn.sparse import SparsePattern

_POSITIONS = 0  # step of the streams of Purpose.FORESIGHT


def random(
    model: Any,
    density: float,
    *,
    allocation: str = "erk",
    keep_dense: Iterable[LayerName] = (),
    values: Values = "rescale",
    seed: Seed = None,
    optimizer: Optimizer | None = None,
) -> Result:
    """Keeps random connections, as many in each layer as an allocation says.

    Parameters
    ----------
    model : object with parameters()
        Virtual weights are never drawn as a whole: time and memory are in proportion to
        what stays.
    density : float
        Of the whole network afterwards.
    allocation : {"erk", "er", "uniform", "igq"}
        See :func:`sparsenn.sparse.allocate`.
    keep_dense : iterable of int or str
        Layers that keep every connection that they have.
    values : {"rescale", "keep", "redraw"}
        ``rescale``: the draw that each connection began with, scaled for the
        connections that there are now; of a full or virtual layer this gives what a
        sparse one of the same seed has. ``keep``, for models that are trained: the
        values that they have. ``redraw``: other draws.
    seed : int, Generator or None
        Of the choice, and of redrawn values.
    optimizer : Optimizer, optional
        Its state follows; where values are drawn it starts anew.

    Returns
    -------
    Result
    """
    weights = weights_of(model, keep_dense, virtual=True)
    total = target(weights, density)
    most = [w.before for w in weights]
    groups = Shares("layer", allocation).groups(weights, total, most)
    number = as_seed(seed)
    revalue = revaluer(weights, values, number, optimizer)
    kept = [w.everything() if w.exempt else None for w in weights]
    for (layer,), count in groups:
        kept[layer] = _some(weights[layer], count, number)
    prune(weights, [k for k in kept if k is not None], optimizer)
    for weight in weights:
        revalue(weight)
    return result_of(f"random ({allocation})", weights)


def _some(weight: Weight, count: int, seed: int) -> Kept:
    """A random choice among the connections of a weight."""
    param = weight.param
    if param.virtual is not None or param.pattern.is_full:
        stream = Stream(seed, Purpose.PATTERN, layer=weight.number)
        chosen = SparsePattern.random(param.shape, count, stream=stream)
        if param.virtual is not None:
            return chosen.csr()
        keep = np.zeros(param.nnz, np.bool_)
        keep[chosen.ranks()] = True
        return keep
    stream = Stream(seed, Purpose.FORESIGHT, layer=weight.number, step=_POSITIONS)
    chosen = SparsePattern.random((1, param.nnz), count, stream=stream)
    keep = np.zeros(param.nnz, np.bool_)
    keep[chosen.ranks()] = True
    return param.pattern.from_canonical(keep)


def magnitude(
    model: Any,
    density: float,
    *,
    scope: Scope = "global",
    allocation: str = "erk",
    invert: bool = False,
    values: Values = "keep",
    keep_dense: Iterable[LayerName] = (),
    seed: Seed = None,
    optimizer: Optimizer | None = None,
) -> Result:
    """Keeps the connections of largest ``|w|``, before or after training.

    Parameters
    ----------
    model : object with parameters()
        May hold virtual weights, which are drawn once.
    density : float
        Of the whole network afterwards.
    scope : {"global", "layer"}
        ``layer`` ranks each layer by itself and shares the connections among layers by
        `allocation`.
    allocation : {"erk", "er", "uniform", "igq"}
        For ``scope="layer"``, see :func:`sparsenn.sparse.allocate`.
    invert : bool
        Keep the smallest: a control.
    values : {"keep", "rescale", "redraw"}
        As of :func:`snip`.
    keep_dense : iterable of int or str
        Layers that keep every connection that they have.
    seed : int, Generator or None
        Of redrawn values.
    optimizer : Optimizer, optional
        Its state follows.

    Returns
    -------
    Result

    Notes
    -----
    Before training a global ranking compares layers by the scale of their initial
    values alone, and soon leaves wide ones without any connection; see
    :func:`lamp` for a ranking that does not.
    """
    weights = weights_of(model, keep_dense, virtual=True)
    total = target(weights, density)
    shares = Shares(scope, allocation)
    revalue = revaluer(weights, values, seed, optimizer)
    sign = -1 if invert else 1
    with Masks(weights, revive=False) as masks:
        kept = masks.choose([_magnitudes(w, sign) for w in weights], total, shares)
    prune(weights, kept, optimizer)
    for weight in weights:
        revalue(weight)
    return result_of("magnitude", weights)


def _magnitudes(weight: Weight, sign: int) -> Scores:
    param = weight.param
    if param.virtual is None:
        return sign * np.abs(param.values.data)
    return Tiles(weight.name, param.virtual, None, "magnitude", sign)
