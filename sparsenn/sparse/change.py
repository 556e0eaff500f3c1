"""A change of topology as data: which old slot each new slot continues."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sparsenn import _core
from sparsenn.sparse.layout import choose_block_width
from sparsenn.sparse.pattern import (
    Index,
    SparsePattern,
    as_int32,
    pattern_and_order,
    pattern_of,
)

__all__ = ["TopologyChange"]


@final
@dataclass(frozen=True, eq=False, repr=False, slots=True)
class TopologyChange:
    """What became of every connection when a pattern was replaced.

    Parameters
    ----------
    old, new : SparsePattern
        Of the same shape.
    source : ndarray of int32, shape (new.nnz,)
        Old slot of each new slot, or -1 for a newborn; storage order on both sides.

    Notes
    -----
    Any array aligned with the old pattern, be it values, momentum or ages, is carried
    over by `remap`. The constructor checks the length only; `check` proves the rest.
    """

    old: SparsePattern
    new: SparsePattern
    source: NDArray[np.int32]

    def __post_init__(self) -> None:
        source = self.source
        if self.old.shape != self.new.shape:
            raise ValueError(
                f"old has shape {self.old.shape}, new has {self.new.shape}"
            )
        if source.dtype != np.int32 or source.shape != (self.new.nnz,):
            raise ValueError(
                f"source is {source.dtype} of shape {source.shape}, it must be int32 "
                f"of shape ({self.new.nnz},)"
            )

    @property
    def newborn(self) -> NDArray[np.bool_]:
        """True where a new slot continues no old one, shape (new.nnz,)."""
        return self.source < 0

    @property
    def n_newborn(self) -> int:
        """Number of slots that continue no old one."""
        return int(np.count_nonzero(self.source < 0))

    @property
    def n_dropped(self) -> int:
        """Number of old slots that no new one continues."""
        return self.old.nnz - self.new.nnz + self.n_newborn

    def remap(self, array: NDArray[Any], fill: ArrayLike = 0) -> NDArray[Any]:
        """Carry an array aligned with the old pattern over to the new one.

        Parameters
        ----------
        array : ndarray, shape (..., old.nnz)
            Storage order along the last axis.
        fill : array_like
            Of newborns: a scalar, or something that broadcasts to (..., n_newborn).

        Returns
        -------
        ndarray, shape (..., new.nnz)
        """
        array = np.asarray(array)
        if array.ndim == 0 or array.shape[-1] != self.old.nnz:
            raise ValueError(
                f"array has shape {array.shape}, its last axis must have the old "
                f"pattern's nnz={self.old.nnz}"
            )
        if array.ndim == 1 and np.ndim(fill) == 0 and _is_plain(array):
            return _core.remap(self.source, array, fill)
        newborn = np.flatnonzero(self.source < 0)  # much faster than a mask below
        if self.old.nnz == 0:
            result = np.empty((*array.shape[:-1], self.new.nnz), array.dtype)
        else:
            # Newborns take the last old slot, index -1, until they are filled.
            result = np.take(array, self.source, axis=-1)
        result[..., newborn] = fill
        return result

    def check(self) -> None:
        """Raise ValueError unless every continued slot kept its position.

        Since positions are distinct, this also proves that no old slot is continued
        twice. For tests and debugging, O(nnz) time and memory.
        """
        continued = np.flatnonzero(self.source >= 0)
        source = self.source[continued]
        if source.size and source.max() >= self.old.nnz:
            raise ValueError(
                f"source holds {source.max()}, the old pattern has nnz={self.old.nnz}"
            )
        moved = self.new.ranks()[continued] != self.old.ranks()[source]
        if moved.any():
            k = int(continued[np.argmax(moved)])
            raise ValueError(
                f"new slot {k} continues old slot {self.source[k]} of another position"
            )

    def __repr__(self) -> str:
        n_rows, n_cols = self.old.shape
        return (
            f"TopologyChange({n_rows} x {n_cols}, nnz {self.old.nnz:,} -> "
            f"{self.new.nnz:,}, {self.n_dropped:,} dropped, {self.n_newborn:,} newborn)"
        )


def change_pattern(
    old: SparsePattern,
    keep: NDArray[np.bool_],
    added: tuple[ArrayLike, ArrayLike] | None,
) -> TopologyChange:
    """Implement `SparsePattern.with_changes`."""
    keep = np.asarray(keep)
    if keep.dtype != np.bool_ or keep.shape != (old.nnz,):
        raise ValueError(
            f"keep is {keep.dtype} of shape {keep.shape}, it must be bool of shape "
            f"({old.nnz},)"
        )
    if added is None:
        added = np.zeros(old.shape[0] + 1, np.int32), np.zeros(0, np.int32)
    added_indptr, added_indices = added
    indptr = as_int32(added_indptr, "added indptr")
    indices = as_int32(added_indices, "added indices")
    layout = old.layout
    nnz = int(np.count_nonzero(keep)) + len(indices)
    if (
        layout is not None
        and not old.by_column
        and nnz < old.shape[0] * old.shape[1]
        and choose_block_width(old.shape, nnz) == layout.block_width
    ):
        layout, source = _core.layout_merge(layout, keep, indptr, indices)
        return TopologyChange(old, pattern_of(layout), source)
    return _rebuilt(old, keep, indptr, indices)


def _rebuilt(
    old: SparsePattern, keep: NDArray[np.bool_], added: Index, added_indices: Index
) -> TopologyChange:
    """The same through canonical order, for a pattern that gets another layout."""
    slots = old.canonical_slots()
    indptr, indices, source = _core.csr_merge(
        old.shape, *old.csr(), keep[slots], added, added_indices
    )
    new, order = pattern_and_order(old.shape, indptr, indices, old.by_column)
    if order is not None:
        source = source[order]
    # A newborn's source is -1: it looks up the last entry, which is -1 again.
    return TopologyChange(old, new, np.append(slots, np.int32(-1))[source])


def reorder_pattern(old: SparsePattern, batch: int | None) -> TopologyChange | None:
    """Implement `SparsePattern.stored_for`."""
    layout = old.layout
    if layout is None or old.by_column:
        return None
    if choose_block_width(old.shape, old.nnz, batch) == layout.block_width:
        return None
    indptr, indices, slots = old.csr_and_slots()
    new, order = pattern_and_order(old.shape, indptr, indices, batch=batch)
    if slots is None:
        slots = np.arange(old.nnz, dtype=np.int32)
    return TopologyChange(old, new, slots if order is None else slots[order])


def _is_plain(array: NDArray[Any]) -> bool:
    """Whether the compiled core can carry it over."""
    flags = array.flags
    return (
        array.dtype.isnative
        and not array.dtype.hasobject
        and array.itemsize in (1, 2, 4, 8)
        and flags.c_contiguous
        and flags.aligned
    )
