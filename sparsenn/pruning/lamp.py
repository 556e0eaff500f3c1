"""LAMP: magnitudes that can be compared across layers."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from sparsenn.optim import Optimizer
from sparsenn.pruning.apply import prune
from sparsenn.pruning.choose import check_finite, keep_globally
from sparsenn.pruning.result import Result, result_of
from sparsenn.pruning.weights import LayerName, Model, target, weights_of


def lamp(
    model: Model,
    density: float,
    *,
    keep_dense: Iterable[LayerName] = (),
    optimizer: Optimizer | None = None,
) -> Result:
    """Global magnitude pruning with layer-adaptive scores.

    The score of a weight is its square over the sum of the squares of all weights in
    its layer that are at least as large, so the largest weight of every layer scores 1
    and stays: no layer empties before every other one has a single connection left.

    Parameters
    ----------
    model : Model
    density : float
        Of the whole network afterwards.
    keep_dense : iterable of int or str
        Layers that keep every connection that they have.
    optimizer : Optimizer, optional
        Its state follows.

    Returns
    -------
    Result

    Notes
    -----
    Time O(n log n) for n connections, memory 20 bytes a connection while it runs. A
    layer of zeros scores 0.

    References
    ----------
    Lee et al., "Layer-adaptive sparsity for the magnitude-based pruning",
    arXiv:2010.07611, equation 1. Where magnitudes are equal the authors' order decides
    what a weight is compared with; here equal weights have equal scores.
    """
    weights = weights_of(model, keep_dense)
    total = target(weights, density)
    scores = []
    for weight in weights:
        values = weight.param.values.data
        if weight.exempt:
            scores.append(values)
            continue
        check_finite(weight, values)
        scores.append(lamp_scores(weight.param.pattern.to_canonical(values)))
        scores[-1] = weight.param.pattern.from_canonical(scores[-1])
    prune(weights, keep_globally(weights, scores, total), optimizer)
    return result_of("lamp", weights)


def lamp_scores(values: np.ndarray) -> np.ndarray:
    """LAMP scores of one layer's weights.

    Parameters
    ----------
    values : ndarray, shape (n,)
        Finite.

    Returns
    -------
    ndarray of float64, shape (n,)
        In [0, 1].
    """
    magnitudes = np.abs(values).astype(np.float64)
    largest = magnitudes.max(initial=0.0)
    if not largest:
        return magnitudes
    squares = (magnitudes / largest) ** 2  # so that no square overflows or all vanish
    order = np.argsort(magnitudes, kind="stable")[::-1]
    descending = squares[order]
    sums = np.cumsum(descending)
    # Of equal weights, the sum up to the last of them.
    last = np.append(np.flatnonzero(np.diff(magnitudes[order])), len(order) - 1)
    counts = np.diff(last, prepend=-1)
    scores = np.empty_like(squares)
    scores[order] = descending / np.repeat(sums[last], counts)
    return scores
