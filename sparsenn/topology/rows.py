"""Choices within each row, for neurons that all have the same number of inputs."""

from __future__ import annotations

import numpy as np

from sparsenn.ops import OuterSum
from sparsenn.random import Stream
from sparsenn.sparse import SparsePattern

Csr = tuple[np.ndarray, np.ndarray]


def trim(
    pattern: SparsePattern, scores: np.ndarray, keep: np.ndarray, limit: int
) -> np.ndarray:
    """Keeps at most `limit` of each row, those of the largest scores.

    Parameters
    ----------
    pattern : SparsePattern
    scores : ndarray, shape (nnz,)
        Storage order.
    keep : ndarray of bool, shape (nnz,)
        What may be kept.
    limit : int

    Returns
    -------
    ndarray of bool, shape (nnz,)
        Of equal scores in a row the lower column stays.
    """
    rows, cols = pattern.positions()
    chosen = np.flatnonzero(keep)
    order = np.lexsort((cols[chosen], -scores[chosen], rows[chosen]))
    chosen = chosen[order]
    counts = np.bincount(rows[chosen], minlength=pattern.shape[0])
    starts = np.cumsum(counts) - counts
    place = np.arange(len(chosen)) - np.repeat(starts, counts)
    kept = np.zeros(pattern.nnz, bool)
    kept[chosen[place < limit]] = True
    return kept


def largest_outside(outer: OuterSum, pattern: SparsePattern, counts: np.ndarray) -> Csr:
    """In each row, the positions outside a pattern of largest magnitude.

    The sum is evaluated in tiles of rows and never stored.

    Parameters
    ----------
    outer : OuterSum
    pattern : SparsePattern
        Positions that are not candidates.
    counts : ndarray of int, shape (n_rows,)
        How many of each row, at most the free ones.

    Returns
    -------
    indptr, indices : ndarray of int32
        Canonical CSR. Of equal magnitudes the lower column wins.

    Raises
    ------
    ValueError
        If NaN leaves a row fewer than it needs.
    """
    taken, columns = pattern.csr()
    found = []
    for first, tile in outer.tiles():
        for row, gradient in enumerate(np.abs(tile), start=first):
            count = int(counts[row])
            if not count:
                continue
            gradient[np.isnan(gradient)] = -1.0
            gradient[columns[taken[row] : taken[row + 1]]] = -1.0
            found.append(_largest(gradient, count))
    indptr = np.zeros(len(counts) + 1, np.int32)
    np.cumsum(counts, out=indptr[1:])
    indices = np.concatenate(found) if found else np.zeros(0)
    return indptr, indices.astype(np.int32)


def _largest(magnitudes: np.ndarray, count: int) -> np.ndarray:
    """Ascending places of the `count` largest; of equals the lower ones."""
    last = np.partition(magnitudes, len(magnitudes) - count)[len(magnitudes) - count]
    if last < 0:
        raise ValueError("the gradient holds NaN where connections could grow")
    above = magnitudes > last
    equal = np.flatnonzero(magnitudes == last)
    above[equal[: count - np.count_nonzero(above)]] = True
    return np.flatnonzero(above)


def sample_free(pattern: SparsePattern, counts: np.ndarray, stream: Stream) -> Csr:
    """Uniformly random free positions, so many in each row.

    Parameters
    ----------
    pattern : SparsePattern
        Positions that are not free.
    counts : ndarray of int, shape (n_rows,)
    stream : Stream

    Returns
    -------
    indptr, indices : ndarray of int32
        Canonical CSR.
    """
    n_rows, n_cols = pattern.shape
    taken, columns = pattern.csr()
    found = []
    for row, count in enumerate(counts):
        if not count:
            continue
        free = np.setdiff1d(
            np.arange(n_cols), columns[taken[row] : taken[row + 1]], assume_unique=True
        )
        # A key for every position: the smallest of the free ones are a sample.
        first = np.int64(row) * n_cols
        keys = stream.bits(elements=first + free)
        found.append(np.sort(free[np.argsort(keys, kind="stable")[:count]]))
    indptr = np.zeros(n_rows + 1, np.int32)
    np.cumsum(counts, out=indptr[1:])
    indices = np.concatenate(found) if found else np.zeros(0)
    return indptr, indices.astype(np.int32)
