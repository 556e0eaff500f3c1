"""Comparison of derivatives with finite differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from sparsenn.autograd.mode import enable_grad
from sparsenn.autograd.tape import grad
from sparsenn.autograd.tensor import Tensor

__all__ = ["GradcheckError", "gradcheck"]

# Five-point stencil: the error is O(h^4) of the fifth derivative and O(eps / h) of
# rounding, about 1e-12 of the terms that are added.
_STEP = 1e-3
_STENCIL = ((-2, 1 / 12), (-1, -8 / 12), (1, 8 / 12), (2, -1 / 12))


class GradcheckError(AssertionError):
    """A derivative differs from finite differences."""


def gradcheck(
    f: Callable[..., Any],
    inputs: Sequence[Any],
    order: int = 2,
    *,
    rtol: float = 1e-7,
    seed: int = 0,
) -> bool:
    """Check the derivatives of `f` up to an order along random directions.

    The function is projected on a random cotangent ``u`` and its gradient on a random
    direction ``v``; ``v . grad(u . f)`` must agree with the finite difference of
    ``u . f`` along ``v``. For each higher order the same is asked of the function that
    maps inputs and ``u`` to the gradient.

    Parameters
    ----------
    f : callable
        ``f(*tensors)`` returns a Tensor or a sequence of Tensors.
    inputs : sequence of array_like
        Taken as float64, away from kinks and poles by a few thousandths.
    order : int
        Highest order of derivative, at least 1.
    rtol : float
        Allowed difference, relative to the sum of the magnitudes of the terms.
    seed : int
        Of the random directions.

    Returns
    -------
    bool
        True.

    Raises
    ------
    GradcheckError
        If a derivative differs; both numbers are in the message.
    """
    if order < 1:
        raise ValueError(f"order is {order}; at least 1")
    arrays = [
        np.array(x._data if type(x) is Tensor else x, dtype=np.float64, order="K")
        for x in inputs
    ]
    with enable_grad():
        _check(f, arrays, 1, order, rtol, np.random.default_rng(seed))
    return True


def _outputs(f: Callable[..., Any], inputs: Sequence[Tensor]) -> list[Tensor]:
    result = f(*inputs)
    return [result] if type(result) is Tensor else list(result)


def _like(rng: np.random.Generator, array: np.ndarray) -> np.ndarray:
    out = np.empty_like(array)  # keeps the memory order
    out[...] = rng.uniform(0.5, 1.5, array.shape) * rng.choice([-1, 1], array.shape)
    return out


def _check(
    f: Callable[..., Any],
    arrays: list[np.ndarray],
    level: int,
    order: int,
    rtol: float,
    rng: np.random.Generator,
) -> None:
    variables = [Tensor(a, requires_grad=True) for a in arrays]
    outputs = _outputs(f, variables)
    cotangents = [_like(rng, y.data) for y in outputs]
    directions = [_like(rng, a) for a in arrays]
    grads = _pull(outputs, variables, [Tensor(u) for u in cotangents], False)
    exact = 0.0
    scale = 0.0
    for g, v in zip(grads, directions, strict=True):
        if g is not None:
            exact += float(np.sum(g.data * v))
            scale += float(np.sum(np.abs(g.data * v)))
    numeric = 0.0
    for k, c in _STENCIL:
        moved = [
            Tensor(a + k * _STEP * v) for a, v in zip(arrays, directions, strict=True)
        ]
        for y, u in zip(_outputs(f, moved), cotangents, strict=True):
            numeric += c / _STEP * float(np.sum(y.data * u))
            scale += abs(c) / _STEP * 1e-7 * float(np.sum(np.abs(y.data * u)))
    if not abs(exact - numeric) <= rtol * scale:
        raise GradcheckError(
            f"derivative of order {level}: {exact:.12g} by the backward pass, "
            f"{numeric:.12g} by finite differences, allowed difference "
            f"{rtol * scale:.3g}"
        )
    if level < order:
        n = len(arrays)

        def gradient(*args: Tensor) -> list[Tensor]:
            xs = [x if x.requires_grad else Tensor(x, True) for x in args[:n]]
            gs = _pull(_outputs(f, xs), xs, list(args[n:]), True)
            return [x * 0 if g is None else g for g, x in zip(gs, xs, strict=True)]

        _check(gradient, arrays + cotangents, level + 1, order, rtol, rng)


def _pull(
    outputs: list[Tensor],
    variables: list[Tensor],
    cotangents: list[Tensor],
    recorded: bool,
) -> list[Any]:
    """Gradients of the sum of the products of outputs and cotangents."""
    total: Tensor | None = None
    for y, u in zip(outputs, cotangents, strict=True):
        if y.requires_grad or u.requires_grad:
            term = (y * u).sum()
            total = term if total is None else total + term
    if total is None:
        return [None] * len(variables)
    return grad(total, variables, create_graph=recorded, allow_unused=True)
