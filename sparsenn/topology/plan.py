"""What an update does to one layer: which connections stay, and which come."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sparsenn import _core
from sparsenn.sparse import SparsePattern, largest
from sparsenn.topology.layer import Layer


class Edit(NamedTuple):
    """One layer's part of an update.

    Attributes
    ----------
    keep : ndarray of bool, shape (nnz,)
        Storage order.
    added : tuple of (indptr, indices), int32
        Canonical CSR of what is grown.
    """

    keep: np.ndarray
    added: tuple[np.ndarray, np.ndarray]


def nothing(pattern: SparsePattern) -> tuple[np.ndarray, np.ndarray]:
    """CSR of no position."""
    return np.zeros(pattern.shape[0] + 1, np.int32), np.zeros(0, np.int32)


def drop_at_most(layer: Layer, keep: np.ndarray, limit: int) -> np.ndarray:
    """Takes back what was dropped beyond a limit, the largest ``|w|`` first."""
    magnitudes = np.where(keep, np.inf, np.abs(layer.values).astype(np.float64))
    return largest(layer.pattern, magnitudes, layer.pattern.nnz - limit)


def revive(
    layer: Layer, keep: np.ndarray, added: tuple[np.ndarray, np.ndarray]
) -> Edit:
    """Keeps what was dropped and is grown again, with its value and state (RigL).

    Parameters
    ----------
    layer : Layer
    keep : ndarray of bool, shape (nnz,)
    added : tuple of (indptr, indices)
        Canonical CSR, disjoint from what is kept.
    """
    pattern = layer.pattern
    indptr, indices = added
    dropped = np.flatnonzero(~keep)
    if not len(dropped) or not len(indices):
        return Edit(keep, added)
    width = max(pattern.shape[1], 1)
    grown, _ = _core.csr_to_layout(pattern.shape, indptr, indices, width, 4)
    rows, cols = pattern.positions()
    again = dropped[_core.layout_find(grown, rows[dropped], cols[dropped])]
    if not len(again):
        return Edit(keep, added)
    keep = keep.copy()
    keep[again] = True
    taken, _ = _core.csr_to_layout(
        pattern.shape, *_csr(rows[again], cols[again], pattern.shape[0]), width, 4
    )
    lines = np.repeat(np.arange(pattern.shape[0], dtype=np.int32), np.diff(indptr))
    new = ~_core.layout_find(taken, lines, indices)
    left = np.bincount(lines[new], minlength=pattern.shape[0])
    starts = np.zeros(pattern.shape[0] + 1, np.int32)
    np.cumsum(left, out=starts[1:])
    return Edit(keep, (starts, indices[new]))


def _csr(
    rows: np.ndarray, cols: np.ndarray, n_rows: int
) -> tuple[np.ndarray, np.ndarray]:
    """Canonical CSR of positions in any order."""
    order = np.lexsort((cols, rows))
    indptr = np.zeros(n_rows + 1, np.int32)
    np.cumsum(np.bincount(rows, minlength=n_rows), out=indptr[1:])
    return indptr, cols[order]
