"""Derivatives of functions of tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from sparsenn.autograd.mode import enable_grad
from sparsenn.autograd.tape import grad
from sparsenn.autograd.tensor import Tensor, as_tensor

__all__ = ["hvp", "value_and_grad"]


def _variables(params: Sequence[Any]) -> list[Tensor]:
    """The tensors themselves where they require gradients, else variables on them."""
    result = []
    for p in params:
        if type(p) is Tensor and p.requires_grad:
            result.append(p)
        else:
            result.append(Tensor(as_tensor(p)._data, requires_grad=True))
    return result


def value_and_grad(
    f: Callable[..., Tensor], params: Sequence[Any]
) -> tuple[Tensor, list[Tensor]]:
    """Value of a scalar function and its gradient.

    Parameters
    ----------
    f : callable
        ``f(*params)`` returns a scalar Tensor.
    params : sequence of Tensor or array_like

    Returns
    -------
    value : Tensor
        Detached.
    grads : list of Tensor
        Zero for parameters that `f` does not use.
    """
    variables = _variables(params)
    with enable_grad():
        y = f(*variables)
        grads = grad(y, variables, allow_unused=True)
    return y.detach(), _filled(grads, variables)


def hvp(
    f: Callable[..., Tensor], params: Sequence[Any], vectors: Sequence[Any]
) -> list[Tensor]:
    """Product of the Hessian of a scalar function with a vector.

    Two backward passes, the first one recorded (Pearlmutter, "Fast exact
    multiplication by the Hessian", 1994); no matrix is formed.

    Parameters
    ----------
    f : callable
        ``f(*params)`` returns a scalar Tensor. It may ignore its arguments and use
        the same tensors otherwise, as a closure over a model does.
    params : sequence of Tensor or array_like
    vectors : sequence of Tensor or array_like
        One for each parameter, of its shape.

    Returns
    -------
    list of Tensor
        One for each parameter, of its shape and dtype.
    """
    variables = _variables(params)
    if len(vectors) != len(variables):
        raise ValueError(f"{len(vectors)} vectors for {len(variables)} parameters")
    for i, (p, v) in enumerate(zip(variables, vectors, strict=True)):
        if np.shape(v._data if type(v) is Tensor else v) != p.shape:
            raise ValueError(
                f"vectors[{i}] has shape {np.shape(v)}, params[{i}] has {p.shape}"
            )
    with enable_grad():
        grads = grad(f(*variables), variables, create_graph=True, allow_unused=True)
        total: Tensor | None = None
        for g, v in zip(grads, vectors, strict=True):
            if g is not None and g.requires_grad:
                term = (g * as_tensor(v, g).detach().astype(g.dtype)).sum()
                total = term if total is None else total + term
        if total is None:
            return _filled([None] * len(variables), variables)
        return _filled(grad(total, variables, allow_unused=True), variables)


def _filled(grads: Sequence[Any], variables: list[Tensor]) -> list[Tensor]:
    return [
        Tensor(np.zeros_like(p._data)) if g is None else g
        for g, p in zip(grads, variables, strict=True)
    ]
