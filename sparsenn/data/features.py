"""What features may be: dense arrays or CSR, and how any input becomes that."""

from __future__ import annotations

import math
import sys
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from sparsenn.autograd.sequences import Sequences
from sparsenn.data.errors import DataError

__all__ = ["Features", "as_features", "check_finite", "is_sparse", "n_features"]

#: A dense array (samples, ...), a scipy.sparse.csr_array (samples, features),
#: Sequences (samples, time, features) or Tokens (samples, time).
Features: TypeAlias = Any

_CHUNK = 1 << 22  # elements looked at together, so that no mask of the whole is made
_MAX = float(np.finfo(np.float32).max)


def is_sparse(x: object) -> bool:
    """Whether x is a scipy.sparse matrix or array, without importing SciPy."""
    sparse = sys.modules.get("scipy.sparse")
    return sparse is not None and bool(sparse.issparse(x))


def n_features(x: Features) -> int:
    """Features of a sample; of sequences, of each of its steps."""
    return int(x.shape[2]) if isinstance(x, Sequences) else math.prod(x.shape[1:])


def as_features(x: Features, where: str) -> Features:
    """Make x a native, C-contiguous array, or canonical CSR with 32-bit indices.

    Parameters
    ----------
    x : array-like (samples, ...), scipy.sparse matrix or Sequences
        Booleans, integers or real floats. Booleans become uint8, half precision
        becomes float32; everything else keeps its precision.
    where : str
        Begins the message of an error.

    Returns
    -------
    ndarray, scipy.sparse.csr_array or Sequences
        Sequences have zeros past their ends.

    Raises
    ------
    DataError
        If x holds something else than numbers, or has no sample axis.
    """
    if isinstance(x, Sequences):
        values = as_features(x.values, where)
        return Sequences(np.where(x.inside[:, :, None], values, 0), x.lengths)
    if is_sparse(x):
        return _as_csr(x, where)
    x = np.asarray(x)
    if x.ndim < 2:
        raise DataError(
            f"{where}: features have shape {x.shape}; needed are (samples, features) "
            "or images (samples, height, width[, channels])"
        )
    return np.ascontiguousarray(x, dtype=_dtype(x.dtype, where))


def check_finite(x: Features, where: str) -> None:
    """Raise a DataError that names the first NaN, infinity or float32 overflow."""
    sparse = is_sparse(x)
    values = x.data if sparse else x.values if isinstance(x, Sequences) else x
    if values.dtype.kind != "f":  # as those of tokens
        return
    flat = values.reshape(-1)
    for start in range(0, flat.size, _CHUNK):
        chunk = flat[start : start + _CHUNK]
        # The comparison is false for NaN, too.
        good = np.abs(chunk) <= _MAX
        if good.all():
            continue
        at = start + int(np.argmin(good))
        if sparse:
            row = int(np.searchsorted(x.indptr, at, side="right")) - 1
            column = int(x.indices[at])
        else:
            row, column = divmod(at, flat.size // x.shape[0])
        raise DataError(
            f"{where}: sample {row}, feature {column} is {flat[at]}; needed are finite "
            "numbers in the range of float32. Remove or replace such values"
        )


def _dtype(dtype: np.dtype[Any], where: str) -> np.dtype[Any]:
    if dtype.kind == "b":
        return np.dtype(np.uint8)
    if dtype == np.float16:
        return np.dtype(np.float32)
    if dtype.kind in "iuf" and dtype.itemsize <= 8:
        return dtype.newbyteorder("=")
    raise DataError(f"{where}: features are {dtype}; needed are integers or floats")


def _as_csr(x: Any, where: str) -> Any:
    from scipy.sparse import csr_array

    dtype = _dtype(x.dtype, where)
    if x.ndim != 2 or max(x.shape) >= 2**31:
        raise DataError(
            f"{where}: sparse features have shape {x.shape}; needed are (samples, "
            "features), each below 2**31"
        )
    x = csr_array(x, copy=True)
    x.sum_duplicates()
    indices: npt.NDArray[np.int32] = x.indices.astype(np.int32)
    indptr = x.indptr.astype(np.int32) if x.nnz < 2**31 else x.indptr
    return csr_array((x.data.astype(dtype), indices, indptr), shape=x.shape)
