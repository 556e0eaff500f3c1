"""A sparse batch, ready for a first layer."""

from __future__ import annotations

from typing import Any, final

import numpy as np

from sparsenn import _core
from sparsenn.sparse.pattern import as_int32, as_shape


@final
class SparseBatch:
    """Samples of which only the nonzeros are stored, sorted by feature.

    Constant data: no gradient goes into it. `sparsenn.nn.Linear` multiplies it with its
    weight without making either dense. What is made of it once serves forward and
    backward pass.

    Parameters
    ----------
    matrix : scipy sparse array or matrix, shape (batch, n_features)
        Any format; columns in any order. Entries given twice add up.

    Attributes
    ----------
    shape : tuple of int
    dtype : float32 or float64
        float64 stays, everything else becomes float32.
    columns : BatchColumns
        Where the nonzeros are.

    Raises
    ------
    TypeError
        If it is not sparse or does not hold real numbers.
    ValueError
        If it has not two axes or an index is out of range.
    """

    __slots__ = ("_values", "columns", "dtype", "shape")

    def __init__(self, matrix: Any) -> None:
        if not hasattr(matrix, "tocsr"):
            raise TypeError(
                f"a SparseBatch is made of a scipy sparse array, got "
                f"{type(matrix).__name__}"
            )
        if len(matrix.shape) != 2:
            raise ValueError(
                f"a batch has shape (samples, features), got {matrix.shape}; write "
                "x[None, :] for one sample"
            )
        csr = matrix.tocsr()
        if csr.data.dtype.kind not in "fiub":
            raise TypeError(
                f"a sparse batch holds real numbers, got dtype {csr.data.dtype}"
            )
        if csr.data.shape != csr.indices.shape:
            raise ValueError(
                f"data has shape {csr.data.shape}, indices {csr.indices.shape}; they "
                "must agree"
            )
        self.shape = as_shape(csr.shape)
        self.columns = _core.BatchColumns(
            self.shape,
            as_int32(csr.indptr, "indptr"),
            as_int32(csr.indices, "indices"),
        )
        wide = csr.data.dtype == np.float64
        self.dtype = np.dtype(np.float64 if wide else np.float32)
        values = csr.data[self.columns.source].astype(self.dtype, copy=False)
        self._values: dict[np.dtype, np.ndarray] = {self.dtype: values}

    @property
    def nnz(self) -> int:
        """Number of nonzeros; entries given twice count twice."""
        return self.columns.nnz

    def values(self, dtype: Any = None) -> np.ndarray:
        """Values of the nonzeros in the order of `columns`, shape (nnz,).

        Parameters
        ----------
        dtype : float32 or float64, optional
            By default the batch's own; a conversion is kept.
        """
        dtype = self.dtype if dtype is None else np.dtype(dtype)
        if dtype not in self._values:
            self._values[dtype] = self._values[self.dtype].astype(dtype)
        return self._values[dtype]

    def check_features(self, shape: tuple[int, int]) -> None:
        """Raises ValueError unless a weight of that shape takes this batch."""
        if self.shape[1] != shape[1]:
            raise ValueError(
                f"linear: the sparse batch has {self.shape[1]} features, a weight of "
                f"shape {shape} takes {shape[1]}"
            )

    def to_dense(self) -> np.ndarray:
        """The batch as an array with the sample axis fastest in memory."""
        out = np.zeros((self.shape[1], self.shape[0]), self.dtype)
        features = np.repeat(self.columns.columns, np.diff(self.columns.start))
        np.add.at(out, (features, self.columns.samples), self.values())
        return out.T

    def __len__(self) -> int:
        """Number of samples."""
        return self.shape[0]

    def __repr__(self) -> str:
        """Shape, nonzeros and dtype."""
        return f"SparseBatch(shape={self.shape}, nnz={self.nnz}, {self.dtype})"
