"""Reshaping, permuting and joining."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from sparsenn.autograd.array import as_order, empty, is_activation
from sparsenn.autograd.registry import Sample, apply, apply1, primitive
from sparsenn.autograd.samples import draw, fixed, unary
from sparsenn.autograd.tensor import Tensor, as_tensor

__all__ = [
    "concatenate",
    "contiguous",
    "expand_dims",
    "flatten",
    "join_samples",
    "pad",
    "reshape",
    "split_samples",
    "squeeze",
    "stack",
    "transpose",
]


def _reshape_forward(x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    out = x.reshape(shape)
    if out.ndim < 2 or np.may_share_memory(out, x):
        return out
    return as_order(out, is_activation(x))


def _reshape_vjp(
    g: Tensor, out: None, inputs: tuple, needs: tuple, shape: tuple[int, ...]
) -> tuple:
    return (apply1(_RESHAPE, g, {"shape": inputs[0].shape}),)


_RESHAPE = primitive(
    "reshape",
    _reshape_forward,
    _reshape_vjp,
    sample=fixed(
        (((2, 6),), {"shape": (2, 3, 2)}),
        (((2, 3, 2),), {"shape": (2, 6)}),
        (((2, 3),), {"shape": (6,)}),
        (((4, 3),), {"shape": (2, 2, 3)}),
    ),
    view=True,
)


def reshape(x: Any, shape: int | Sequence[int]) -> Tensor:
    """Give the elements another shape, taken in the order of their indices.

    Parameters
    ----------
    x : Tensor or array_like
    shape : int or sequence of int
        One extent may be -1.

    Returns
    -------
    Tensor
        A view of the same memory where that is possible, as it is when feature
        axes of an activation are split or joined.
    """
    x = as_tensor(x)
    shape = (shape,) if isinstance(shape, int | np.integer) else tuple(shape)
    if -1 in shape:
        known = -math.prod(shape)
        if known <= 0 or x.size % known:
            raise ValueError(f"cannot reshape {x.shape} into {shape}")
        shape = tuple(x.size // known if n == -1 else n for n in shape)
    if shape == x.shape:
        return x
    if math.prod(shape) != x.size:
        raise ValueError(f"cannot reshape {x.shape} into {shape}")
    return apply1(_RESHAPE, x, {"shape": shape})


def flatten(x: Any) -> Tensor:
    """Join all axes but the first: (batch, ...) to (batch, features)."""
    x = as_tensor(x)
    return reshape(x, (x.shape[0], math.prod(x.shape[1:])))


def join_samples(x: Any) -> Tensor:
    """Join all axes but the last, which are samples: (..., features) to a matrix.

    The matrix is an activation, and what `split_samples` makes of it again, such as
    (batch, time, features), is a view that comes back here without a copy.
    """
    x = as_tensor(x)
    return contiguous(reshape(x, (math.prod(x.shape[:-1]), x.shape[-1])))


def split_samples(x: Any, lead: Sequence[int]) -> Tensor:
    """Undo `join_samples`: (samples, features) to (*lead, features), a view."""
    x = as_tensor(x)
    return reshape(x, (*lead, x.shape[-1]))


def expand_dims(x: Any, axis: int) -> Tensor:
    """Insert an axis of length one, so that it is axis number `axis`."""
    x = as_tensor(x)
    axis = axis + x.ndim + 1 if axis < 0 else axis
    if not 0 <= axis <= x.ndim:
        raise ValueError(f"axis {axis} is out of range for shape {x.shape}")
    return reshape(x, (*x.shape[:axis], 1, *x.shape[axis:]))


def squeeze(x: Any, axis: int | None = None) -> Tensor:
    """Remove axis number `axis`, of length one; all such axes when None."""
    x = as_tensor(x)
    return reshape(x, x._data.squeeze(axis).shape)


def _transpose_vjp(
    g: Tensor, out: None, inputs: tuple, needs: tuple, axes: tuple[int, ...]
) -> tuple:
    inverse = [0] * len(axes)
    for i, axis in enumerate(axes):
        inverse[axis] = i
    return (apply1(_TRANSPOSE, g, {"axes": tuple(inverse)}),)


_TRANSPOSE = primitive(
    "transpose",
    lambda x, axes: x.transpose(axes),
    _transpose_vjp,
    sample=fixed(
        (((2, 3),), {"axes": (1, 0)}),
        (((2, 3, 4),), {"axes": (2, 0, 1)}),
    ),
    view=True,
)


def transpose(x: Any, axes: Sequence[int] | None = None) -> Tensor:
    """Permute the axes, or reverse them; a view of the same memory.

    Parameters
    ----------
    x : Tensor or array_like
    axes : sequence of int, optional
        ``axes[i]`` is the axis of `x` that becomes axis ``i``.

    Returns
    -------
    Tensor
    """
    x = as_tensor(x)
    n = x.ndim
    if axes is None:
        axes = tuple(range(n - 1, -1, -1))
    else:
        axes = tuple(a + n if a < 0 else a for a in axes)
        if sorted(axes) != list(range(n)):
            raise ValueError(f"axes {axes} is not a permutation of {n} axes")
    return x if n < 2 else apply1(_TRANSPOSE, x, {"axes": axes})


def _contiguous_vjp(
    g: Tensor, out: None, inputs: tuple, needs: tuple, activation: bool
) -> tuple:
    return (g,)


_CONTIGUOUS = primitive(
    "contiguous", as_order, _contiguous_vjp, sample=unary(activation=True), view=True
)


def contiguous(x: Any, activation: bool = True) -> Tensor:
    """Put the elements into the memory order of an activation, or into C order."""
    x = as_tensor(x)
    a = x._data
    if is_activation(a) if activation else a.flags.c_contiguous:
        return x
    return apply1(_CONTIGUOUS, x, {"activation": activation})


# --- joining --------------------------------------------------------------------------


def _concatenate_forward(
    *arrays: np.ndarray, axis: int, lengths: tuple[int, ...]
) -> np.ndarray:
    first = arrays[0]
    shape = list(first.shape)
    shape[axis] = sum(lengths)
    activation = is_activation(first) or not first.flags.c_contiguous
    out = empty(tuple(shape), first.dtype, activation)
    return np.concatenate(arrays, axis, out=out)


def _concatenate_vjp(
    g: Tensor,
    out: None,
    inputs: tuple,
    needs: tuple,
    axis: int,
    lengths: tuple[int, ...],
) -> tuple:
    from sparsenn.ops.indexing import getitem

    lead = (slice(None),) * axis
    grads: list[Tensor | None] = []
    start = 0
    for need, length in zip(needs, lengths, strict=True):
        part = (*lead, slice(start, start + length))
        grads.append(getitem(g, part) if need else None)
        start += length
    return tuple(grads)


_CONCATENATE = primitive(
    "concatenate",
    _concatenate_forward,
    _concatenate_vjp,
    sample=fixed(
        (((2, 3), (1, 3)), {"axis": 0, "lengths": (2, 1)}),
        (((2, 3), (2, 1), (2, 2)), {"axis": 1, "lengths": (3, 1, 2)}),
        (((3,), (2,)), {"axis": 0, "lengths": (3, 2)}),
    ),
)


def concatenate(tensors: Sequence[Any], axis: int = 0) -> Tensor:
    """Join along an axis that exists.

    Parameters
    ----------
    tensors : sequence of Tensor or array_like
        Equal shapes but for `axis`.
    axis : int

    Returns
    -------
    Tensor
    """
    parts = _alike(tensors)
    n = parts[0].ndim
    axis = axis + n if axis < 0 else axis
    if not 0 <= axis < n:
        raise ValueError(f"axis {axis} is out of range for shape {parts[0].shape}")
    lengths = tuple(p.shape[axis] for p in parts)
    for p in parts:
        if p.ndim != n or _without(p.shape, axis) != _without(parts[0].shape, axis):
            raise ValueError(
                f"shapes {parts[0].shape} and {p.shape} differ on more than axis {axis}"
            )
    return apply(_CONCATENATE, parts, {"axis": axis, "lengths": lengths})


def _without(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return shape[:axis] + shape[axis + 1 :]


def _alike(tensors: Sequence[Any]) -> tuple[Tensor, ...]:
    if len(tensors) == 0:
        raise ValueError("need at least one tensor to join")
    first = next((t for t in tensors if type(t) is Tensor), None)
    parts = tuple(as_tensor(t, first) for t in tensors)
    if len({p.dtype for p in parts}) > 1:
        from sparsenn.ops.arithmetic import astype

        parts = tuple(astype(p, np.float64) for p in parts)
    return parts


def stack(tensors: Sequence[Any], axis: int = 0) -> Tensor:
    """Join tensors of one shape along a new axis.

    Parameters
    ----------
    tensors : sequence of Tensor or array_like
    axis : int
        The number of the new axis in the result.

    Returns
    -------
    Tensor
    """
    return concatenate([expand_dims(t, axis) for t in _alike(tensors)], axis)


Widths = tuple[tuple[int, int], ...]


def _pad_forward(x: np.ndarray, widths: Widths, value: float) -> np.ndarray:
    shape = tuple(n + a + b for n, (a, b) in zip(x.shape, widths, strict=True))
    out = empty(shape, x.dtype, is_activation(x))
    out[...] = value
    out[_inner(x.shape, widths)] = x
    return out


def _inner(shape: tuple[int, ...], widths: Widths) -> tuple[slice, ...]:
    return tuple(slice(a, a + n) for n, (a, _) in zip(shape, widths, strict=True))


def _pad_vjp(
    g: Tensor, out: None, inputs: tuple, needs: tuple, widths: Widths, value: float
) -> tuple:
    from sparsenn.ops.indexing import getitem

    return (getitem(g, _inner(inputs[0].shape, widths)),)


_PAD = primitive(
    "pad",
    _pad_forward,
    _pad_vjp,
    sample=lambda rng: [
        Sample((draw(rng, (2, 3)),), {"widths": ((1, 0), (2, 1)), "value": 0.0}),
        Sample((draw(rng, (3,)),), {"widths": ((1, 2),), "value": 1.5}),
    ],
    reference=lambda x, widths, value: np.pad(x, widths, constant_values=value),
)


def pad(x: Any, widths: Sequence[tuple[int, int]], value: float = 0.0) -> Tensor:
    """Surround with a constant.

    Parameters
    ----------
    x : Tensor or array_like
    widths : sequence of (int, int)
        Elements before and after, for each axis.
    value : float

    Returns
    -------
    Tensor
    """
    x = as_tensor(x)
    pairs = tuple((int(a), int(b)) for a, b in widths)
    if len(pairs) != x.ndim or any(a < 0 or b < 0 for a, b in pairs):
        raise ValueError(
            f"widths {pairs} must hold one pair of non-negative integers for each of "
            f"{x.ndim} axes"
        )
    return apply1(_PAD, x, {"widths": pairs, "value": value})
