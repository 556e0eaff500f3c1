"""Layouts, activations and error bounds that the kernels' tests share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from sparsenn import _core

ISAS = _core.available_isas()
REALS = (np.float32, np.float64)
#: At and around the widths of vectors and panels.
BATCHES = (0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 127, 128, 129)


@contextmanager
def running(isa: str | None = None, threads: int | None = None) -> Iterator[None]:
    """Kernels of one instruction set, on so many threads."""
    before = _core.isa()
    _core.set_isa(isa or before)
    _core.set_num_threads(threads)
    try:
        yield
    finally:
        _core.set_isa(before)
        _core.set_num_threads(None)


def feature_major(a: np.ndarray, gap: int = 0) -> np.ndarray:
    """Copy of `a` (batch, n) with `gap` elements between features, NaN there."""
    batch, n = a.shape
    memory = np.full((n, batch + gap), np.nan, a.dtype)
    memory[:, :batch] = a.T
    return memory.T[:batch]


@dataclass(frozen=True)
class Case:
    """A pattern in storage order with its rows and columns."""

    layout: _core.Layout
    rows: np.ndarray
    cols: np.ndarray

    @property
    def nnz(self) -> int:
        return len(self.rows)

    def dense(self, values: np.ndarray) -> np.ndarray:
        """The (n_out, n_in) matrix in float64."""
        out = np.zeros(self.layout.shape)
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
    return Case(layout, rows, cols)


def assert_near(
    actual: np.ndarray, exact: np.ndarray, magnitude: np.ndarray, terms: int
) -> None:
    """Asserts the bound of a sum of `terms` products in any order.

    |actual - exact| <= (terms + 2) eps magnitude, where magnitude is the sum of the
    terms' absolute values (Higham 2002, 3.1).
    """
    assert actual.shape == exact.shape
    bound = (terms + 2) * np.finfo(actual.dtype).eps * magnitude
    bound += np.finfo(actual.dtype).tiny
    error = np.abs(actual.astype(np.float64) - exact)
    bad = ~(error <= bound)
    if bad.any():
        at = tuple(np.argwhere(bad)[0])
        raise AssertionError(
            f"{bad.sum()} of {bad.size} wrong, first at {at}: {actual[at]} is not "
            f"{exact[at]} within {bound[at]}"
        )


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal shape, dtype and bytes."""
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()
