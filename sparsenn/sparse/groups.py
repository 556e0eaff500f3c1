"""The best connections of each row, or of each group of columns in a row."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsenn.random import Purpose, Stream, as_seed
from sparsenn.sparse.pattern import SparsePattern

__all__ = ["largest_in_groups", "n_m_pattern"]

#: Connections that are sorted at a time; whole rows, so a longer row is one part.
_PART = 1 << 18


def largest_in_groups(
    pattern: SparsePattern,
    scores: NDArray[np.floating[Any]],
    quotas: NDArray[np.integer[Any]],
    width: int,
) -> NDArray[np.bool_]:
    """Mark the connections of largest score of each group of columns in each row.

    Parameters
    ----------
    pattern : SparsePattern, shape (n_rows, n_cols)
    scores : ndarray, shape (nnz,)
        In storage order, without NaN.
    quotas : ndarray of int, shape (n_rows,) or (n_rows, n_groups)
        Connections that each group of a row, or each group, gets, at most all it has.
    width : int
        Columns of a group, at least 1; the last group may be narrower.

    Returns
    -------
    ndarray of bool, shape (nnz,)
        In storage order. Among equal scores the lower column is marked.
    """
    n_rows, n_cols = pattern.shape
    n_groups = -(-n_cols // width)
    if scores.shape != (pattern.nnz,):
        raise ValueError(
            f"scores has shape {scores.shape}, the pattern has nnz={pattern.nnz}"
        )
    if quotas.shape not in ((n_rows,), (n_rows, n_groups)):
        raise ValueError(
            f"quotas has shape {quotas.shape}, it must be ({n_rows},) or "
            f"({n_rows}, {n_groups})"
        )
    indptr, indices = pattern.csr()
    ordered = pattern.to_canonical(scores)
    marks = np.empty(pattern.nnz, np.bool_)
    first = 0
    while first < n_rows:
        until = int(indptr[first]) + _PART
        last = int(np.searchsorted(indptr, until, side="right")) - 1
        last = min(max(last, first + 1), n_rows)
        part = slice(int(indptr[first]), int(indptr[last]))
        rows = np.repeat(np.arange(first, last), np.diff(indptr[first : last + 1]))
        columns = indices[part] // width
        groups = (rows - first) * n_groups + columns
        # Stable, so equal scores stay in the order of their columns.
        order = np.lexsort((-ordered[part], groups))
        begins = np.flatnonzero(np.diff(groups[order], prepend=-1))
        counts = np.diff(begins, append=len(order))
        place = np.arange(len(order)) - np.repeat(begins, counts)
        quota = quotas[rows] if quotas.ndim == 1 else quotas[rows, columns]
        marks[part.start + order] = place < quota[order]
        first = last
    return pattern.from_canonical(marks)


def n_m_pattern(
    shape: tuple[int, int],
    n: int,
    m: int,
    *,
    seed: int | np.random.Generator | None = None,
    stream: Stream | None = None,
) -> SparsePattern:
    """Random positions, n of every m consecutive columns of each row.

    Parameters
    ----------
    shape : tuple of int
        (n_rows, n_cols).
    n, m : int
        0 <= n <= m. A last group of fewer than m columns gets n, or all that it has.
    seed : int or numpy.random.Generator
        Used when there is no stream; by default a fresh one of the system's.
    stream : Stream
        Where to draw from.

    Returns
    -------
    SparsePattern
        Uniform over all such patterns.
    """
    if not 0 <= n <= m or m < 1:
        raise ValueError(f"n:m is {n}:{m}, it must have 0 <= n <= m and m >= 1")
    if stream is None:
        stream = Stream(as_seed(seed), Purpose.PATTERN)
    n_rows, n_cols = shape
    last = n_cols % m
    per_row = n_cols // m * n + min(n, last)
    indices = np.empty(n_rows * per_row, np.int32)
    height = max(1, _PART // max(n_cols, 1))
    for first in range(0, n_rows, height):
        rows = min(height, n_rows - first)
        elements = np.arange(first * n_cols, (first + rows) * n_cols)
        draws = stream.uniform(elements=elements).reshape(rows, n_cols)
        parts = [
            _lowest(draws[:, : n_cols - last].reshape(rows, n_cols // m, m), n),
            _lowest(draws[:, n_cols - last :].reshape(rows, 1, last), min(n, last)),
        ]
        parts[1] += n_cols - last
        part = slice(first * per_row, (first + rows) * per_row)
        indices[part] = np.concatenate(parts, axis=1).reshape(-1)
    indptr = np.arange(n_rows + 1, dtype=np.int64) * per_row
    return SparsePattern(shape, indptr, indices)


def _lowest(draws: NDArray[Any], n: int) -> NDArray[Any]:
    """Columns of the n lowest draws of each group, ascending, a row a line."""
    rows, groups, width = draws.shape
    chosen = np.sort(np.argsort(draws, axis=2, kind="stable")[:, :, :n], axis=2)
    chosen += np.arange(groups)[:, None] * width
    return chosen.reshape(rows, groups * n)
