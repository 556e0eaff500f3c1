"""How far a sparse weight is from an isometry, and descent towards one.

With the Gram matrix of its smaller side, ``W^T W`` or ``W W^T``, the error is
``|gram - I|^2``, the sum of squares of all entries. Gram and error exist a few rows at
a time, made by the sparse products; nothing dense is stored.
"""

from __future__ import annotations

import math

import numpy as np

from sparsenn.ops.sparse import array_products
from sparsenn.sparse import SparsePattern

#: Elements of the three dense arrays of a tile together.
_TILE = 1 << 21


def isometry_error(
    values: np.ndarray, pattern: SparsePattern
) -> tuple[float, np.ndarray]:
    """The squared error of isometry and its gradient for the connections.

    Parameters
    ----------
    values : ndarray, shape (nnz,)
        In storage order, float32 or float64.
    pattern : SparsePattern, shape (n_out, n_in)

    Returns
    -------
    error : float
        ``|W^T W - I|^2`` (Frobenius) if n_in <= n_out, ``|W W^T - I|^2`` otherwise: 0
        if and only if all singular values are 1.
    gradient : ndarray, shape (nnz,)
        In storage order: ``4 W (W^T W - I)`` at the connections.

    Notes
    -----
    Time ``3 nnz min(n_in, n_out)`` multiply-adds, memory about 2**21 numbers.

    References
    ----------
    Lee et al., "A signal propagation perspective for pruning neural networks at
    initialization", arXiv:1906.06307, section 4.3, where the error is not squared: its
    gradient is this one over ``2 sqrt(error)``.
    """
    n_out, n_in = pattern.shape
    small = min(n_out, n_in)
    by_columns = n_in <= n_out
    spmm, spmm_t, sddmm = array_products(pattern)
    rows = max(1, _TILE // max(2 * small + max(n_out, n_in), 1))
    error = 0.0
    gradient = np.zeros(pattern.nnz, values.dtype)
    for first in range(0, small, rows):
        n = min(rows, small - first)
        unit = np.zeros((n, small), values.dtype, order="F")
        unit[np.arange(n), first + np.arange(n)] = 1
        # Rows of the Gram matrix: those of (E W^T) W, or of (E W) W^T.
        half = (spmm if by_columns else spmm_t)(values, unit)
        rest = (spmm_t if by_columns else spmm)(values, half)
        rest -= unit
        error += float(np.einsum("ij,ij->", rest, rest, dtype=np.float64))
        gradient += sddmm(half, rest) if by_columns else sddmm(rest, half)
    gradient *= 4
    return error, gradient


def isometry_floor(pattern: SparsePattern) -> int:
    """What the squared error of isometry cannot fall below, whatever the values.

    The smaller side minus the most connections of which no two share a row or column
    (the structural rank): each missing rank is a singular value of 0, an error of 1.
    An empty row or column of that side is one.

    Parameters
    ----------
    pattern : SparsePattern, shape (n_out, n_in)

    Returns
    -------
    int
    """
    if pattern.is_full or not pattern.nnz:
        return 0 if pattern.is_full else min(pattern.shape)
    from scipy.sparse.csgraph import structural_rank

    return min(pattern.shape) - int(structural_rank(pattern.to_scipy()))


def descend_to_isometry(
    values: np.ndarray,
    pattern: SparsePattern,
    steps: int,
    *,
    lr: float | None = None,
    squared: bool = True,
    tolerance: float = 0.0,
) -> tuple[np.ndarray, list[float]]:
    """Moves values towards an isometry on their pattern.

    Parameters
    ----------
    values : ndarray, shape (nnz,)
        In storage order; not changed.
    pattern : SparsePattern
    steps : int
    lr : float, optional
        Length of the first step, 0.05 by default; 0.1, and of every step, if not
        squared.
    squared : bool
        Gradient descent on the squared error. A step that raises it is taken back and
        tried at half the length, others grow by a fifth. False: on the error itself,
        with steps of one length, as the paper's authors do; it ends in an oscillation
        of that size.
    tolerance : float
        Stop at this squared error.

    Returns
    -------
    values : ndarray, shape (nnz,)
        The best ones found.
    errors : list of float
        Squared error at the beginning and after each step.
    """
    lr = (0.05 if squared else 0.1) if lr is None else lr
    error, gradient = isometry_error(values, pattern)
    errors, best, best_error = [error], values.copy(), error
    current = best
    for _ in range(steps):
        if error <= tolerance or not np.isfinite(error):
            break
        scale = lr if squared else lr / (2 * math.sqrt(error))
        trial = current - values.dtype.type(scale) * gradient
        trial_error, trial_gradient = isometry_error(trial, pattern)
        if squared and not trial_error <= error:
            lr /= 2
            errors.append(error)
            continue
        current, error, gradient = trial, trial_error, trial_gradient
        lr *= 1.2 if squared else 1.0
        errors.append(error)
        if error < best_error:
            best, best_error = current, error
    return best, errors
