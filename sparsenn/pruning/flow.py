"""The flow of SynFlow: what enters and leaves every neuron of a chain of ``|W|``.

Sums run over a neuron's connections one after the other in float64, whether these are
stored or drawn again, so that both give the same scores to the last bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import final

import numpy as np

from sparsenn.pruning.bits import count, pack, unpack
from sparsenn.sparse import SparseParameter, VirtualWeight

# Positions of a virtual weight that are drawn at a time.
_AT_ONCE = 1 << 18


@final
class StoredFlow:
    """The connections of one weight that are still there, in canonical order.

    Parameters
    ----------
    shape : tuple of int
        (n_out, n_in).
    rows, cols : ndarray of int32, shape (n,)
    magnitudes : ndarray of float64, shape (n,)
    places : ndarray of int64, shape (n,)
        Numbers by which the caller knows them: canonical indices, or ranks.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        rows: np.ndarray,
        cols: np.ndarray,
        magnitudes: np.ndarray,
        places: np.ndarray,
    ) -> None:
        self.shape = shape
        self.rows, self.cols = rows, cols
        self.magnitudes = magnitudes
        self.places = places

    @classmethod
    def of(cls, param: SparseParameter) -> StoredFlow:
        """All connections of a parameter; places are canonical indices."""
        pattern = param.pattern
        indptr, cols = pattern.csr()
        rows = np.repeat(np.arange(pattern.shape[0], dtype=np.int32), np.diff(indptr))
        values = pattern.to_canonical(param.values.data)
        magnitudes = np.abs(values).astype(np.float64)
        return cls(pattern.shape, rows, cols, magnitudes, np.arange(pattern.nnz))

    def __len__(self) -> int:
        """Connections that are still there."""
        return len(self.rows)

    def forward(self, x: np.ndarray) -> np.ndarray:
        """``|W| x``, shape (n_out,)."""
        terms = self.magnitudes * x[self.cols]
        return np.bincount(self.rows, terms, self.shape[0])

    def backward(self, g: np.ndarray) -> np.ndarray:
        """``|W|^T g``, shape (n_in,)."""
        terms = self.magnitudes * g[self.rows]
        return np.bincount(self.cols, terms, self.shape[1])

    def scores(self, g: np.ndarray, x: np.ndarray) -> np.ndarray:
        """``g_i |w_ij| x_j`` of every connection, shape (n,)."""
        return self.magnitudes * g[self.rows] * x[self.cols]

    def keep(self, chosen: np.ndarray) -> None:
        """Forgets the connections that are not marked."""
        self.rows, self.cols = self.rows[chosen], self.cols[chosen]
        self.magnitudes = self.magnitudes[chosen]
        self.places = self.places[chosen]


@final
class VirtualFlow:
    """A virtual weight with one bit for every position that is still there.

    Parameters
    ----------
    weight : VirtualWeight
        Without a mask, or with one that is then changed in place.
    """

    def __init__(self, weight: VirtualWeight) -> None:
        n_rows, n_cols = self.shape = weight.shape
        mask = weight.mask
        if mask is None:
            mask = np.tile(pack(np.ones((1, n_cols), bool)), (n_rows, 1))
        self.weight = weight.masked(mask).magnitudes()
        self._size = n_rows * n_cols if weight.mask is None else count(mask)

    def __len__(self) -> int:
        """Positions that are still there."""
        return self._size

    @property
    def mask(self) -> np.ndarray:
        """Bit ``j % 64`` of word ``j // 64`` of row i: whether (i, j) is there."""
        mask = self.weight.mask
        assert mask is not None
        return mask

    def _blocks(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Some rows at a time: which, and their magnitudes in float64."""
        n_rows, n_cols = self.shape
        height = max(_AT_ONCE // max(n_cols, 1), 1)
        for first in range(0, n_rows, height):
            count = min(height, n_rows - first)
            tile = self.weight.rows(first, count)
            yield slice(first, first + count), tile.astype(np.float64)

    def forward(self, x: np.ndarray) -> np.ndarray:
        """``|W| x``, shape (n_out,)."""
        out = np.zeros(self.shape[0])
        if self.shape[1]:
            for rows, tile in self._blocks():
                tile *= x
                out[rows] = np.cumsum(tile, axis=1, out=tile)[:, -1]  # one by one
        return out

    def backward(self, g: np.ndarray) -> np.ndarray:
        """``|W|^T g``, shape (n_in,)."""
        out = np.zeros(self.shape[1])
        for rows, tile in self._blocks():
            tile *= g[rows, None]
            tile[0] += out
            out = np.cumsum(tile, axis=0, out=tile)[-1].copy()
        return out

    def blocks(
        self, g: np.ndarray, x: np.ndarray
    ) -> Iterator[tuple[slice, np.ndarray]]:
        """Some rows at a time: which, and ``g_i |w_ij| x_j``, -1 where nothing is."""
        for rows, tile in self._blocks():
            tile *= g[rows, None]
            tile *= x
            tile[~unpack(self.mask[rows], self.shape[1])] = -1.0
            yield rows, tile

    def set_rows(self, rows: slice, alive: np.ndarray) -> None:
        """Says which positions of some rows are there, bool of shape (rows, n_in)."""
        self._size += int(np.count_nonzero(alive)) - count(self.mask[rows])
        self.mask[rows] = pack(alive)

    def stored(self) -> StoredFlow:
        """What is left, written out; places are ranks."""
        rows, cols, values = [], [], []
        n_cols = self.shape[1]
        for block, tile in self._blocks():
            i, j = np.nonzero(unpack(self.mask[block], n_cols))
            rows.append((i + block.start).astype(np.int32))
            cols.append(j.astype(np.int32))
            values.append(tile[i, j])
        none = np.zeros(0, np.int32)
        r, c = np.concatenate([none, *rows]), np.concatenate([none, *cols])
        magnitudes = np.concatenate([np.zeros(0), *values])
        return StoredFlow(self.shape, r, c, magnitudes, r.astype(np.int64) * n_cols + c)
