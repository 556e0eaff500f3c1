"""Which connections score highest or lowest: exactly k, ties by position."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsenn import _core
from sparsenn.sparse.pattern import SparsePattern

__all__ = ["largest", "largest_of_all", "select", "smallest"]

select = _core.select


def largest(
    pattern: SparsePattern, scores: NDArray[np.floating[Any]], k: int
) -> NDArray[np.bool_]:
    """Mark the k connections of largest score.

    Parameters
    ----------
    pattern : SparsePattern
    scores : ndarray of float32 or float64, shape (nnz,)
        In storage order, without NaN.
    k : int
        0 <= k <= nnz.

    Returns
    -------
    ndarray of bool, shape (nnz,)
        In storage order. Among equal scores the lower (row, column) is marked, whatever
        the layout.
    """
    return _select(pattern, scores, k, True)


def smallest(
    pattern: SparsePattern, scores: NDArray[np.floating[Any]], k: int
) -> NDArray[np.bool_]:
    """Mark the k connections of smallest score; otherwise as `largest`."""
    return _select(pattern, scores, k, False)


def _select(
    pattern: SparsePattern,
    scores: NDArray[np.floating[Any]],
    k: int,
    is_largest: bool,
) -> NDArray[np.bool_]:
    if scores.shape != (pattern.nnz,):
        raise ValueError(
            f"scores has shape {scores.shape}, the pattern has nnz={pattern.nnz}"
        )
    ranks = None if pattern.is_canonical else pattern.ranks
    return _core.select(np.ascontiguousarray(scores), k, is_largest, ranks)


def largest_of_all(
    patterns: Sequence[SparsePattern],
    scores: Sequence[NDArray[np.floating[Any]]],
    k: int,
) -> list[NDArray[np.bool_]]:
    """Mark the k connections of largest score of several weights together.

    Parameters
    ----------
    patterns : sequence of SparsePattern
    scores : sequence of ndarray, each of shape (nnz,)
        In storage order, of one dtype, without NaN.
    k : int
        0 <= k <= the sum of nnz.

    Returns
    -------
    list of ndarray of bool
        In storage order. Among equal scores the lower (weight, row, column) is marked.
    """
    ordered = [p.to_canonical(s) for p, s in zip(patterns, scores, strict=True)]
    joined = np.concatenate([np.zeros(0, np.float32), *ordered])
    marks = _core.select(np.ascontiguousarray(joined), k, True, None)
    ends = np.cumsum([p.nnz for p in patterns])[:-1]
    parts = np.split(marks, ends) if patterns else []
    return [p.from_canonical(m) for p, m in zip(patterns, parts, strict=True)]
