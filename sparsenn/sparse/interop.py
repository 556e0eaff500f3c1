"""Exchange with scipy.sparse, which speaks canonical CSR."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsenn import _core
from sparsenn.sparse.pattern import (
    MAX_NNZ,
    SparsePattern,
    as_int32,
    as_shape,
    pattern_and_order,
)

__all__ = ["pattern_and_values", "to_csr_array"]


def pattern_and_values(matrix: Any) -> tuple[SparsePattern, NDArray[Any]]:
    """Split a scipy sparse matrix into its pattern and aligned values.

    Columns are sorted; duplicates are merged, their values summed; stored zeros stay
    positions. The matrix is not changed.

    Parameters
    ----------
    matrix : scipy.sparse array or matrix, shape (n_rows, n_cols)
        Of any format. (The dia format stores no zeros of its own.)

    Returns
    -------
    pattern : SparsePattern
    values : ndarray, shape (nnz,)
        In storage order, of the matrix's dtype.

    Raises
    ------
    TypeError
        If it is not a scipy sparse matrix.
    ValueError
        If an index is out of range or there are too many positions.
    """
    from scipy import sparse

    if not sparse.issparse(matrix):
        raise TypeError(
            f"matrix is {type(matrix).__name__}, it must be a scipy.sparse array or "
            "matrix; for a dense one use SparsePattern.from_mask"
        )
    if len(matrix.shape) != 2:
        raise ValueError(f"matrix has shape {matrix.shape}, it must have two axes")
    shape = as_shape(matrix.shape)
    if matrix.nnz > MAX_NNZ:
        raise ValueError(f"matrix stores {matrix.nnz} entries, at most {MAX_NNZ} fit")
    _check_indices(matrix)
    csr = matrix.tocsr()
    _check_indices(csr)
    if not _is_canonical(csr):
        csr = matrix.tocsr(copy=True)
        # scipy believes these cached flags even when they are wrong.
        csr.has_canonical_format = False
        csr.has_sorted_indices = False
        csr.sum_duplicates()
    nnz = csr.indptr[-1]
    pattern, order = pattern_and_order(
        shape,
        as_int32(csr.indptr, "indptr"),
        as_int32(csr.indices[:nnz], "indices"),
    )
    values = csr.data[:nnz]
    return pattern, values.copy() if order is None else values[order]


def _check_indices(matrix: Any) -> None:
    """Refuse arrays through which scipy's converters would leave their buffers."""
    if matrix.format == "coo":
        for axis, index in enumerate(matrix.coords):
            _check_range(index, matrix.shape[axis], f"coords[{axis}]")
    elif matrix.format in ("csr", "csc", "bsr"):
        indptr, indices, axis = matrix.indptr, matrix.indices, 1
        n_major, n_minor = matrix.shape
        if matrix.format == "csc":
            n_major, n_minor = n_minor, n_major
        elif matrix.format == "bsr":
            n_major //= matrix.blocksize[0]
            n_minor //= matrix.blocksize[1]
        if len(indptr) != n_major + 1:
            raise ValueError(f"indptr has length {len(indptr)}, not {n_major + 1}")
        if indptr[0] != 0 or (np.diff(indptr) < 0).any():
            raise ValueError("indptr must start at 0 and never decrease")
        nnz = int(indptr[-1])
        if nnz > len(indices) or nnz > len(matrix.data):
            raise ValueError(
                f"indptr ends at {nnz}, beyond indices of length {len(indices)} or "
                f"data of length {len(matrix.data)}"
            )
        _check_range(indices[:nnz], n_minor, "indices")


def _check_range(index: NDArray[np.integer], limit: int, name: str) -> None:
    if index.size and (index.min() < 0 or index.max() >= limit):
        at = int(np.argmax((index < 0) | (index >= limit)))
        raise ValueError(f"{name}[{at}] = {index[at]} lies outside 0..{limit - 1}")


def _is_canonical(csr: Any) -> bool:
    indptr = csr.indptr.astype(np.int32, copy=False)
    indices = csr.indices[: indptr[-1]].astype(np.int32, copy=False)
    try:
        _core.csr_check(csr.shape, indptr, np.ascontiguousarray(indices))
    except ValueError:
        return False
    return True


def to_csr_array(pattern: SparsePattern, values: NDArray[Any] | None = None) -> Any:
    """Implement `SparsePattern.to_scipy`."""
    from scipy import sparse

    indptr, indices = pattern.csr()
    if values is None:
        data: NDArray[Any] = np.ones(pattern.nnz, np.float32)
    else:
        values = np.asarray(values)
        if values.ndim != 1:
            raise ValueError(f"values has shape {values.shape}, it must be 1-D")
        data = pattern.to_canonical(values)
    # Some patterns lend out their own read-only arrays; scipy may sort in place.
    indptr = indptr if indptr.flags.writeable else indptr.copy()
    indices = indices if indices.flags.writeable else indices.copy()
    matrix = sparse.csr_array((data, indices, indptr), shape=pattern.shape)
    matrix.has_canonical_format = True
    return matrix
