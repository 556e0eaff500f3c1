"""The softmax over axis 0, whole or in segments, where a mask allows it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from sparsenn.autograd.mode import is_recording
from sparsenn.autograd.registry import Sample, apply1, primitive
from sparsenn.autograd.samples import draw
from sparsenn.autograd.tensor import Tensor, as_tensor, wrap
from sparsenn.ops.arithmetic import mul, sub
from sparsenn.ops.indexing import scatter_add, take
from sparsenn.ops.reduce import sum as _sum

__all__ = ["Segments", "grouped_softmax"]


@final
@dataclass(frozen=True, eq=False)
class Segments:
    """Which elements along axis 0 belong together: the entries of each row of a matrix.

    Attributes
    ----------
    rows : ndarray of int, shape (nnz,)
        Row of each element.
    n_rows : int
    order : ndarray of int or None
        Sorts the elements by row; None if they are sorted.
    starts : ndarray of int
        Where each row that has elements starts among the sorted ones.
    numbers : ndarray of int, shape (nnz,)
        Which of these rows each element belongs to.
    """

    rows: np.ndarray
    n_rows: int
    order: np.ndarray | None
    starts: np.ndarray
    numbers: np.ndarray

    @classmethod
    def of(cls, rows: np.ndarray, n_rows: int) -> Segments:
        """From the row of each element."""
        rows = np.asarray(rows)
        order = None
        in_order = rows
        if (np.diff(rows) < 0).any():
            order = np.argsort(rows, kind="stable")
            in_order = rows[order]
        new = np.diff(in_order, prepend=-1) != 0
        numbers = np.cumsum(new) - 1
        if order is not None:
            numbers[order] = numbers.copy()
        return cls(rows, n_rows, order, np.flatnonzero(new), numbers)

    def reduced(self, ufunc: np.ufunc, x: np.ndarray) -> np.ndarray:
        """Of each element its row's sum, maximum, ..."""
        if self.order is not None:
            x = np.take(x, self.order, 0)
        return np.take(ufunc.reduceat(x, self.starts, 0), self.numbers, 0)

    def summed(self, x: Tensor) -> Tensor:
        """Of each element its row's sum, recorded."""
        sums = scatter_add(x, self.rows, (self.n_rows, *x.shape[1:]))
        return take(sums, self.rows)


def _reduced(ufunc: np.ufunc, x: np.ndarray, segments: Segments | None) -> np.ndarray:
    if segments is None:
        return ufunc.reduce(x, 0, keepdims=True)
    return segments.reduced(ufunc, x)


def _forward(
    x: np.ndarray, segments: Segments | None, mask: np.ndarray | None, scale: float
) -> np.ndarray:
    e = x * x.dtype.type(scale)
    if e.size == 0:
        return e
    if mask is not None:
        np.copyto(e, -np.inf, where=~mask)
    top = _reduced(np.maximum, e, segments)
    top[np.isneginf(top)] = 0
    e -= top
    np.exp(e, out=e)
    total = _reduced(np.add, e, segments)
    total[total == 0] = 1
    e /= total
    return e


def _vjp(
    g: Tensor,
    out: Tensor,
    inputs: tuple,
    needs: tuple,
    segments: Segments | None,
    mask: np.ndarray | None,
    scale: float,
) -> tuple:
    if not is_recording():
        p = out._data
        if p.size == 0:
            return (g,)
        dx = g._data * p
        dx -= p * _reduced(np.add, dx, segments)
        dx *= p.dtype.type(scale)
        return (wrap(dx),)
    inner = mul(g, out)
    total = _sum(inner, 0, True) if segments is None else segments.summed(inner)
    return (mul(mul(out, sub(g, total)), scale),)


def _samples(rng: np.random.Generator) -> Iterator[Sample]:
    some = np.array([[[True]], [[False]], [[True]], [[True]]])
    rows = Segments.of(np.array([2, 0, 2, 0, 2, 3]), 4)
    for shape, segments, mask in (
        ((4, 2, 3), None, None),
        ((4, 2, 3), None, some),
        ((4, 2), None, np.zeros((4, 2), bool)),
        ((6, 2), rows, None),
        ((6, 2), rows, np.array([[1], [1], [0], [0], [1], [0]], bool)),
    ):
        static = {"segments": segments, "mask": mask, "scale": 0.7}
        yield Sample((draw(rng, shape),), static)


def _reference(
    x: np.ndarray, segments: Segments | None, mask: np.ndarray | None, scale: float
) -> np.ndarray:
    e = np.exp(scale * x) * (1 if mask is None else mask)
    rows = np.zeros(len(x), int) if segments is None else segments.rows
    total = np.zeros((max(rows) + 1, *x.shape[1:]))
    np.add.at(total, rows, e)
    return np.divide(e, total[rows], out=np.zeros_like(e), where=e > 0)


_GROUPED_SOFTMAX = primitive(
    "grouped_softmax",
    _forward,
    _vjp,
    saves=("o",),
    sample=_samples,
    reference=_reference,
)


def grouped_softmax(
    x: Any,
    segments: Segments | None = None,
    *,
    mask: np.ndarray | None = None,
    scale: float = 1.0,
) -> Tensor:
    """``softmax(scale * x)`` over axis 0, or over each segment of it.

    Parameters
    ----------
    x : Tensor or array_like, shape (n, ...)
    segments : Segments or None
        None: all n belong together.
    mask : ndarray of bool, optional
        Broadcasts against x. Elements where it is False are left out: they are 0, and
        so is everything where no element is left.
    scale : float

    Returns
    -------
    Tensor, shape (n, ...)
    """
    static = {"segments": segments, "mask": mask, "scale": float(scale)}
    return apply1(_GROUPED_SOFTMAX, as_tensor(x), static)
