"""Hypothesis strategies that the tests of all rooms share."""

from __future__ import annotations

from typing import NamedTuple

import hypothesis.strategies as st
import numpy as np

from sparsenn import _core
from sparsenn.sparse import SparsePattern

#: Sizes at and around the widths of vectors, and none at all.
SIZES = (0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33)
#: Widths of column blocks for matrices of such sizes.
BLOCK_WIDTHS = (1, 2, 3, 5, 8, 16, 32, 64)


class Csr(NamedTuple):
    """A canonical CSR pattern."""

    shape: tuple[int, int]
    indptr: np.ndarray
    indices: np.ndarray

    @classmethod
    def of(cls, mask: np.ndarray) -> Csr:
        """Built from a dense mask, without the code under test."""
        counts = np.count_nonzero(mask, axis=1)
        indptr = np.concatenate(([0], np.cumsum(counts))).astype(np.int32)
        return cls(mask.shape, indptr, np.nonzero(mask)[1].astype(np.int32))

    @property
    def mask(self) -> np.ndarray:
        """Dense bool matrix of the positions."""
        mask = np.zeros(self.shape, np.bool_)
        mask[self.rows, self.indices] = True
        return mask

    @property
    def rows(self) -> np.ndarray:
        """Row of each entry."""
        return np.repeat(np.arange(self.shape[0]), np.diff(self.indptr))

    @property
    def nnz(self) -> int:
        return len(self.indices)


def sizes() -> st.SearchStrategy[int]:
    """A number of rows or columns."""
    return st.sampled_from(SIZES)


def shapes() -> st.SearchStrategy[tuple[int, int]]:
    """(n_rows, n_cols), either possibly 0."""
    return st.tuples(sizes(), sizes())


def densities() -> st.SearchStrategy[float]:
    """A density, often at an end."""
    return st.sampled_from((0.0, 0.02, 0.1, 0.3, 0.5, 0.8, 0.98, 1.0))


def generators() -> st.SearchStrategy[np.random.Generator]:
    """A seeded NumPy generator, for the bulk data of an example."""
    return st.integers(0, 2**32 - 1).map(np.random.default_rng)


@st.composite
def masks(draw: st.DrawFn) -> np.ndarray:
    """A dense bool matrix; some rows and columns are empty or full."""
    shape, density = draw(shapes()), draw(densities())
    rng = draw(generators())
    mask = rng.random(shape) < density
    if mask.size and draw(st.booleans()):
        mask[rng.integers(shape[0])] = rng.random() < 0.5
        mask[:, rng.integers(shape[1])] = rng.random() < 0.5
    return mask


def csr_patterns() -> st.SearchStrategy[Csr]:
    """A canonical CSR pattern of any density."""
    return masks().map(Csr.of)


@st.composite
def layouts(draw: st.DrawFn) -> tuple[_core.Layout, Csr]:
    """A layout of any block width and index size, and its canonical CSR."""
    csr = draw(csr_patterns())
    width = draw(st.sampled_from(BLOCK_WIDTHS))
    index_bytes = draw(st.sampled_from((1, 2, 4)))
    return _core.csr_to_layout(*csr, width, index_bytes)[0], csr


def patterns() -> st.SearchStrategy[SparsePattern]:
    """A SparsePattern of any density, in its own choice of layout or by column."""

    def store(csr: Csr, by_column: bool) -> SparsePattern:
        pattern = SparsePattern(*csr)
        return pattern.stored_by_column() if by_column else pattern

    return st.builds(store, csr_patterns(), st.booleans())
