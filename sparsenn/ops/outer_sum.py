"""The gradient of a weight as what it is: a sum of outer products, never a matrix."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias, final

import numpy as np

from sparsenn import _core
from sparsenn.autograd import Tensor
from sparsenn.autograd.array import as_order
from sparsenn.autograd.matmul import matmul
from sparsenn.ops.largest import Largest
from sparsenn.ops.patches import Patches
from sparsenn.ops.sparse import sddmm_
from sparsenn.ops.sparse_batch import SparseBatch
from sparsenn.ops.sparse_input import sparse_input_grad_
from sparsenn.random import Purpose, Stream
from sparsenn.sparse import SparsePattern

_TILE_BYTES = 4 << 20
_SAMPLE = 1 << 13

Inputs: TypeAlias = np.ndarray | SparseBatch | Patches
Factors: TypeAlias = tuple[np.ndarray, Inputs]


def _ordered(b: Any) -> Any:
    if isinstance(b, SparseBatch | Patches):
        return b
    return as_order(b.data if isinstance(b, Tensor) else b, True)


def _on(a: np.ndarray, b: Inputs, pattern: SparsePattern) -> np.ndarray:
    """Entries of ``a.T @ b`` at the positions of a pattern."""
    if isinstance(b, Patches):
        return b.on(a, pattern)
    if isinstance(b, SparseBatch):
        return sparse_input_grad_.forward(a, batch=b, pattern=pattern)
    return sddmm_.forward(a, b, pattern=pattern)


def _rows(a: np.ndarray, b: Inputs, rows: slice) -> np.ndarray:
    """Some rows of ``a.T @ b``."""
    if isinstance(b, Patches):
        return b.rows(a, rows)
    part = a[:, rows]
    if isinstance(b, SparseBatch):
        shape = part.shape[1], b.shape[1]
        return _on(part, b, SparsePattern.full(shape)).reshape(shape)
    return matmul(part.T, b, activation=False)


@final
class OuterSum:
    """``sum_i A_i^T B_i``, held as its factors.

    It serves the gradient of a batch, of accumulated batches and of the time steps of a
    recurrent layer, and can be evaluated on any pattern or searched for its largest
    entries outside one, in tiles of a few megabytes.

    Parameters
    ----------
    factors : iterable of (ndarray or Tensor, ndarray or Tensor)
        Pairs ``(A, B)`` of shapes (batch, n_out) and (batch, n_in); batches may differ.
        B may be a `SparseBatch` or `Patches`, and stays one. Of Tensors, which a pass
        that is recorded notes for a virtual weight, their arrays are taken.
    """

    def __init__(self, factors: Iterable[tuple[Any, Any]]) -> None:
        self.factors: list[Factors] = [(_ordered(a), _ordered(b)) for a, b in factors]
        if not self.factors:
            raise ValueError("an OuterSum needs at least one pair of factors")
        a, b = self.factors[0]
        self.dtype = a.dtype
        self.shape = (a.shape[1], b.shape[1])
        for a, b in self.factors:
            if a.ndim != 2 or len(b.shape) != 2 or a.shape[0] != b.shape[0]:
                raise ValueError(
                    f"factors must be (batch, n_out) and (batch, n_in) with one batch, "
                    f"got {a.shape} and {b.shape}"
                )
            same = isinstance(b, SparseBatch) or a.dtype == b.dtype
            if (a.shape[1], b.shape[1]) != self.shape or not same:
                raise ValueError(
                    f"all factors must give a {self.dtype} matrix of shape "
                    f"{self.shape}, got {a.dtype}, {b.dtype} of {a.shape}, {b.shape}"
                )

    @property
    def flops(self) -> int:
        """Floating-point operations of making every entry once."""
        n_out, n_in = self.shape
        return sum(2 * len(a) * n_out * n_in for a, _ in self.factors)

    def __add__(self, other: OuterSum) -> OuterSum:
        """The sum, by joining the factors."""
        return OuterSum([*self.factors, *other.factors])

    def scaled(self, factor: float) -> OuterSum:
        """The sum times a number."""
        return OuterSum([(a * a.dtype.type(factor), b) for a, b in self.factors])

    def on(self, pattern: SparsePattern) -> np.ndarray:
        """Its entries at the positions of a pattern, shape (nnz,), storage order."""
        if pattern.shape != self.shape:
            raise ValueError(
                f"the pattern has shape {pattern.shape}, the sum {self.shape}"
            )
        total = np.zeros(pattern.nnz, self.dtype)
        for a, b in self.factors:
            total += _on(a, b, pattern)
        return total

    def tiles(self) -> Iterator[tuple[int, np.ndarray]]:
        """Its rows in blocks of a few megabytes: (first row, array (rows, n_in))."""
        n_rows, n_cols = self.shape
        height = max(_TILE_BYTES // max(n_cols * self.dtype.itemsize, 1), 1)
        for first in range(0, n_rows, height):
            rows = slice(first, min(first + height, n_rows))
            tile = _rows(*self.factors[0], rows)
            for a, b in self.factors[1:]:
                tile += _rows(a, b, rows)
            yield first, tile

    def largest_outside(
        self, pattern: SparsePattern, k: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """The k positions outside a pattern where the entry is largest in magnitude.

        Parameters
        ----------
        pattern : SparsePattern
            Positions that are not candidates.
        k : int
            At most the number of positions outside.

        Returns
        -------
        indptr, indices : ndarray of int32
            The positions as canonical CSR. Of equal magnitudes the lower (row, column)
            wins.

        Raises
        ------
        ValueError
            If k is not possible, or if NaN leaves fewer than k entries to choose from.

        Notes
        -----
        A threshold from a sample of 8,192 entries lets rather more than k of them
        through, tile by tile while the cache holds it; among these the selection is
        exact.

        References
        ----------
        Evci et al., "Rigging the lottery", arXiv:1911.11134, section 3: the gradient
        "can be calculated in an online manner and only the top-k" stored.
        """
        n_rows, n_cols = self.shape
        free = n_rows * n_cols - pattern.nnz
        if pattern.shape != self.shape:
            raise ValueError(
                f"the pattern has shape {pattern.shape}, the sum {self.shape}"
            )
        if not 0 <= k <= free:
            raise ValueError(f"k must be in [0, {free}], the free positions; got {k}")
        layout = _row_layout(pattern)
        if k == 0 or layout is None:
            return np.zeros(n_rows + 1, np.int32), np.zeros(0, np.int32)
        best = Largest(k, self.dtype, self._admit(pattern, layout, k, free))
        while True:
            for first, tile in self.tiles():
                best.add(*_core.above_outside(layout, first, tile, best.threshold))
            if len(best) >= k:
                return best.result()
            if best.threshold < 0:
                raise ValueError("the gradient holds NaN where connections could grow")
            best = Largest(k, self.dtype, -1.0)  # the sample was not like the rest

    def _admit(
        self, pattern: SparsePattern, layout: _core.Layout, k: int, free: int
    ) -> float:
        """A magnitude that rather more than k free entries exceed, from a sample."""
        size = min(_SAMPLE, self.shape[0] * self.shape[1])
        stream = Stream(0, Purpose.PROBE)
        sample = SparsePattern.random(self.shape, size, stream=stream)
        outside = ~_core.layout_find(layout, *sample.positions())
        magnitudes = np.abs(self.on(sample)[outside])
        expected = len(magnitudes) * (k / free)
        n = int(1.05 * expected + 6 * expected**0.5) + 1
        if n >= len(magnitudes) or np.isnan(magnitudes).any():
            return -1.0
        return float(np.partition(magnitudes, -n)[-n])


def _row_layout(pattern: SparsePattern) -> _core.Layout | None:
    """A layout of the pattern's rows; None if it is full."""
    if not pattern.by_column:
        return pattern.layout
    width = max(pattern.shape[1], 1)
    return _core.csr_to_layout(pattern.shape, *pattern.csr(), width, 4)[0]
