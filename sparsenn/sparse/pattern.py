"""SparsePattern: the positions of a weight matrix where a connection exists."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any, NoReturn, final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sparsenn import _core
from sparsenn.random import Purpose, Stream, as_seed
from sparsenn.sparse.allocation import erdos_renyi_nnz
from sparsenn.sparse.layout import choose_block_width, choose_index_bytes, is_narrow

if TYPE_CHECKING:
    from sparsenn.sparse.change import TopologyChange

__all__ = ["MAX_NNZ", "SparsePattern"]

#: Most positions that a pattern can have.
MAX_NNZ = 2**31 - 1

Index = NDArray[np.int32]
Seed = int | np.random.Generator | None


@final
class SparsePattern:
    """An immutable set of positions of an (n_rows, n_cols) matrix.

    Values live elsewhere, in one-dimensional arrays of length nnz aligned with the
    pattern: slot k belongs to the position ``(rows[k], cols[k])`` of `positions`. That
    *storage order* is the layout's. Files, scipy and comparisons use the *canonical*
    order, by row and then column; `to_canonical` and `from_canonical` convert.

    A full pattern (nnz = n_rows * n_cols) stores nothing, its layout is None, and its
    slots are in row-major order: aligned values reshaped are the dense matrix.

    A weight that meets sparse batches may be stored by column instead
    (`stored_by_column`): its layout is then that of the transpose.

    Patterns are compared by identity: two arrays belong together if they are aligned
    with the same object.

    Parameters
    ----------
    shape : tuple of int
        (n_rows, n_cols), each below 2**31.
    indptr : array_like of int, shape (n_rows + 1,)
        Row i has the entries ``indptr[i] : indptr[i + 1]`` of indices.
    indices : array_like of int, shape (nnz,)
        Columns, strictly increasing within each row; nnz below 2**31.

    Raises
    ------
    ValueError
        If this is not a canonical CSR pattern; says which row or entry.
    TypeError
        If the arrays do not hold integers.

    Notes
    -----
    Only the layout is stored. `csr`, `positions`, `ranks` and the reorderings compute
    their result on every call, in O(nnz), because a cached copy of it would often be
    larger than the layout itself. Keep the result where you need it twice.
    """

    __slots__ = (
        "__weakref__",
        "_batch",
        "_by_column",
        "_index",
        "_layout",
        "_narrow",
        "_nnz",
        "_shape",
    )

    _shape: tuple[int, int]
    _nnz: int
    _layout: _core.Layout | None
    _narrow: _core.Layout | None
    _by_column: bool
    _batch: int | None
    _index: _core.ColumnIndex | None

    def __init__(
        self, shape: tuple[int, int], indptr: ArrayLike, indices: ArrayLike
    ) -> None:
        if hasattr(self, "_shape"):
            raise TypeError("a SparsePattern is immutable, make a new one")
        shape = as_shape(shape)
        self._store(shape, as_int32(indptr, "indptr"), as_int32(indices, "indices"))

    def _store(
        self,
        shape: tuple[int, int],
        indptr: Index,
        indices: Index,
        by_column: bool = False,
        batch: int | None = None,
    ) -> Index | None:
        """Check canonical CSR arrays and keep them as a layout.

        Returns the canonical index of each slot, None if that is the slot itself.
        """
        nnz = len(indices)
        if nnz == shape[0] * shape[1]:
            _core.csr_check(shape, indptr, indices)
            self._set(shape, nnz, None)
            return None
        if by_column and shape[0]:
            start, rows, source = _core.csr_transpose(shape, indptr, indices)
            transposed = shape[1], shape[0]
            layout, _ = _core.csr_to_layout(
                transposed, start, rows, shape[0], choose_index_bytes(shape[0])
            )
            self._set(shape, nnz, layout, True)
            return source
        chosen = choose_block_width(shape, nnz)
        width = chosen if batch is None else choose_block_width(shape, nnz, batch)
        layout, order = _core.csr_to_layout(
            shape, indptr, indices, width, choose_index_bytes(width)
        )
        self._set(shape, nnz, layout, batch=None if width == chosen else batch)
        return None if layout.n_blocks <= 1 else order

    def _set(
        self,
        shape: tuple[int, int],
        nnz: int,
        layout: _core.Layout | None,
        by_column: bool = False,
        batch: int | None = None,
    ) -> None:
        object.__setattr__(self, "_shape", shape)
        object.__setattr__(self, "_nnz", nnz)
        object.__setattr__(self, "_layout", layout)
        object.__setattr__(self, "_narrow", None)
        object.__setattr__(self, "_by_column", by_column)
        object.__setattr__(self, "_batch", batch)
        object.__setattr__(self, "_index", None)

    # ------------------------------------------------------------ constructors

    @classmethod
    def from_scipy(cls, matrix: Any) -> SparsePattern:
        """Pattern of a scipy sparse matrix or array of any format.

        Columns are sorted, duplicates are merged, and stored zeros stay positions.

        Parameters
        ----------
        matrix : scipy.sparse array or matrix, shape (n_rows, n_cols)

        Raises
        ------
        ValueError
            If an index is out of range or there are too many positions.
        """
        from sparsenn.sparse.interop import pattern_and_values

        return pattern_and_values(matrix)[0]

    @classmethod
    def from_mask(cls, mask: ArrayLike) -> SparsePattern:
        """Pattern of the nonzeros of a dense matrix (bool or numeric), in O(size)."""
        dense = np.asarray(mask)
        if dense.ndim != 2:
            raise ValueError(f"mask has shape {dense.shape}, it must have two axes")
        if dense.dtype.kind not in "biufc":
            raise TypeError(f"mask has dtype {dense.dtype}, it must be bool or numeric")
        shape = as_shape(dense.shape)
        marked = dense if dense.dtype == np.bool_ else dense != 0
        indptr = np.zeros(shape[0] + 1, np.int64)
        np.cumsum(np.count_nonzero(marked, axis=1), out=indptr[1:])
        _check_nnz(int(indptr[-1]))
        indices = np.nonzero(marked)[1]
        return cls(shape, indptr, indices)

    @classmethod
    def full(cls, shape: tuple[int, int]) -> SparsePattern:
        """Pattern of all positions; stores nothing."""
        shape = as_shape(shape)
        _check_nnz(shape[0] * shape[1])
        pattern = cls.__new__(cls)
        pattern._set(shape, shape[0] * shape[1], None)
        return pattern

    @classmethod
    def empty(cls, shape: tuple[int, int]) -> SparsePattern:
        """Pattern of no position."""
        shape = as_shape(shape)
        return cls(shape, np.zeros(shape[0] + 1, np.int32), np.zeros(0, np.int32))

    @classmethod
    def random(
        cls,
        shape: tuple[int, int],
        nnz: int,
        *,
        seed: Seed = None,
        stream: Stream | None = None,
    ) -> SparsePattern:
        """Pattern of exactly nnz positions, uniform over all such patterns.

        Parameters
        ----------
        shape : tuple of int
        nnz : int
            0 <= nnz <= n_rows * n_cols.
        seed : int or numpy.random.Generator
            Used when there is no stream; by default a fresh one of the system's.
        stream : Stream
            Where to draw from, for callers that number their layers and steps.
        """
        shape = as_shape(shape)
        n_positions = shape[0] * shape[1]
        nnz = operator.index(nnz)
        if not 0 <= nnz <= n_positions:
            raise ValueError(
                f"nnz is {nnz}, a {shape[0]} x {shape[1]} pattern has 0..{n_positions}"
            )
        _check_nnz(nnz)
        if nnz == n_positions:
            return cls.full(shape)
        if stream is None:
            stream = Stream(as_seed(seed), Purpose.PATTERN)
        none = np.zeros(shape[0] + 1, np.int32), np.zeros(0, np.int32)
        return cls(shape, *_core.complement_sample(shape, *none, nnz, stream))

    @classmethod
    def erdos_renyi(
        cls,
        shape: tuple[int, int],
        epsilon: float,
        *,
        seed: Seed = None,
        stream: Stream | None = None,
    ) -> SparsePattern:
        """Random pattern of epsilon * (n_rows + n_cols) positions, at most all.

        The Erdos-Renyi start of SET (Mocanu et al. 2018), with the expected number of
        connections made the exact one. Parameters as in `random`.
        """
        nnz = erdos_renyi_nnz(as_shape(shape), epsilon)
        return cls.random(shape, nnz, seed=seed, stream=stream)

    # ------------------------------------------------------------ what it is

    @property
    def shape(self) -> tuple[int, int]:
        """(n_rows, n_cols)."""
        return self._shape

    @property
    def nnz(self) -> int:
        """Number of positions."""
        return self._nnz

    @property
    def density(self) -> float:
        """nnz / (n_rows * n_cols); 0 when there are no positions at all."""
        n_positions = self._shape[0] * self._shape[1]
        return self._nnz / n_positions if n_positions else 0.0

    @property
    def is_full(self) -> bool:
        """True if every position is active; then layout is None."""
        return self._layout is None

    @property
    def layout(self) -> _core.Layout | None:
        """How the positions are stored, for the kernels; None if full.

        If `by_column`, the layout of the transpose in one block.
        """
        return self._layout

    @property
    def kernel_layout(self) -> _core.Layout | None:
        """What our kernels multiply by; None if products go to BLAS."""
        return self.layout_of_products(self._shape)

    def layout_of_products(self, matrix: tuple[int, int]) -> _core.Layout | None:
        """What our kernels multiply by; None if BLAS takes matrices of a shape.

        The layout; of a full pattern, if such matrices have few rows or columns, one
        that is made at the first call, its rows in one block, because BLAS is slow on
        a narrow matrix.
        """
        if self._layout is not None or not is_narrow(matrix):
            return self._layout
        if self._narrow is None and self._nnz:
            n_cols = self._shape[1]
            narrow, _ = _core.csr_to_layout(
                self._shape, *self.csr(), n_cols, choose_index_bytes(n_cols)
            )
            object.__setattr__(self, "_narrow", narrow)
        return self._narrow

    @property
    def by_column(self) -> bool:
        """True if the slots are ordered by column and then row."""
        return self._by_column

    @property
    def batch(self) -> int | None:
        """Samples at a time that the storage order was chosen for; None for training.

        Also None if training would choose the same.
        """
        return self._batch

    @property
    def nbytes(self) -> int:
        """Bytes that the positions take, and what products have added to them."""
        parts = self._layout, self._index, self._narrow
        return sum(part.nbytes for part in parts if part is not None)

    def column_index(self) -> _core.ColumnIndex:
        """Where each column's connections are, for sparse batches.

        Costs nothing if the pattern is full or stored by column. Otherwise made at the
        first call, in O(nnz), and kept: six bytes a connection (eight above 65,536
        rows, five up to 256) and four a column, counted by `nbytes`.
        """
        if self._index is None:
            if self._layout is None:
                index = _core.ColumnIndex(shape=self._shape)
            else:
                index = _core.ColumnIndex(self._layout, transposed=self._by_column)
            object.__setattr__(self, "_index", index)
        assert self._index is not None
        return self._index

    def stored_by_column(self) -> SparsePattern:
        """The same positions in the storage order that sparse batches like best.

        A sparse batch then reads and writes only the values of its own columns, which
        lie together. Patterns that follow by `with_changes` keep this order. A full
        pattern, and one without rows, is returned as it is.
        """
        if self._by_column or self._layout is None or not self._shape[0]:
            return self
        return pattern_and_order(self._shape, *self.csr(), by_column=True)[0]

    def stored_for(self, batch: int | None) -> TopologyChange | None:
        """The same positions in the best storage order for a model that is not trained.

        Parameters
        ----------
        batch : int or None
            Samples at a time; None for the order that training likes best.

        Returns
        -------
        TopologyChange or None
            None if there is nothing to change: the order is the same already, or the
            pattern is full or stored by column.
        """
        from sparsenn.sparse.change import reorder_pattern

        return reorder_pattern(self, batch)

    # ------------------------------------------------------------ positions

    def csr(self) -> tuple[Index, Index]:
        """Canonical (indptr, indices), int32; do not write to them.

        Computed anew, except that a pattern stored in one block of four-byte columns
        lends out its own, read-only.
        """
        if self._layout is None:
            n_rows, n_cols = self._shape
            return self.indptr, np.tile(np.arange(n_cols, dtype=np.int32), n_rows)
        if self._by_column:
            return self._transposed()[:2]
        if self.is_canonical and self._layout.index_bytes == 4:
            return self._layout.indptr, self._layout.columns
        indptr, indices, _ = _core.layout_to_csr(self._layout)
        return indptr, indices

    def csr_and_slots(self) -> tuple[Index, Index, Index | None]:
        """Canonical (indptr, indices) and the slot of each entry, None if the same."""
        if self._layout is None or self.is_canonical:
            return *self.csr(), None
        if self._by_column:
            return self._transposed()
        return _core.layout_to_csr(self._layout)

    def _transposed(self) -> tuple[Index, Index, Index]:
        """Canonical (indptr, indices) and slots of a pattern stored by column."""
        assert self._layout is not None
        rows = self._layout.columns.astype(np.int32, copy=False)
        return _core.csr_transpose(self._layout.shape, self._layout.indptr, rows)

    @property
    def indptr(self) -> Index:
        """Canonical row pointers, shape (n_rows + 1,), read-only; O(rows * blocks)."""
        layout, n_rows = self._layout, self._shape[0]
        if layout is None:
            counts = np.full(n_rows, self._shape[1], np.int32)
        elif self._by_column:
            counts = np.bincount(layout.columns, minlength=n_rows).astype(np.int32)
        else:
            segments = np.diff(layout.indptr).reshape(layout.n_blocks, n_rows)
            counts = segments.sum(axis=0, dtype=np.int32)
        indptr = np.zeros(n_rows + 1, np.int32)
        np.cumsum(counts, out=indptr[1:])
        return _read_only(indptr)

    @property
    def indices(self) -> Index:
        """Canonical columns, shape (nnz,), read-only; O(nnz) unless one block."""
        return _read_only(self.csr()[1])

    def positions(self) -> tuple[Index, Index]:
        """Rows and columns of the slots, int32, each of shape (nnz,), storage order."""
        if self._layout is not None:
            first, second = _core.layout_positions(self._layout)
            return (second, first) if self._by_column else (first, second)
        n_rows, n_cols = self._shape
        rows = np.repeat(np.arange(n_rows, dtype=np.int32), n_cols)
        return rows, np.tile(np.arange(n_cols, dtype=np.int32), n_rows)

    def ranks(self) -> NDArray[np.int64]:
        """Row * n_cols + column of the slots, shape (nnz,), in storage order."""
        if self._layout is None:
            return np.arange(self._nnz, dtype=np.int64)
        rows, cols = self.positions()
        ranks = rows.astype(np.int64)
        ranks *= self._shape[1]
        ranks += cols
        return ranks

    def to_mask(self) -> NDArray[np.bool_]:
        """Dense bool matrix, True at the positions. For tests and pictures."""
        mask = np.zeros(self._shape, np.bool_)
        mask[self.positions()] = True
        return mask

    def same_positions(self, other: SparsePattern) -> bool:
        """True if the other pattern has this shape and these positions."""
        if self._shape != other._shape or self._nnz != other._nnz:
            return False
        pairs = zip(self.csr(), other.csr(), strict=True)
        return self.is_full or all(np.array_equal(a, b) for a, b in pairs)

    # ------------------------------------------------------------ storage order

    @property
    def is_canonical(self) -> bool:
        """True if the storage order is the canonical one."""
        layout = self._layout
        return layout is None or (layout.n_blocks <= 1 and not self._by_column)

    def canonical_slots(self) -> Index:
        """Slot of each canonical entry, int32, shape (nnz,)."""
        layout = self._layout
        if layout is None or self.is_canonical:
            return np.arange(self._nnz, dtype=np.int32)
        if self._by_column:
            return self._transposed()[2]
        return _core.layout_to_csr(layout)[2]

    def to_canonical(self, values: NDArray[Any]) -> NDArray[Any]:
        """Copy of aligned values, shape (..., nnz), in canonical order."""
        values = self._aligned(values)
        if self.is_canonical:
            return values.copy()
        return np.take(values, self.canonical_slots(), axis=-1)

    def from_canonical(self, values: NDArray[Any]) -> NDArray[Any]:
        """Copy of values in canonical order, shape (..., nnz), in storage order."""
        values = self._aligned(values)
        if self.is_canonical:
            return values.copy()
        stored = np.empty_like(values, order="C")
        stored[..., self.canonical_slots()] = values
        return stored

    def _aligned(self, values: NDArray[Any]) -> NDArray[Any]:
        values = np.asarray(values)
        if values.ndim == 0 or values.shape[-1] != self._nnz:
            raise ValueError(
                f"values has shape {values.shape}, its last axis must have the "
                f"pattern's nnz={self._nnz}"
            )
        return values

    def to_scipy(self, values: NDArray[Any] | None = None) -> Any:
        """Matrix of aligned values as a canonical scipy.sparse.csr_array.

        Parameters
        ----------
        values : ndarray, shape (nnz,), optional
            In storage order; by default ones of float32.
        """
        from sparsenn.sparse.interop import to_csr_array

        return to_csr_array(self, values)

    # ------------------------------------------------------------ change

    def sample_free(
        self, k: int, stream: Stream, keep: NDArray[np.bool_] | None = None
    ) -> tuple[Index, Index]:
        """Draw k distinct positions outside this pattern, uniform over all such sets.

        Parameters
        ----------
        k : int
            At most the number of free positions.
        stream : Stream
        keep : ndarray of bool, shape (nnz,), optional
            In storage order; positions that are not kept count as free.

        Returns
        -------
        indptr, indices : ndarray of int32
            Canonical CSR.
        """
        if self._layout is not None and not self._by_column:
            return _core.layout_complement_sample(self._layout, keep, k, stream)
        indptr, indices = self.csr()
        if keep is not None:
            kept = np.flatnonzero(self.to_canonical(keep))
            indptr = np.searchsorted(kept, indptr).astype(np.int32)
            indices = np.take(indices, kept)
        return _core.complement_sample(self._shape, indptr, indices, k, stream)

    def with_changes(
        self,
        keep: NDArray[np.bool_],
        added: tuple[ArrayLike, ArrayLike] | None = None,
    ) -> TopologyChange:
        """Drop the positions that are not kept and add others.

        Parameters
        ----------
        keep : ndarray of bool, shape (nnz,)
            In storage order.
        added : tuple of (indptr, indices), optional
            Canonical CSR of new positions. One that is dropped here may come back, and
            is then a newborn.

        Returns
        -------
        TopologyChange

        Raises
        ------
        ValueError
            If a position is both kept and added, or added is not canonical CSR.
        """
        from sparsenn.sparse.change import change_pattern

        return change_pattern(self, keep, added)

    # ------------------------------------------------------------ object protocol

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a SparsePattern is immutable, cannot set {name!r}")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a SparsePattern is immutable, cannot delete {name!r}")

    def __copy__(self) -> SparsePattern:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> SparsePattern:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        # Rebuilt through a constructor, so what was unpickled has been checked.
        if self.is_full:
            return SparsePattern.full, (self._shape,)
        if self._by_column:
            return _stored_by_column, (self._shape, *self.csr())
        if self._batch is not None:
            return _stored_for, (self._shape, *self.csr(), self._batch)
        return SparsePattern, (self._shape, *self.csr())

    def __repr__(self) -> str:
        n_rows, n_cols = self._shape
        if self._layout is None:
            stored = "full"
        else:
            stored = f"density={self.density:.3g}, {self.nbytes:,} bytes"
            stored += ", by column" if self._by_column else ""
            stored += f", for batches of {self._batch}" if self._batch else ""
        return f"SparsePattern({n_rows} x {n_cols}, nnz={self._nnz:,}, {stored})"


def as_shape(shape: tuple[int, ...]) -> tuple[int, int]:
    """Check (n_rows, n_cols), two integers of 0..2**31 - 1."""
    try:
        n_rows, n_cols = (int(n.__index__()) for n in shape)
    except (TypeError, ValueError, AttributeError):
        raise ValueError(f"shape is {shape!r}, it must be (n_rows, n_cols)") from None
    for name, n in (("n_rows", n_rows), ("n_cols", n_cols)):
        if not 0 <= n <= MAX_NNZ:
            raise ValueError(f"{name} is {n}, it must lie in 0..{MAX_NNZ}")
    return n_rows, n_cols


def pattern_and_order(
    shape: tuple[int, int],
    indptr: Index,
    indices: Index,
    by_column: bool = False,
    batch: int | None = None,
) -> tuple[SparsePattern, Index | None]:
    """A pattern and the canonical index of each of its slots (None: the slot itself).

    For callers that move values along, at less cost than `from_canonical` afterwards.
    """
    pattern = SparsePattern.__new__(SparsePattern)
    return pattern, pattern._store(shape, indptr, indices, by_column, batch)


def pattern_of(layout: _core.Layout) -> SparsePattern:
    """The pattern that a layout stores, which must be the one it would be given."""
    pattern = SparsePattern.__new__(SparsePattern)
    pattern._set(layout.shape, layout.nnz, layout)
    return pattern


def _stored_by_column(
    shape: tuple[int, int], indptr: Index, indices: Index
) -> SparsePattern:
    return SparsePattern(shape, indptr, indices).stored_by_column()


def _stored_for(
    shape: tuple[int, int], indptr: Index, indices: Index, batch: int
) -> SparsePattern:
    arrays = as_int32(indptr, "indptr"), as_int32(indices, "indices")
    return pattern_and_order(as_shape(shape), *arrays, batch=batch)[0]


def _check_nnz(nnz: int) -> None:
    if nnz > MAX_NNZ:
        raise ValueError(
            f"the pattern would have nnz={nnz}, at most {MAX_NNZ} is possible; "
            "split the layer or lower its density"
        )


def as_int32(array: ArrayLike, name: str) -> Index:
    """Integers as a contiguous int32 vector; refuses what does not fit."""
    vector = np.asarray(array)
    if vector.ndim != 1:
        raise ValueError(f"{name} has shape {vector.shape}, it must be one-dimensional")
    if vector.size == 0:
        return np.zeros(0, np.int32)
    if vector.dtype.kind not in "iu":
        raise TypeError(f"{name} has dtype {vector.dtype}, it must hold integers")
    _check_nnz(vector.size - (name == "indptr"))
    if not np.can_cast(vector.dtype, np.int32, "safe"):
        low, high = int(vector.min()), int(vector.max())
        if low < 0 or high > MAX_NNZ:
            raise ValueError(
                f"{name} holds {low if low < 0 else high}, which does not "
                f"lie in 0..{MAX_NNZ}"
            )
    return np.ascontiguousarray(vector, np.int32)


def _read_only(array: Index) -> Index:
    array.flags.writeable = False
    return array
