"""Magnitudes of a weight whose connections die by and by, and what flows through."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple, final

import numpy as np

from sparsenn import _core
from sparsenn.sparse.pattern import SparsePattern
from sparsenn.sparse.virtual import VirtualWeight

__all__ = ["Death", "LivingWeight", "Search"]

# A list takes 64 bits a connection, so from this density down less than the mask.
_LIST_BELOW = 1 / 64


class Death(NamedTuple):
    """Who dies: all but those of scores above a threshold, and of equal ones the first.

    Attributes
    ----------
    g, x : ndarray of float64, shape (n_rows,) and (n_cols,); x may be None, all ones
        The score of connection (i, j) is ``(g[i] * |w|) * x[j]``.
    threshold : float
    last_rank : int
        Those with a score of exactly the threshold stay if ``i * n_cols + j`` is at
        most this; -1: none of them.
    """

    g: np.ndarray
    x: np.ndarray | None
    threshold: float
    last_rank: int


@final
@dataclass
class Search:
    """Looks for the scores of a range, and counts the others.

    Parameters
    ----------
    low, high : float
        The range, included. Zeros are never in it.
    capacity : int
        Scores that there is room for.

    Attributes
    ----------
    above : int
        Scores above the range.
    found : int
        Scores in it; if it exceeds the capacity, the others are lost.
    scores, ranks : ndarray of float64 and int64
        Those in it, in no order, with ``row * n_cols + column``.
    zero : int
        Scores of 0.
    zeros : ndarray of int32, shape (n_rows,)
        In each row.
    """

    low: float
    high: float
    capacity: int
    above: int = 0
    found: int = 0
    zero: int = 0
    scores: np.ndarray = field(init=False, repr=False)
    ranks: np.ndarray = field(init=False, repr=False)
    zeros: np.ndarray = field(init=False, repr=False)


@final
class LivingWeight:
    """Magnitudes of a matrix, and which of its connections live: all, to begin with.

    A virtual weight has a bit for each position, and its values are drawn again in
    every pass; when less than one position in 64 lives, columns and values are listed,
    which is then smaller. A stored weight is listed from the start.

    Parameters
    ----------
    weight : VirtualWeight, or tuple of SparsePattern and ndarray, shape (nnz,)
        The values are in storage order. Nothing of either is written to.

    Attributes
    ----------
    live : int
        Connections.
    """

    def __init__(
        self, weight: VirtualWeight | tuple[SparsePattern, np.ndarray]
    ) -> None:
        self._virtual: VirtualWeight | None = None
        self._mask = np.zeros((0, 0), np.uint64)  # of the virtual weight
        if isinstance(weight, VirtualWeight):
            self.shape, self.dtype = weight.shape, weight.dtype
            mask = (
                _full_mask(weight.shape) if weight.mask is None else weight.mask.copy()
            )
            self._virtual = weight.masked(mask)
            self.live = int(np.bitwise_count(mask).sum(dtype=np.int64))
            self._thin()
            return
        pattern, values = weight
        self.shape, self.dtype = pattern.shape, values.dtype
        indptr, columns = pattern.csr()
        self._list(indptr, columns.copy(), pattern.to_canonical(values).copy())

    @property
    def size(self) -> int:
        """Positions of the matrix."""
        return self.shape[0] * self.shape[1]

    @property
    def nbytes(self) -> int:
        """Bytes of the mask or the lists."""
        if self._virtual is not None:
            return self._virtual.nbytes
        arrays = self._start, self._live, self._columns, self._values
        return sum(array.nbytes for array in arrays)

    def flow(
        self,
        *,
        death: Death | None = None,
        x: np.ndarray | None = None,
        g: np.ndarray | None = None,
        y: np.ndarray | None = None,
        z: np.ndarray | None = None,
        search: Search | None = None,
    ) -> None:
        """One pass over the connections: some die; sums and a search of the living.

        Parameters
        ----------
        death : Death, optional
        x, g : ndarray of float64, shape (n_cols,) and (n_rows,), optional
            No x is all ones.
        y : ndarray of float64, shape (n_rows,), optional
            Written: ``|W| x``.
        z : ndarray of float64, shape (n_cols,), optional
            Written: ``|W|^T g``.
        search : Search, optional
            Of the scores ``(g[i] * |w|) * x[j]``.

        Notes
        -----
        The same bits for any number of threads and on every instruction set.
        """
        looked = None
        if search is not None:
            search.scores = np.empty(search.capacity)
            search.ranks = np.empty(search.capacity, np.int64)
            search.zeros = np.empty(self.shape[0], np.int32)
            found = search.scores, search.ranks, search.zeros
            looked = search.low, search.high, *found
        if self._virtual is not None:
            counts = _core.flow(self._virtual, death, x, g, y, z, looked)
        else:
            lists = self._start, self._live, self._columns, self._values
            n_cols = self.shape[1]
            counts = _core.flow_listed(n_cols, *lists, death, x, g, y, z, looked)
        self.live = counts[0]
        if search is not None:
            search.above, search.zero, search.found = counts[1:]
            room = min(search.found, search.capacity)
            search.scores, search.ranks = search.scores[:room], search.ranks[:room]
        self._thin()

    def row(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        """Columns (int32, ascending) and magnitudes (float64) of one row."""
        if self._virtual is None:
            part = slice(self._start[i], self._start[i] + self._live[i])
            return self._columns[part], np.abs(self._values[part].astype(np.float64))
        words = self._mask[i : i + 1]
        columns = _core.mask_columns(words, int(np.bitwise_count(words).sum()))
        return columns, self.magnitudes(i * self.shape[1] + columns.astype(np.int64))

    def sample(self, ranks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Which of some positions live, and the magnitudes (float64) of those.

        Parameters
        ----------
        ranks : ndarray of int64
            ``row * n_cols + column``.

        Returns
        -------
        ndarray of bool, and ndarray of float64
        """
        if self._virtual is not None:
            rows, columns = np.divmod(ranks, self.shape[1])
            words = self._mask[rows, columns >> 6]
            bits = words >> (columns & 63).astype(np.uint64)
            alive = (bits & np.uint64(1)).astype(bool)
            return alive, self.magnitudes(ranks[alive])
        indptr, columns = self.csr()
        rows = np.repeat(np.arange(self.shape[0]), np.diff(indptr))
        every = rows * self.shape[1] + columns
        places = np.searchsorted(every, ranks)
        places[places == len(every)] = 0
        alive = every[places] == ranks if len(every) else np.zeros(len(ranks), bool)
        return alive, np.abs(self._compact(self._values)[places[alive]].astype(float))

    def magnitudes(self, ranks: np.ndarray) -> np.ndarray:
        """|w| of some positions of a virtual weight, float64."""
        assert self._virtual is not None
        return np.abs(self._virtual.at_ranks(ranks).astype(np.float64))

    def csr(self) -> tuple[np.ndarray, np.ndarray]:
        """The living as canonical CSR: indptr, int32 if that will do, and indices."""
        if self._virtual is not None:
            return self._positions()
        indptr = np.zeros(len(self._live) + 1, np.int32)
        np.cumsum(self._live, out=indptr[1:])
        return indptr, self._compact(self._columns)

    def _compact(self, array: np.ndarray) -> np.ndarray:
        """What the living have of an array of the lists."""
        if self.live == len(array):
            return array.copy()
        ends = self._start[:-1] + self._live
        inside = np.zeros(len(array) + 1, np.int8)
        np.add.at(inside, self._start[:-1], 1)
        np.add.at(inside, ends, -1)
        return array[np.cumsum(inside[:-1], dtype=np.int8).astype(bool)]

    def _positions(self) -> tuple[np.ndarray, np.ndarray]:
        mask = self._mask
        counts = np.bitwise_count(mask).sum(axis=1, dtype=np.int64)
        indptr = np.zeros(len(counts) + 1, np.int64)
        np.cumsum(counts, out=indptr[1:])
        if indptr[-1] < 2**31:
            indptr = indptr.astype(np.int32)
        return indptr, _core.mask_columns(mask, int(indptr[-1]))

    def _thin(self) -> None:
        """Goes over to lists when they are smaller."""
        if self._virtual is not None and self.live < _LIST_BELOW * self.size:
            indptr, columns = self._positions()
            values = self._virtual.at(indptr, columns)
            self._virtual, self._mask = None, np.zeros((0, 0), np.uint64)
            self._list(indptr, columns, values)

    def _list(
        self, indptr: np.ndarray, columns: np.ndarray, values: np.ndarray
    ) -> None:
        self._start = indptr.astype(np.int64)
        self._live = np.diff(indptr).astype(np.int32)
        self._columns, self._values = columns, values
        self.live = len(columns)


def _full_mask(shape: tuple[int, int]) -> np.ndarray:
    """Bits of all positions."""
    n_rows, n_cols = shape
    mask = np.full((n_rows, -(-n_cols // 64)), 2**64 - 1, np.uint64)
    if n_cols % 64:
        mask[:, -1] = np.uint64((1 << n_cols % 64) - 1)
    return mask
