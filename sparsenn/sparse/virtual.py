"""Weights at every position of a matrix, drawn again whenever they are needed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol, final

import numpy as np

from sparsenn import _core
from sparsenn.random import Stream
from sparsenn.sparse.pattern import SparsePattern, as_shape

__all__ = ["VirtualWeight", "blocks", "tiling"]

# Of a tile that is drawn, used and forgotten; half of a second-level cache per thread.
_TILE_BYTES = 4 << 20
# Columns of a tile, so that a batch's activations stay in the cache beside it.
_TILE_COLUMNS = 1024
_AT_ONCE = 1 << 18


class Lawful(Protocol):
    """An initialiser that can say what a weight with every position is drawn from."""

    def law(self, shape: tuple[int, int]) -> tuple[str, float]:
        """The law, "normal", "uniform" or "constant", and the scale of its draws."""


@final
class VirtualWeight:
    """The initial values of a full (n_rows, n_cols) matrix, none of them stored.

    Value (i, j) is element ``i * n_cols + j`` of the stream, scaled as the initialiser
    scales those of a full matrix: bit for bit what it gives for
    ``SparsePattern.full(shape)``, for matrices of any size.

    Parameters
    ----------
    shape : tuple of int
        (n_rows, n_cols), each below 2**31.
    initializer : Initializer
        One with a ``law``, as those of :mod:`sparsenn.nn.init`.
    stream : Stream
    dtype : float32 or float64
    by_column : bool
        How the positions that are kept in the end are to be stored, see
        :meth:`SparsePattern.stored_by_column`.
    mask : ndarray of uint64, shape (n_rows, ceil(n_cols / 64)), or None
        Bit ``j % 64`` of word ``j // 64`` of a row says whether position j is there;
        values elsewhere are 0. None: all are.
    absolute : bool
        Magnitudes in place of values.

    Raises
    ------
    TypeError
        If the initialiser has no law, or the dtype is another one.

    Notes
    -----
    A float32 value takes about 1.5 nanoseconds of a core with AVX2 if it is uniform, 8
    if it is normal.
    """

    __slots__ = (
        "absolute",
        "by_column",
        "dtype",
        "initializer",
        "law",
        "mask",
        "scale",
        "shape",
        "stream",
    )

    def __init__(
        self,
        shape: tuple[int, int],
        initializer: Any,
        stream: Stream,
        dtype: Any = np.float32,
        *,
        by_column: bool = False,
        mask: np.ndarray | None = None,
        absolute: bool = False,
    ) -> None:
        self.shape = as_shape(shape)
        self.dtype = np.dtype(dtype)
        if self.dtype not in (np.float32, np.float64):
            raise TypeError(f"dtype is {self.dtype}, it must be float32 or float64")
        law = getattr(initializer, "law", None)
        if law is None:
            raise TypeError(
                f"initialiser {initializer!r} has no law(shape), by which a virtual "
                "weight is drawn; use one of sparsenn.nn.init"
            )
        self.initializer = initializer
        self.law, self.scale = law(self.shape)
        self.stream = stream
        self.by_column = by_column
        self.absolute = absolute
        self.mask = mask
        words = self.shape[0], -(-self.shape[1] // 64)
        if mask is not None and (mask.dtype != np.uint64 or mask.shape != words):
            raise ValueError(
                f"mask must be uint64 of shape {words}, got {mask.dtype} of shape "
                f"{mask.shape}"
            )

    @property
    def size(self) -> int:
        """Positions of the matrix."""
        return self.shape[0] * self.shape[1]

    @property
    def nbytes(self) -> int:
        """Bytes that are stored: those of the mask."""
        return 0 if self.mask is None else self.mask.nbytes

    def magnitudes(self) -> VirtualWeight:
        """The same weight with magnitudes in place of values; shares the mask."""
        return self._with(self.mask, True)

    def masked(self, mask: np.ndarray | None) -> VirtualWeight:
        """The same weight where the bits of a mask are set; the mask is not copied."""
        return self._with(mask, self.absolute)

    def _with(self, mask: np.ndarray | None, absolute: bool) -> VirtualWeight:
        return VirtualWeight(
            self.shape,
            self.initializer,
            self.stream,
            self.dtype,
            by_column=self.by_column,
            mask=mask,
            absolute=absolute,
        )

    def rows(self, first: int, count: int) -> np.ndarray:
        """Some rows, shape (count, n_cols), C order."""
        if not 0 <= first <= first + count <= self.shape[0]:
            raise ValueError(
                f"rows {first}..{first + count - 1} do not all lie in "
                f"0..{self.shape[0] - 1}"
            )
        out = np.empty((count, self.shape[1]), self.dtype)
        return self.tile(slice(first, first + count), slice(0, self.shape[1]), out)

    def tile(self, rows: slice, columns: slice, out: np.ndarray) -> np.ndarray:
        """Draws some rows and columns into an array.

        Parameters
        ----------
        rows, columns : slice
            Inside the matrix, with steps of 1.
        out : ndarray
            Of their shape and the weight's dtype, rows contiguous.

        Returns
        -------
        ndarray
            out.
        """
        n_cols = self.shape[1]
        first = rows.start * n_cols + columns.start
        _core.random_tile(
            self.stream, self.law, self.scale, first, n_cols, out, self.absolute
        )
        if self.mask is not None:
            words = self.mask[rows, columns.start // 64 : -(-columns.stop // 64)]
            octets = np.ascontiguousarray(words).astype("<u8", copy=False)
            bits = np.unpackbits(octets.view(np.uint8), axis=1, bitorder="little")
            skipped = columns.start % 64
            out *= bits[:, skipped : skipped + out.shape[1]]
        return out

    def at(self, indptr: np.ndarray, indices: np.ndarray) -> np.ndarray:
        """Values of some positions, those of the mask's zeros among them.

        Parameters
        ----------
        indptr : ndarray of int, shape (n_rows + 1,)
        indices : ndarray of int, shape (nnz,)
            The positions as CSR.

        Returns
        -------
        ndarray, shape (nnz,)
        """
        indptr = np.asarray(indptr, np.int64)
        out = np.empty(len(indices), self.dtype)
        for begin in range(0, len(indices), _AT_ONCE):
            part = slice(begin, min(begin + _AT_ONCE, len(indices)))
            slots = np.arange(part.start, part.stop)
            rows = np.searchsorted(indptr, slots, side="right") - 1
            out[part] = self.at_ranks(rows * self.shape[1] + indices[part])
        return out

    def at_ranks(self, ranks: np.ndarray) -> np.ndarray:
        """Values of the positions with the given ranks, ``row * n_cols + column``."""
        return _core.random_scaled(
            self.stream,
            self.law,
            self.scale,
            elements=np.ascontiguousarray(ranks, np.int64),
            dtype=self.dtype,
            absolute=self.absolute,
        )

    def pattern(self, indptr: np.ndarray, indices: np.ndarray) -> SparsePattern:
        """The pattern of some positions, stored as they are to be."""
        pattern = SparsePattern(self.shape, indptr, indices)
        return pattern.stored_by_column() if self.by_column else pattern

    def __repr__(self) -> str:
        """Shape, law and dtype."""
        return (
            f"VirtualWeight(shape={self.shape}, {self.initializer!r}, {self.dtype}"
            f"{', masked' if self.mask is not None else ''})"
        )


def tiling(shape: tuple[int, int], itemsize: int) -> Iterator[tuple[slice, slice]]:
    """Rows and columns of tiles of at most 4 MB that cover a matrix.

    Row block by row block. Tiles are about square, so that what they meet of a batch's
    activations on either side stays in the cache; they begin at multiples of 64 columns
    and depend on the shape and the bytes of an item alone.
    """
    n_rows, n_cols = shape
    if n_rows * n_cols == 0:
        return
    most = _TILE_BYTES // itemsize
    width = min(n_cols, max(_TILE_COLUMNS, most // n_rows // 64 * 64))
    height = min(n_rows, max(most // width, 1))
    for top in range(0, n_rows, height):
        rows = slice(top, min(top + height, n_rows))
        for left in range(0, n_cols, width):
            yield rows, slice(left, min(left + width, n_cols))


def blocks(weight: VirtualWeight) -> Iterator[tuple[slice, slice, np.ndarray]]:
    """A weight in the tiles of `tiling`: rows, columns, and their values.

    The array is drawn over when the next tile is asked for.
    """
    memory = np.empty(0, weight.dtype)
    for rows, columns in tiling(weight.shape, weight.dtype.itemsize):
        shape = rows.stop - rows.start, columns.stop - columns.start
        size = shape[0] * shape[1]
        if size > memory.size:  # the first tile is the largest
            memory = np.empty(size, weight.dtype)
        out = memory[:size].reshape(shape)
        yield rows, columns, weight.tile(rows, columns, out)
