"""Which connections stay, given their scores: exact numbers, ties by position."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sparsenn.pruning.weights import Weight
from sparsenn.sparse import largest, largest_of_all


def check_finite(weight: Weight, scores: np.ndarray) -> None:
    """Raises ValueError if a score is NaN or infinite; says how many and where."""
    bad = np.flatnonzero(~np.isfinite(scores))
    if len(bad):
        rows, cols = weight.param.positions()
        raise ValueError(
            f"{len(bad):,} of {len(scores):,} scores of {weight.name!r} are not "
            f"finite, the first {scores[bad[0]]} at row {rows[bad[0]]}, column "
            f"{cols[bad[0]]}; look for an overflow in the loss or the weights, or "
            "compute in float64"
        )


def keep_globally(
    weights: Sequence[Weight], scores: Sequence[np.ndarray], total: int
) -> list[np.ndarray]:
    """Marks the connections of highest score of all layers together.

    Parameters
    ----------
    weights : sequence of Weight
    scores : sequence of ndarray, each of shape (nnz,)
        In storage order. Those of exempt weights are not looked at.
    total : int
        Connections of the network afterwards, those of exempt weights included.

    Returns
    -------
    list of ndarray of bool, shape (nnz,)
        In storage order. Among equal scores the lower (layer, row, column) stays.

    Raises
    ------
    ValueError
        If a score is not finite.
    """
    open_ = [i for i, w in enumerate(weights) if not w.exempt]
    for i in open_:
        check_finite(weights[i], scores[i])
    left = total - sum(w.param.nnz for w in weights if w.exempt)
    patterns = [weights[i].param.pattern for i in open_]
    chosen = largest_of_all(patterns, [scores[i] for i in open_], left)
    keeps = [np.ones(w.param.nnz, np.bool_) for w in weights]
    for i, keep in zip(open_, chosen, strict=True):
        keeps[i] = keep
    return keeps


def keep_by_layer(
    weights: Sequence[Weight], scores: Sequence[np.ndarray], counts: Sequence[int]
) -> list[np.ndarray]:
    """Marks the connections of highest score in each layer.

    Parameters
    ----------
    weights : sequence of Weight
    scores : sequence of ndarray, each of shape (nnz,)
        In storage order. Those of exempt weights are not looked at.
    counts : sequence of int
        Connections of each weight afterwards; of an exempt one all.

    Returns
    -------
    list of ndarray of bool, shape (nnz,)
        In storage order. Among equal scores the lower (row, column) stays.

    Raises
    ------
    ValueError
        If a score is not finite.
    """
    keeps = []
    for weight, values, count in zip(weights, scores, counts, strict=True):
        if weight.exempt:
            keeps.append(np.ones(weight.param.nnz, np.bool_))
            continue
        check_finite(weight, values)
        keeps.append(largest(weight.param.pattern, values, count))
    return keeps
