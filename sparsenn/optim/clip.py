"""Gradient clipping."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from sparsenn.optim.base import Parameter, check_number
from sparsenn.sparse import SparseGradient, SparseParameter


def clip_grad_norm(params: Iterable[Parameter], max_norm: float) -> float:
    """Scales all gradients in place so that their global L2 norm is at most `max_norm`.

    The norm is summed in float64 over canonical (row, column) order, so it does not
    depend on how a layer stores its connections, nor on whether a gradient came as a
    `SparseGradient`, which stays one.

    Parameters
    ----------
    params : iterable of SparseParameter or Tensor
    max_norm : float
        Positive.

    Returns
    -------
    float
        The norm before scaling.
    """
    check_number("max_norm", max_norm, minimum=0.0)
    params = list(params)
    total = 0.0
    for param in params:
        gradient = param.grad
        if gradient is None:
            continue
        array = gradient.data
        if isinstance(param, SparseParameter):
            array = param.pattern.to_canonical(array)
        total += float(np.sum(np.square(array, dtype=np.float64)))
    norm = float(np.sqrt(total))
    if norm > max_norm:
        for param in params:
            gradient = param.grad
            if isinstance(gradient, SparseGradient):
                gradient.values *= gradient.dtype.type(max_norm / norm)
            elif gradient is not None:
                array = gradient.data
                array *= array.dtype.type(max_norm / norm)
                gradient.touch()
    return norm
