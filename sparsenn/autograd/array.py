"""Memory order of arrays: where activations and parameters lie.

Axis 0 of an activation is the sample axis. In memory it is the fastest one, with the
others in C order before it: a (batch, features) matrix is Fortran-ordered, a
(batch, channels, height, width) array lies as channels, height, width, batch. The
rules that keep it so:

* elementwise operations keep the order of their operands (NumPy's ``order="K"``);
* an operation that must choose (a product, a gather, a broadcast) makes an
  activation, unless its first operand is C-ordered and not an activation;
* `matmul` of matrices always makes an activation;
* a gradient has the order of the value that it belongs to: gradients of parameters,
  which are C-ordered, are C-ordered.

Arrays of one axis, and matrices with one row or one column, are both.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from sparsenn.random import Stream

__all__ = [
    "as_order",
    "asarray_activation",
    "combined_order",
    "empty",
    "flattened",
    "is_activation",
    "random_mask",
    "sample_last",
]


def sample_last(a: np.ndarray) -> np.ndarray:
    """View with axis 0 moved to the end; C-contiguous exactly for an activation."""
    n = a.ndim
    if n == 2:
        return a.T
    return a if n < 2 else a.transpose(*range(1, n), 0)


def is_activation(a: np.ndarray) -> bool:
    """Whether axis 0 is the fastest in memory and the others are in C order."""
    n = a.ndim
    if n == 2:
        return a.flags.f_contiguous
    if n < 2:
        return a.flags.c_contiguous
    return sample_last(a).flags.c_contiguous


def empty(
    shape: tuple[int, ...], dtype: Any = np.float32, activation: bool = True
) -> np.ndarray:
    """Uninitialised array in the order of an activation, or in C order.

    Parameters
    ----------
    shape : tuple of int
    dtype : dtype
    activation : bool

    Returns
    -------
    ndarray
    """
    n = len(shape)
    if n < 2 or not activation:
        return np.empty(shape, dtype)
    if n == 2:
        return np.empty(shape, dtype, "F")
    return np.empty((*shape[1:], shape[0]), dtype).transpose(n - 1, *range(n - 1))


def as_order(a: np.ndarray, activation: bool) -> np.ndarray:
    """Return `a` in the order of an activation, or in C order; a copy if needed."""
    if (is_activation(a) if activation else a.flags.c_contiguous) or a.ndim == 0:
        return a
    out = empty(a.shape, a.dtype, activation)
    np.copyto(out, a)
    return out


def combined_order(out: np.ndarray, *operands: np.ndarray) -> np.ndarray:
    """Put an elementwise result in the order of an activation if an operand has it.

    NumPy decides for C order where operands disagree, or where each could be either.
    """
    if is_activation(out):
        return out
    if any(a.ndim == out.ndim and is_activation(a) for a in operands):
        return as_order(out, True)
    return out


def asarray_activation(x: Any, dtype: Any = None) -> np.ndarray:
    """Convert input data once, at the door of a model.

    Parameters
    ----------
    x : array_like
        Batch first, any memory order.
    dtype : {float32, float64}, optional
        Without it float64 arrays stay and everything else becomes float32.

    Returns
    -------
    ndarray
        In the order of an activation; `x` itself when nothing has to change.
    """
    a = np.asarray(x)
    if dtype is None:
        dtype = a.dtype if a.dtype == np.float64 and a is x else np.float32
    if a.dtype != dtype:
        out = empty(a.shape, dtype)
        np.copyto(out, a, casting="unsafe")
        return out
    return as_order(a, True)


def flattened(
    a: np.ndarray, like: np.ndarray | None = None
) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]:
    """The elements in the order of memory, and what gives them their shape back.

    Parameters
    ----------
    a : ndarray
        Any order; a view of it is taken unless it has gaps.
    like : ndarray, optional
        Of the same shape: its order is taken instead of that of `a`.

    Returns
    -------
    flat : ndarray, shape (size,)
    back : callable
        Makes an array of the shape and order of `a` (or `like`) out of such a one.
    """
    source = a if like is None else like
    axes = sorted(range(a.ndim), key=lambda i: -abs(source.strides[i]))
    ordered = a.transpose(axes)
    shape = ordered.shape
    inverse = np.argsort(axes)
    return (
        np.ascontiguousarray(ordered).reshape(-1),
        lambda flat: flat.reshape(shape).transpose(inverse),
    )


def random_mask(
    shape: tuple[int, ...], keep: float, stream: Stream, dtype: Any = np.float32
) -> np.ndarray:
    """Random factors: ``1 / keep`` with probability `keep`, zero otherwise.

    Parameters
    ----------
    shape : tuple of int
    keep : float
        In (0, 1].
    stream : Stream
        Element ``i`` of the stream decides element ``i`` in memory.
    dtype : {float32, float64}

    Returns
    -------
    ndarray
        In the order of an activation.
    """
    out = empty(shape, dtype)
    uniform = stream.uniform(out.size, dtype=np.float32).reshape(sample_last(out).shape)
    np.multiply(uniform < keep, np.dtype(dtype).type(1 / keep), out=sample_last(out))
    return out
