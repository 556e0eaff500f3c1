"""The activation that a linear layer's kernel applies, and its derivative."""

from __future__ import annotations

from sparsenn import _core
from sparsenn.autograd import Tensor, is_recording
from sparsenn.autograd.array import as_order
from sparsenn.autograd.tensor import wrap
from sparsenn.ops.arithmetic import mul
from sparsenn.ops.reduce import sum as reduce_sum

IDENTITY, RELU = 0, 1


def activation_backward(
    g: Tensor, out: Tensor | None, needs_bias: bool, activation: int
) -> tuple[Tensor, Tensor | None]:
    """Gradients before the activation and of the bias.

    Parameters
    ----------
    g : Tensor, shape (batch, n_out)
        Of the result.
    out : Tensor or None
        The result; None without an activation.
    needs_bias : bool
    activation : int

    Returns
    -------
    Tensor, shape (batch, n_out), and Tensor, shape (n_out,), or None
    """
    if is_recording():
        if out is not None:
            g = mul(g, wrap((out.data > 0).astype(g.dtype)))
        return g, reduce_sum(g, axis=0) if needs_bias else None
    if out is None and not needs_bias:
        return g, None
    y = g.data if out is None else out.data
    dz, db = _core.activation_backward(
        activation, as_order(y, True), as_order(g.data, True)
    )
    return wrap(dz), wrap(db)
