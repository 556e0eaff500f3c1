"""Sums, means and extrema over axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from sparsenn.autograd.array import as_order, is_activation
from sparsenn.autograd.registry import Sample, apply1, primitive
from sparsenn.autograd.samples import draw
from sparsenn.autograd.tensor import Tensor, as_tensor, wrap
from sparsenn.ops.arithmetic import mul, square, sub
from sparsenn.ops.broadcasting import broadcast_to
from sparsenn.ops.elementwise import sqrt
from sparsenn.ops.shape import reshape

__all__ = ["max", "mean", "min", "norm", "sum", "var"]

Axes = tuple[int, ...]
Axis = int | Sequence[int] | None


def normalize_axes(axis: Axis, ndim: int) -> Axes:
    """Return the axes as sorted non-negative integers; all of them for None."""
    if axis is None:
        return tuple(range(ndim))
    given = (axis,) if isinstance(axis, int | np.integer) else tuple(axis)
    axes = tuple(sorted(int(a) + ndim if a < 0 else int(a) for a in given))
    if any(not 0 <= a < ndim for a in axes) or len(set(axes)) != len(axes):
        raise ValueError(f"axis {axis} is out of range or repeated for {ndim} axes")
    return axes


def _kept(shape: tuple[int, ...], axes: Axes) -> tuple[int, ...]:
    return tuple(1 if i in axes else n for i, n in enumerate(shape))


def _spread(g: Tensor, shape: tuple[int, ...], axes: Axes, activation: bool) -> Tensor:
    return broadcast_to(reshape(g, _kept(shape, axes)), shape, activation)


def _reduce(ufunc: np.ufunc, x: np.ndarray, axes: Axes, keepdims: bool) -> np.ndarray:
    out = np.asarray(ufunc.reduce(x, axis=axes, keepdims=keepdims))
    return out if out.ndim < 2 else as_order(out, is_activation(x))


def _cases(rng: np.random.Generator) -> list[Sample]:
    return [
        Sample((draw(rng, s),), {"axes": a, "keepdims": k, "activation": True})
        for s, a, k in (
            ((4,), (0,), False),
            ((3, 2), (0, 1), False),
            ((3, 2), (0,), False),
            ((3, 2), (1,), True),
            ((2, 3, 2), (1,), False),
            ((2, 3, 2), (0, 2), True),
        )
    ]


def _sum_vjp(
    g: Tensor,
    out: None,
    inputs: tuple,
    needs: tuple,
    axes: Axes,
    keepdims: bool,
    activation: bool,
) -> tuple:
    return (_spread(g, inputs[0].shape, axes, activation),)


_SUM = primitive(
    "sum",
    lambda x, axes, keepdims, activation: _reduce(np.add, x, axes, keepdims),
    _sum_vjp,
    sample=_cases,
    reference=lambda x, axes, keepdims, activation: x.sum(axes, keepdims=keepdims),
)


def _extremum_vjp(
    g: Tensor,
    out: Tensor,
    inputs: tuple,
    needs: tuple,
    axes: Axes,
    keepdims: bool,
    activation: bool,
) -> tuple:
    # Elements that tie share the gradient equally.
    x = inputs[0]._data
    hit = x == out._data.reshape(_kept(x.shape, axes))
    share = hit / np.add.reduce(hit, axis=axes, keepdims=True, dtype=x.dtype)
    share = np.asarray(share, dtype=x.dtype)
    return (mul(_spread(g, x.shape, axes, activation), wrap(share)),)


_MAX = primitive(
    "max",
    lambda x, axes, keepdims, activation: _reduce(np.maximum, x, axes, keepdims),
    _extremum_vjp,
    saves=("0o",),
    sample=_cases,
    reference=lambda x, axes, keepdims, activation: x.max(axes, keepdims=keepdims),
)
_MIN = primitive(
    "min",
    lambda x, axes, keepdims, activation: _reduce(np.minimum, x, axes, keepdims),
    _extremum_vjp,
    saves=("0o",),
    sample=_cases,
    reference=lambda x, axes, keepdims, activation: x.min(axes, keepdims=keepdims),
)


def _static(x: Tensor, axis: Any, keepdims: bool) -> dict[str, Any]:
    return {
        "axes": normalize_axes(axis, x.ndim),
        "keepdims": bool(keepdims),
        "activation": is_activation(x._data),
    }


def sum(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Sum over axes.

    Parameters
    ----------
    x : Tensor or array_like
    axis : int, sequence of int or None
        None: all axes.
    keepdims : bool
        Keep the axes with length one.

    Returns
    -------
    Tensor
    """
    x = as_tensor(x)
    return apply1(_SUM, x, _static(x, axis, keepdims))


def mean(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Mean over axes; parameters as for `sum`."""
    x = as_tensor(x)
    count = math.prod(x.shape[a] for a in normalize_axes(axis, x.ndim))
    if count == 0:
        raise ValueError(f"the mean of no elements is not defined (shape {x.shape})")
    return mul(sum(x, axis, keepdims), 1 / count)


def var(
    x: Any,
    axis: Axis = None,
    keepdims: bool = False,
    correction: int = 0,
) -> Tensor:
    """Variance over axes: the mean square of the deviations from the mean.

    Parameters
    ----------
    x : Tensor or array_like
    axis : int, sequence of int or None
    keepdims : bool
    correction : int
        The divisor is the count less this.

    Returns
    -------
    Tensor
    """
    x = as_tensor(x)
    count = math.prod(x.shape[a] for a in normalize_axes(axis, x.ndim))
    if count <= correction:
        raise ValueError(f"variance of {count} elements with correction {correction}")
    deviation = sub(x, mean(x, axis, True))
    return mul(sum(square(deviation), axis, keepdims), 1 / (count - correction))


def norm(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Euclidean norm over axes; parameters as for `sum`."""
    return sqrt(sum(square(x), axis, keepdims))


def max(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Maximum over axes; tied elements share the gradient equally."""
    x = as_tensor(x)
    return apply1(_MAX, x, _static(x, axis, keepdims))


def min(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Minimum over axes; tied elements share the gradient equally."""
    x = as_tensor(x)
    return apply1(_MIN, x, _static(x, axis, keepdims))
