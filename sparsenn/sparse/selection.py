"""Which connections score highest or lowest: exactly k, ties by position."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsenn import _core
from sparsenn.sparse.pattern import SparsePattern

__all__ = ["largest", "select", "smallest"]

select = _core.select


def largest(
    pattern: SparsePattern,
    scores: NDArray[np.floating[Any]],
    k: int,
    ranks: NDArray[np.int64] | None = None,
) -> NDArray[np.bool_]:
    """Mark the k connections of largest score.

    Parameters
    ----------
    pattern : SparsePattern
    scores : ndarray of float32 or float64, shape (nnz,)
        In storage order, without NaN.
    k : int
        0 <= k <= nnz.
    ranks : ndarray of int64, optional
        ``tie_ranks(pattern)``, for callers that select more than once.

    Returns
    -------
    ndarray of bool, shape (nnz,)
        In storage order. Among equal scores the lower (row, column) is marked, whatever
        the layout.
    """
    return _select(pattern, scores, k, True, ranks)


def smallest(
    pattern: SparsePattern,
    scores: NDArray[np.floating[Any]],
    k: int,
    ranks: NDArray[np.int64] | None = None,
) -> NDArray[np.bool_]:
    """Mark the k connections of smallest score; otherwise as `largest`."""
    return _select(pattern, scores, k, False, ranks)


def tie_ranks(pattern: SparsePattern) -> NDArray[np.int64] | None:
    """What decides among equal scores: the ranks; None if the slots are in order."""
    return None if pattern.is_canonical else pattern.ranks()


def _select(
    pattern: SparsePattern,
    scores: NDArray[np.floating[Any]],
    k: int,
    is_largest: bool,
    ranks: NDArray[np.int64] | None,
) -> NDArray[np.bool_]:
    if scores.shape != (pattern.nnz,):
        raise ValueError(
            f"scores has shape {scores.shape}, the pattern has nnz={pattern.nnz}"
        )
    if ranks is None:
        ranks = tie_ranks(pattern)
    return _core.select(np.ascontiguousarray(scores), k, is_largest, ranks)
