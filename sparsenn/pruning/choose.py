"""Which connections stay, given their scores: exact numbers, ties by position."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from sparsenn.ops import ArrayScores, largest_scores
from sparsenn.pruning.stream import Tiles
from sparsenn.pruning.weights import Kept, Weight
from sparsenn.sparse import largest, largest_of_all

Scores: TypeAlias = np.ndarray | Tiles
"""Of a stored weight, shape (nnz,), storage order; of a virtual one in tiles."""


def check_finite(weight: Weight, scores: Scores) -> None:
    """Raises ValueError if a score is NaN or infinite; says how many and where.

    Those that come in tiles are checked as they come.
    """
    if isinstance(scores, Tiles):
        return
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
    weights: Sequence[Weight], scores: Sequence[Scores], total: int
) -> list[Kept]:
    """Marks the connections of highest score of all layers together.

    Parameters
    ----------
    weights : sequence of Weight
    scores : sequence of ndarray, shape (nnz,), or Tiles
        In storage order. Those of exempt weights are not looked at.
    total : int
        Connections of the network afterwards, those of exempt weights included.

    Returns
    -------
    list of ndarray of bool, shape (nnz,), or CSR
        In storage order. Among equal scores the lower (layer, row, column) stays.

    Raises
    ------
    ValueError
        If a score is not finite.
    """
    open_ = [i for i, w in enumerate(weights) if not w.exempt]
    for i in open_:
        check_finite(weights[i], scores[i])
    left = total - sum(w.before for w in weights if w.exempt)
    chosen = highest([weights[i] for i in open_], [scores[i] for i in open_], left)
    keeps: list[Kept | None] = [None] * len(weights)
    for i, keep in zip(open_, chosen, strict=True):
        keeps[i] = keep
    return [
        w.everything() if keep is None else keep
        for w, keep in zip(weights, keeps, strict=True)
    ]


def keep_by_layer(
    weights: Sequence[Weight], scores: Sequence[Scores], counts: Sequence[int]
) -> list[Kept]:
    """Marks the connections of highest score in each layer.

    Parameters
    ----------
    weights : sequence of Weight
    scores : sequence of ndarray, shape (nnz,), or Tiles
        In storage order. Those of exempt weights are not looked at.
    counts : sequence of int
        Connections of each weight afterwards; of an exempt one all.

    Returns
    -------
    list of ndarray of bool, shape (nnz,), or CSR
        In storage order. Among equal scores the lower (row, column) stays.

    Raises
    ------
    ValueError
        If a score is not finite.
    """
    keeps: list[Kept] = []
    for weight, given, count in zip(weights, scores, counts, strict=True):
        if weight.exempt:
            keeps.append(weight.everything())
            continue
        check_finite(weight, given)
        keeps += highest([weight], [given], count)
    return keeps


def highest(weights: Sequence[Weight], scores: Sequence[Scores], k: int) -> list[Kept]:
    """Marks the k highest scores of some weights together."""
    if any(isinstance(s, Tiles) for s in scores):
        return _highest_streamed(weights, scores, k)
    patterns = [w.param.pattern for w in weights]
    if len(weights) == 1:
        return [largest(patterns[0], np.asarray(scores[0]), k)]
    return list(largest_of_all(patterns, [np.asarray(s) for s in scores], k))


def _highest_streamed(
    weights: Sequence[Weight], scores: Sequence[Scores], k: int
) -> list[Kept]:
    """The same if some of the weights are virtual: one pass over all scores."""
    sources = [
        s.source()
        if isinstance(s, Tiles)
        else ArrayScores(w.param.pattern.to_canonical(s))
        for w, s in zip(weights, scores, strict=True)
    ]
    found = largest_scores(sources, k)
    return [
        kept if isinstance(kept, tuple) else w.param.pattern.from_canonical(kept)
        for w, kept in zip(weights, found, strict=True)
    ]
