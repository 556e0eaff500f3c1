"""The product of two matrices, in the memory order of an activation or in C order."""

from __future__ import annotations

import numpy as np

from sparsenn.autograd.array import as_order

__all__ = ["matmul"]


def matmul(a: np.ndarray, b: np.ndarray, activation: bool = True) -> np.ndarray:
    """Product of matrices or stacks of matrices.

    Parameters
    ----------
    a : ndarray
        (..., m, k).
    b : ndarray
        (..., k, n), of the same dtype.
    activation : bool
        Memory order of the result: an activation, or C order.

    Returns
    -------
    ndarray
        (..., m, n).
    """
    if a.ndim == 2 and b.ndim == 2:
        return np.matmul(b.T, a.T).T if activation else np.matmul(a, b)
    return as_order(np.matmul(a, b), activation)
