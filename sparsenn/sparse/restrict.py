"""A pattern with fewer rows and columns."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsenn.sparse.pattern import SparsePattern, pattern_and_order

__all__ = ["restrict"]


def restrict(
    pattern: SparsePattern, rows: NDArray[np.bool_], columns: NDArray[np.bool_]
) -> tuple[SparsePattern, NDArray[np.integer[Any]]]:
    """The positions in some rows and columns, renumbered without gaps.

    Parameters
    ----------
    pattern : SparsePattern, shape (n_rows, n_cols)
    rows : ndarray of bool, shape (n_rows,)
        True for those that stay.
    columns : ndarray of bool, shape (n_cols,)

    Returns
    -------
    new : SparsePattern
        Of as many rows and columns as are True, stored by column if the old one is.
    source : ndarray of int, shape (new.nnz,)
        Old slot of each new slot, storage order on both sides.
    """
    if rows.shape != pattern.shape[:1] or columns.shape != pattern.shape[1:]:
        raise ValueError(
            f"rows has shape {rows.shape}, columns has {columns.shape}; the pattern is "
            f"{pattern.shape[0]} x {pattern.shape[1]}"
        )
    shape = int(np.count_nonzero(rows)), int(np.count_nonzero(columns))
    if shape == pattern.shape:
        return pattern, np.arange(pattern.nnz, dtype=np.int32)
    if pattern.is_full:
        first = np.flatnonzero(rows) * pattern.shape[1]
        source = (first[:, None] + np.flatnonzero(columns)).reshape(-1)
        return SparsePattern.full(shape), source
    indptr, indices, slots = pattern.csr_and_slots()
    kept = columns[indices]
    kept &= np.repeat(rows, np.diff(indptr))
    entries = np.flatnonzero(kept)
    ends = np.searchsorted(entries, indptr[1:][rows])
    new_indptr = np.zeros(shape[0] + 1, np.int32)
    new_indptr[1:] = ends
    number = np.cumsum(columns, dtype=np.int32) - np.int32(1)
    new, order = pattern_and_order(
        shape, new_indptr, number[indices[entries]], by_column=pattern.by_column
    )
    if order is not None:
        entries = entries[order]
    return new, entries if slots is None else slots[entries]
