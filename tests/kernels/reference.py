"""Dense float64 references, and layouts built without the code under test."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sparsenn import _core

REALS = (np.float32, np.float64)


def feature_major(a: np.ndarray, ld: int | None = None) -> np.ndarray:
    """Copy of `a` (batch, n) with `ld` elements between features, NaN in the gaps."""
    batch, n = a.shape
    memory = np.full((n, ld or max(batch, 1)), np.nan, a.dtype)
    memory[:, :batch] = a.T
    return memory.T[:batch]


@dataclass
class Case:
    """A pattern in storage order with its rows and columns."""

    layout: _core.Layout
    rows: np.ndarray
    cols: np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        return self.layout.shape

    @property
    def nnz(self) -> int:
        return len(self.rows)

    def dense(self, values: np.ndarray) -> np.ndarray:
        out = np.zeros(self.shape)
        out[self.rows, self.cols] = values
        return out


def case(mask: np.ndarray, block_width: int, index_bytes: int) -> Case:
    """The layout of a boolean mask, slots by (column block, row, column)."""
    n_rows, n_cols = mask.shape
    rows, cols = np.nonzero(mask)
    order = np.lexsort((cols, rows, cols // block_width))
    rows, cols = rows[order], cols[order]
    n_blocks = -(-n_cols // block_width)
    segment = (cols // block_width) * n_rows + rows
    counts = np.bincount(segment, minlength=n_blocks * n_rows)
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    dtype = {1: np.uint8, 2: np.uint16, 4: np.int32}[index_bytes]
    local = (cols % block_width).astype(dtype)
    layout = _core.Layout((n_rows, n_cols), block_width, indptr, local)
    return Case(layout, rows.astype(np.int64), cols.astype(np.int64))


def close(actual: np.ndarray, exact: np.ndarray, bound: np.ndarray) -> None:
    """Asserts |actual - exact| <= c eps bound, bound = terms * sum |terms|."""
    eps = np.finfo(actual.dtype).eps
    tolerance = 2 * eps * bound + np.finfo(actual.dtype).tiny
    error = np.abs(actual.astype(np.float64) - exact)
    worst = np.argmax(error - tolerance) if error.size else 0
    assert np.all(error <= tolerance), (
        f"element {np.unravel_index(worst, error.shape)}: {actual.flat[worst]} is not "
        f"{exact.flat[worst]} within {tolerance.flat[worst]}"
    )
