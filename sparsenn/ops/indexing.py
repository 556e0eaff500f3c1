"""Picking elements, and its transpose: adding into zeros."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsenn.autograd.array import as_order, empty, is_activation
from sparsenn.autograd.registry import Sample, apply1, primitive
from sparsenn.autograd.samples import draw
from sparsenn.autograd.tensor import Tensor, as_tensor

__all__ = ["getitem", "scatter_add", "take", "take_along_axis"]


def _getitem_forward(x: np.ndarray, index: tuple, activation: bool) -> np.ndarray:
    axis = _single_axis(index)
    if axis is not None and x.ndim == 2 and x.flags.f_contiguous:
        return np.take(x.T, index[axis], axis=1 - axis).T
    out = np.asarray(x[index])
    if out.ndim < 2 or _is_basic(index):
        return out
    return as_order(out, activation)


def _is_basic(index: tuple) -> bool:
    return not any(isinstance(part, np.ndarray) for part in index)


def _single_axis(index: tuple) -> int | None:
    """The axis, if the index is one list of slices along it: ``[:, ..., :, rows]``."""
    last = index[-1] if index else None
    if not isinstance(last, np.ndarray) or last.ndim != 1 or last.dtype == bool:
        return None
    full = slice(None)
    if all(isinstance(part, slice) and part == full for part in index[:-1]):
        return len(index) - 1
    return None


def _getitem_vjp(
    g: Tensor,
    out: None,
    inputs: tuple,
    needs: tuple,
    index: tuple,
    activation: bool,
) -> tuple:
    shape = inputs[0].shape
    static = {"index": index, "shape": shape, "activation": activation}
    return (apply1(_SCATTER_ADD, g, static),)


def _scatter_forward(
    g: np.ndarray, index: tuple, shape: tuple[int, ...], activation: bool
) -> np.ndarray:
    out = empty(shape, g.dtype, activation)
    out[...] = 0
    arrays = [part for part in index if isinstance(part, np.ndarray)]
    axis = _single_axis(index)
    if not arrays or (len(arrays) == 1 and arrays[0].dtype == bool):
        out[index] = g  # no element is named twice
    elif axis is not None:
        _add_slices(out, index[axis], g, axis)
    else:
        np.add.at(out, index, g)
    return out


def _add_slices(out: np.ndarray, rows: np.ndarray, g: np.ndarray, axis: int) -> None:
    """``out[rows] += g`` along an axis, adding where a row is named repeatedly.

    Sorting and adding runs is several times faster than ``np.add.at``.
    """
    if rows.size == 0:
        return
    rows = np.where(rows < 0, rows + out.shape[axis], rows)
    lead: tuple[Any, ...] = (slice(None),) * axis
    if np.bincount(rows).max() == 1:  # no row is named twice
        out[(*lead, rows)] = g
        return
    order = np.argsort(rows, kind="stable")
    rows = rows[order]
    starts = np.flatnonzero(np.diff(rows, prepend=-1))
    sums = np.add.reduceat(np.take(g, order, axis), starts, axis)
    out[(*lead, rows[starts])] = sums


def _scatter_vjp(
    g: Tensor,
    out: None,
    inputs: tuple,
    needs: tuple,
    index: tuple,
    shape: tuple[int, ...],
    activation: bool,
) -> tuple:
    return (apply1(_GETITEM, g, {"index": index, "activation": activation}),)


def _scatter_reference(
    g: np.ndarray, index: tuple, shape: tuple[int, ...], activation: bool
) -> np.ndarray:
    out = np.zeros(shape)
    np.add.at(out, index, g)
    return out


_rows = np.array([2, 0, 2])
_GETITEM = primitive(
    "getitem",
    _getitem_forward,
    _getitem_vjp,
    sample=lambda rng: [
        Sample((draw(rng, (4, 3)),), {"index": index, "activation": True})
        for index in (
            (1,),
            (slice(1, 3),),
            (Ellipsis, slice(None, None, -1)),
            (slice(None), None, 2),
            (_rows,),
            (slice(None), _rows),
            (_rows, np.array([1, 1, 0])),
            (np.array([True, False, True, True]),),
        )
    ],
    reference=lambda x, index, activation: x[index],
    view=True,
)
_SCATTER_ADD = primitive(
    "scatter_add",
    _scatter_forward,
    _scatter_vjp,
    sample=lambda rng: [
        Sample((draw(rng, s),), {"index": i, "shape": shape, "activation": True})
        for s, i, shape in (
            ((3, 2), (_rows,), (4, 2)),
            ((2, 3), (slice(None), _rows), (2, 3)),
            ((3,), (_rows, np.array([1, 0, 1])), (3, 2)),
            ((2,), (slice(1, 3),), (4,)),
        )
    ],
    reference=_scatter_reference,
)


def _canonical(index: Any) -> tuple:
    """Index as a tuple of ints, slices, None, Ellipsis and arrays that are ours."""
    parts = index if isinstance(index, tuple) else (index,)
    result: list[Any] = []
    for part in parts:
        if isinstance(part, Tensor):
            raise TypeError("a Tensor holds floats and cannot index; use an int array")
        if part is None or part is Ellipsis or isinstance(part, slice):
            result.append(part)
        elif isinstance(part, int | np.integer) and not isinstance(part, bool):
            result.append(int(part))
        else:
            # A copy: the caller may reuse the buffer before the backward pass.
            array = np.array(part)
            if array.size == 0 and array.dtype.kind == "f":
                array = array.astype(np.intp)
            if array.dtype.kind not in "iub":
                raise TypeError(
                    f"an index array must hold integers or booleans, not {array.dtype}"
                )
            result.append(array)
    return tuple(result)


def getitem(x: Any, index: Any) -> Tensor:
    """Pick elements: ``x[index]`` with NumPy's meaning.

    Parameters
    ----------
    x : Tensor or array_like
    index : int, slice, None, Ellipsis, integer or boolean array, or a tuple of them

    Returns
    -------
    Tensor
        A view for basic indices. The gradient adds where an element was picked
        more than once.
    """
    x = as_tensor(x)
    static = {"index": _canonical(index), "activation": is_activation(x._data)}
    return apply1(_GETITEM, x, static)


def scatter_add(g: Any, index: Any, shape: tuple[int, ...]) -> Tensor:
    """Zeros of a shape with `g` added at ``index``; the transpose of `getitem`.

    Parameters
    ----------
    g : Tensor or array_like
        Of the shape of ``zeros(shape)[index]``.
    index
        As for `getitem`.
    shape : tuple of int

    Returns
    -------
    Tensor
    """
    g = as_tensor(g)
    static = {
        "index": _canonical(index),
        "shape": tuple(shape),
        "activation": is_activation(g._data),
    }
    return apply1(_SCATTER_ADD, g, static)


def take(x: Any, indices: Any, axis: int = 0) -> Tensor:
    """Pick slices along an axis, for example rows of an embedding.

    Parameters
    ----------
    x : Tensor or array_like
    indices : array_like of int
        Of any shape, which replaces the axis.
    axis : int

    Returns
    -------
    Tensor
    """
    x = as_tensor(x)
    axis = axis + x.ndim if axis < 0 else axis
    if not 0 <= axis < x.ndim:
        raise ValueError(f"axis {axis} is out of range for shape {x.shape}")
    return getitem(x, (*((slice(None),) * axis), np.asarray(indices)))


def take_along_axis(x: Any, indices: Any, axis: int) -> Tensor:
    """Pick one element of `x` for each element of `indices` along an axis.

    Parameters
    ----------
    x : Tensor or array_like
    indices : array_like of int
        As many axes as `x`, equal extents or one but for `axis`.
    axis : int

    Returns
    -------
    Tensor
        Of the shape of `indices`, broadcast against the other axes of `x`.
    """
    x = as_tensor(x)
    picks = np.asarray(indices)
    axis = axis + x.ndim if axis < 0 else axis
    if picks.ndim != x.ndim or not 0 <= axis < x.ndim:
        raise ValueError(
            f"indices of shape {picks.shape} and axis {axis} do not fit x {x.shape}"
        )
    index: list[np.ndarray] = []
    for i, n in enumerate(x.shape):
        if i == axis:
            index.append(picks)
        else:
            index.append(
                np.arange(n).reshape([-1 if j == i else 1 for j in range(x.ndim)])
            )
    return getitem(x, tuple(index))
