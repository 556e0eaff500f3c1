"""The gradient of a weight on a sparse batch: the columns that occur, and no others."""

from __future__ import annotations

from typing import final

import numpy as np

from sparsenn import _core
from sparsenn.sparse.pattern import SparsePattern


@final
class SparseGradient:
    """Gradient of values that are stored by column, zero outside some columns.

    The connections of a column lie together, so that (slots, values) needs no slots:
    two numbers a column say where they are.

    Parameters
    ----------
    pattern : SparsePattern
        Of the weight, stored by column.
    columns : ndarray of int32, shape (n_columns,)
        The columns that have a gradient, ascending.
    start : ndarray of int32, shape (n_columns + 1,)
        That of ``columns[u]`` is ``values[start[u] : start[u + 1]]``.
    values : ndarray, shape (start[-1],)
        float32 or float64; may be written to.

    Attributes
    ----------
    pattern, columns, start, values
        As given.
    """

    __slots__ = ("columns", "pattern", "start", "values")

    def __init__(
        self,
        pattern: SparsePattern,
        columns: np.ndarray,
        start: np.ndarray,
        values: np.ndarray,
    ) -> None:
        self.pattern = pattern
        self.columns = columns
        self.start = start
        self.values = values

    @property
    def shape(self) -> tuple[int]:
        """(nnz,), that of the weight's values."""
        return (self.pattern.nnz,)

    @property
    def dtype(self) -> np.dtype:
        """float32 or float64."""
        return self.values.dtype

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays."""
        return self.columns.nbytes + self.start.nbytes + self.values.nbytes

    @property
    def slots(self) -> np.ndarray:
        """Slot of each value, int32, ascending; made anew."""
        start = self._indptr()[self.columns] - self.start[:-1]
        slots = np.repeat(start, np.diff(self.start))
        slots += np.arange(slots.size, dtype=np.int32)
        return slots

    @property
    def data(self) -> np.ndarray:
        """A dense copy, read-only: what is written to `values` counts."""
        dense = self.to_dense()
        dense.flags.writeable = False
        return dense

    def to_dense(self) -> np.ndarray:
        """The gradient of every connection, shape (nnz,), storage order."""
        return _core.spread_columns(
            self.pattern.column_index(), self.columns, self.values
        )

    def add_to(self, dense: np.ndarray) -> None:
        """Adds it to an array of all connections, storage order."""
        _core.spread_columns(
            self.pattern.column_index(), self.columns, self.values, dense
        )

    def plus(self, other: SparseGradient) -> SparseGradient:
        """The sum of both, zero outside the columns of either."""
        if other.pattern is not self.pattern or other.dtype != self.dtype:
            raise ValueError(
                f"gradients of {self.pattern!r}, {self.dtype}, and of "
                f"{other.pattern!r}, {other.dtype}, cannot be added"
            )
        columns = np.union1d(self.columns, other.columns)
        start = _core.column_starts(self.pattern.column_index(), columns)
        values = np.zeros(start[-1], self.dtype)
        for part in (self, other):
            place = start[np.searchsorted(columns, part.columns)] - part.start[:-1]
            at = np.repeat(place, np.diff(part.start))
            at += np.arange(at.size, dtype=np.int32)
            values[at] += part.values
        return SparseGradient(self.pattern, columns, start, values)

    def _indptr(self) -> np.ndarray:
        layout = self.pattern.layout
        assert layout is not None and self.pattern.by_column
        return layout.indptr

    def __repr__(self) -> str:
        """Columns, connections and dtype."""
        return (
            f"SparseGradient({len(self.columns)} of {self.pattern.shape[1]} columns, "
            f"{len(self.values)} of {self.pattern.nnz} connections, {self.dtype})"
        )
