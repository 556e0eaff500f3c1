"""Magnitudes of a weight whose connections die by and by, and what flows through."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple, final

import numpy as np

from sparsenn import _core
from sparsenn.random import Stream
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
    adds : bool
        Whether to add the positive scores below the range up.

    Attributes
    ----------
    live : int
        Connections that were looked at.
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
    below : ndarray of float64, shape (n_rows,)
        Sums in each row of the positive scores below the range.
    negative : bool
        Whether there were scores below 0; then there are none above.
    n_cols : int
        Of the weight.
    """

    low: float
    high: float
    capacity: int
    adds: bool = False
    live: int = 0
    above: int = 0
    found: int = 0
    zero: int = 0
    negative: bool = False
    n_cols: int = 0
    scores: np.ndarray = field(init=False, repr=False)
    ranks: np.ndarray = field(init=False, repr=False)
    zeros: np.ndarray = field(init=False, repr=False)
    below: np.ndarray = field(init=False, repr=False)

    @property
    def positive(self) -> int:
        """Scores above 0."""
        return 0 if self.negative else self.live - self.zero


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
            self._mask = (
                _full_mask(weight.shape) if weight.mask is None else weight.mask.copy()
            )
            self._virtual = weight.masked(self._mask)
            self.live = int(np.bitwise_count(self._mask).sum(dtype=np.int64))
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
            if search.adds:
                search.below = np.empty(self.shape[0])
            below = search.below if search.adds else None
            looked = search.low, search.high, *found, below
            search.negative = g is not None and bool((g < 0).any())
            search.n_cols = self.shape[1]
        if self._virtual is not None:
            counts = _core.flow(self._virtual, death, x, g, y, z, looked)
        else:
            lists = self._start, self._live, self._columns, self._values
            n_cols = self.shape[1]
            counts = _core.flow_listed(n_cols, *lists, death, x, g, y, z, looked)
        self.live = counts[0]
        if search is not None:
            search.live, search.above, search.zero, search.found = counts
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

    def sample(self, n: int, stream: Stream) -> tuple[np.ndarray, np.ndarray, float]:
        """Some connections, drawn with replacement.

        Parameters
        ----------
        n : int
            How many; of a virtual weight that many positions are drawn, and those that
            live taken.
        stream : Stream

        Returns
        -------
        ranks : ndarray of int64
            ``row * n_cols + column``.
        magnitudes : ndarray of float64
        unit : float
            How many connections each of them stands for.
        """
        total = self.size if self._virtual is not None else self.live
        if not total or not n:
            return np.zeros(0, np.int64), np.zeros(0), 1.0
        drawn = np.sort((stream.uniform(n, np.float64) * total).astype(np.int64))
        if self._virtual is None:
            values = np.abs(self._compact(self._values)[drawn].astype(np.float64))
            indptr, columns = self.csr()
            rows = np.searchsorted(indptr, drawn, side="right") - 1
            return rows * self.shape[1] + columns[drawn], values, total / n
        rows, columns = np.divmod(drawn, self.shape[1])
        bits = self._mask[rows, columns >> 6] >> (columns & 63).astype(np.uint64)
        ranks = drawn[(bits & np.uint64(1)).astype(bool)]
        return ranks, self.magnitudes(ranks), total / n

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
