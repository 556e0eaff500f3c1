"""The k largest of scores that come in rows, a few more than k of them kept."""

from __future__ import annotations

from typing import final

import numpy as np

from sparsenn import _core

# Candidates are thinned out when they are this many times k, and more than _FEW.
_MOST = 2
_FEW = 1 << 20


@final
class Largest:
    """Collects scores above a threshold, row by row, and keeps the k largest.

    Of equal scores the one that came first wins, hence the lower (row, column).

    Parameters
    ----------
    k : int
        At least 1.
    dtype : float32 or float64
    threshold : float
        Only larger scores are worth adding; rises where many candidates come.
    """

    def __init__(self, k: int, dtype: np.dtype, threshold: float) -> None:
        self.k = k
        self.threshold = threshold
        self._counts = [np.empty(0, np.int32)]
        self._columns = [np.empty(0, np.int32)]
        self._scores = [np.empty(0, dtype)]
        self._size = 0

    def __len__(self) -> int:
        """Candidates so far."""
        return self._size

    def add(self, counts: np.ndarray, columns: np.ndarray, scores: np.ndarray) -> None:
        """Take the candidates of the next rows.

        Parameters
        ----------
        counts : ndarray of int32
            Candidates of each row.
        columns, scores : ndarray
            Row after row, by column within a row; scores are copied.
        """
        self._counts.append(counts)
        self._columns.append(columns)
        self._scores.append(scores.copy())
        self._size += len(columns)
        if self._size > max(_MOST * self.k, _FEW):
            self._thin()

    def result(self) -> tuple[np.ndarray, np.ndarray]:
        """Columns of the k largest as CSR (indptr, indices), int32."""
        self._thin()
        (counts,), (columns,) = self._counts, self._columns
        return _indptr(counts), columns

    def _thin(self) -> None:
        """Keep k candidates; later ones come behind them and must score more."""
        counts = np.concatenate(self._counts)
        columns = np.concatenate(self._columns)
        scores = np.concatenate(self._scores)
        if self._size > self.k:
            chosen = _core.select(scores, self.k)
            kept_before = np.concatenate(([0], np.cumsum(chosen, dtype=np.int32)))
            counts = np.diff(kept_before[_indptr(counts)]).astype(np.int32)
            columns, scores = columns[chosen], scores[chosen]
            self._size = self.k
            self.threshold = float(scores.min())
        self._counts, self._columns, self._scores = [counts], [columns], [scores]


def _indptr(counts: np.ndarray) -> np.ndarray:
    indptr = np.zeros(len(counts) + 1, np.int32)
    np.cumsum(counts, out=indptr[1:])
    return indptr
