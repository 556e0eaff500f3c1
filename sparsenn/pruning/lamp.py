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
    Time O(n log n) for n connections of a layer, memory some 65 bytes for each of them
    and 8 for each of the others while it runs. A layer of zeros scores 0.

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
        scores.append(lamp_scores(values))
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
    magnitudes = np.abs(values)
    largest = float(magnitudes.max(initial=0.0))
    if not largest:
        return np.zeros(len(values))
    # Sums go over values in order, so they do not depend on how the weight is stored.
    order = np.argsort(magnitudes)[::-1]
    descending = magnitudes[order]
    last = np.append(np.flatnonzero(np.diff(descending)), len(order) - 1)
    squares = descending.astype(np.float64)
    squares /= largest  # so that no square overflows, and not all of them vanish
    squares *= squares
    sums = np.cumsum(squares)
    squares /= np.repeat(sums[last], np.diff(last, prepend=-1))  # of equals: the last
    scores = np.empty_like(squares)
    scores[order] = squares
    return scores
