"""Products of matrices with the same bits for any number of threads.

A large product is cut into tiles that depend on its shape alone. Each tile is one
BLAS call on one thread; threads take tiles from a common counter.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

import numpy as np

from sparsenn import blas
from sparsenn.autograd.array import as_order

__all__ = ["matmul", "matmul_into", "share"]

# Multiply-adds. BLAS libraries use one thread of their own accord up to _SMALL;
# from _LARGE on, about 0.1 ms, sharing the work is worth the waking of threads.
_SMALL = 1 << 13
_LARGE = 1 << 23
_TILE = 1 << 22
_MOST_TILES = 16

_pool: ThreadPoolExecutor | None = None
_pool_size = 0


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
        (..., m, n). No BLAS library sees more than one thread, so that the bits
        depend on the operands alone.
    """
    if a.ndim == 2 and b.ndim == 2:
        if activation:
            return _matrix(b.T, a.T).T
        return _matrix(a, b)
    return as_order(_stack(a, b), activation)


def _matrix(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """C-ordered product of two matrices."""
    m, k = a.shape
    n = b.shape[1]
    work = m * n * k
    if work <= _SMALL:
        return np.matmul(a, b)
    a, b = _unit_stride(a), _unit_stride(b)
    tiles = _tiles(m, n, work) if work >= _LARGE else ()
    if len(tiles) < 2:
        with blas.one_thread():
            return np.matmul(a, b)
    out = np.empty((m, n), a.dtype)

    def tile(i: int) -> None:
        rows, columns = tiles[i]
        np.matmul(a[rows], b[:, columns], out=out[rows, columns])

    share(tile, len(tiles))
    return out


def _tiles(m: int, n: int, work: int) -> list[tuple[slice, slice]]:
    """Cut the longer side of an (m, n) result; a function of the shape alone.

    Each tile packs the other operand again, which costs about 4 % at a height of 256.
    """
    everything = slice(None)
    side = max(m, n)
    most = max(1, side // 256, min(side // 96, 4))
    parts = min(_MOST_TILES, work // _TILE, most)
    step = -(-side // (16 * parts)) * 16
    cuts = [slice(i, min(i + step, side)) for i in range(0, side, step)]
    if m >= n:
        return [(cut, everything) for cut in cuts]
    return [(everything, cut) for cut in cuts]


def _unit_stride(a: np.ndarray) -> np.ndarray:
    """Matrices that BLAS takes as they are; NumPy's own loop for others is slow."""
    if a.flags.c_contiguous or (a.ndim == 2 and a.flags.f_contiguous):
        return a
    size = a.itemsize
    rows, columns = a.strides[-2:]
    m, n = a.shape[-2:]
    if columns == size and rows >= n * size and rows % size == 0:
        return a
    if rows == size and columns >= m * size and columns % size == 0:
        return a
    return np.ascontiguousarray(a)


def _stack(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """C-ordered product of stacks of matrices."""
    lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    out = np.empty((*lead, a.shape[-2], b.shape[-1]), a.dtype)
    matmul_into(a, b, out)
    return out


def matmul_into(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """Write products of stacks of matrices; threads share the stack.

    Parameters
    ----------
    a : ndarray
        (..., m, k).
    b : ndarray
        (..., k, n), of the same dtype.
    out : ndarray
        (..., m, n) with all leading axes. Matrices of any of the three may be strided
        views, by row or by column: BLAS takes them as they are.
    """
    lead, (m, n) = out.shape[:-2], out.shape[-2:]
    k = a.shape[-1]
    work = out.size * k
    if m * n * k > _SMALL:
        a, b = _unit_stride(a), _unit_stride(b)
    if work < _LARGE or lead[0] == 1:
        if m * n * k <= _SMALL:
            np.matmul(a, b, out=out)
            return
        with blas.one_thread():
            np.matmul(a, b, out=out)
        return
    a = np.broadcast_to(a, lead + a.shape[-2:])
    b = np.broadcast_to(b, lead + b.shape[-2:])
    parts = min(lead[0], _MOST_TILES)

    def chunk(i: int) -> None:
        part = slice(lead[0] * i // parts, lead[0] * (i + 1) // parts)
        np.matmul(a[part], b[part], out=out[part])

    share(chunk, parts)


def share(task: Callable[[int], Any], n: int) -> None:
    """Run ``task(0) .. task(n - 1)`` on our threads, BLAS on one thread in each.

    Parameters
    ----------
    task : callable
        ``task(i)`` must not depend on the other tasks.
    n : int
    """
    from sparsenn.config import get_num_threads

    take = count().__next__  # atomic: every index is taken once

    def work() -> None:
        while (i := take()) < n:
            task(i)

    with blas.one_thread():
        helpers = min(get_num_threads(), n) - 1
        futures = [_workers(helpers).submit(work) for _ in range(helpers)]
        try:
            work()
        finally:
            # A helper that has not begun is not needed any more.
            running = [f for f in futures if not f.cancel()]
            for f in running:
                f.result()


def _workers(n: int) -> ThreadPoolExecutor:
    """The pool, with at least `n` threads."""
    global _pool, _pool_size
    if _pool is None or _pool_size < n:
        if _pool is not None:
            _pool.shutdown(wait=False)
        _pool = ThreadPoolExecutor(n, "sparsenn", blas.one_thread_here)
        _pool_size = n
    return _pool


def _forget_pool() -> None:
    global _pool, _pool_size
    _pool, _pool_size = None, 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)  # threads do not survive a fork
