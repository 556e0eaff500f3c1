"""The gradient of a loss and the Hessian's product with it, as sums of outer products.

With g the gradient for the connections of all weights, 0 elsewhere, and H the Hessian
for all *positions*, ``H g`` is the derivative of half of ``|g|^2``: what moving or
adding a connection does to the flow of the gradient. It costs two backward passes, one
of them recorded, and no matrix.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sparsenn.autograd import Tensor, enable_grad, grad
from sparsenn.autograd.tensor import wrap
from sparsenn.ops.arithmetic import mul
from sparsenn.ops.outer_sum import OuterSum
from sparsenn.ops.product import matmul
from sparsenn.ops.reduce import sum as reduce_sum
from sparsenn.sparse import SparseParameter


def gradient_flow(
    loss: Tensor, params: Sequence[SparseParameter]
) -> tuple[list[OuterSum], list[OuterSum]]:
    """``loss.backward()``, with g and Hg of sparse weights at every position.

    Parameters
    ----------
    loss : Tensor
        A scalar, computed while the ``factors`` of all `params` were lists.
    params : sequence of SparseParameter
        The weights that g and H are of. Other variables are constants of H.

    Returns
    -------
    gradients, products : list of OuterSum
        g and ``H g`` of each weight, at inactive positions as well; g in the product
        has the connections' gradient alone.

    Raises
    ------
    RuntimeError
        If a weight kept no factors when the loss was computed, or has a gate.

    Notes
    -----
    Every variable's ``grad`` holds what ``loss.backward()`` puts there, to the bit, and
    the weights' ``factors`` those of this gradient, after what they held before.

    References
    ----------
    Wang et al., "Picking winning tickets before training by preserving gradient flow",
    arXiv:2002.07376, equation 6; Pearlmutter, "Fast exact multiplication by the
    Hessian", 1994.
    """
    lists = _factor_lists(params)
    before = [len(noted) for noted in lists]
    loss.backward(retain_graph=True)
    ours = [noted[n:] for noted, n in zip(lists, before, strict=True)]
    kept = [list(noted) for noted in lists]
    try:
        products = hessian_product(loss, params)
    finally:
        for noted, factors in zip(lists, kept, strict=True):
            noted[:] = factors
    return [
        OuterSum(factors or [_nothing(param)])
        for param, factors in zip(params, ours, strict=True)
    ], products


def hessian_product(
    loss: Tensor,
    params: Sequence[SparseParameter],
    vectors: Sequence[np.ndarray | OuterSum] | None = None,
) -> list[OuterSum]:
    """``H v`` of sparse weights at every position, with v on the connections alone.

    Parameters
    ----------
    loss : Tensor
        As of `gradient_flow`; its graph is used up.
    params : sequence of SparseParameter
    vectors : sequence of ndarray, shape (nnz,), or OuterSum; or None
        v of each weight, in storage order or, of a virtual one, as a sum of outer
        products; None: its gradient.

    Returns
    -------
    list of OuterSum
        One for each weight. Its ``factors`` are left empty.

    Raises
    ------
    RuntimeError
        If a weight kept no factors when the loss was computed.
    """
    lists = _factor_lists(params)
    for noted in lists:
        noted.clear()
    values = [param.stored for param in params]
    gradients = grad(loss, values, create_graph=True, allow_unused=True)
    recorded = [list(noted) for noted in lists]
    for param, noted, g in zip(params, lists, gradients, strict=True):
        if g is not None and not noted:
            raise RuntimeError(
                f"weight {param.name!r} kept no factors of this loss; set its "
                "`factors` to a list before computing the loss"
            )
    total: Tensor | None = None
    for noted in lists:
        noted.clear()
    with enable_grad():
        for i, g in enumerate(gradients):
            if params[i].virtual is not None:
                term = _inner(recorded[i], None if vectors is None else vectors[i])
            elif g is None or not g.requires_grad:
                term = None
            else:
                v = g.detach() if vectors is None else wrap(np.asarray(vectors[i]))
                term = reduce_sum(mul(g, v))
            if term is None:
                continue
            total = term if total is None else total + term
    if total is not None:
        grad(total, values, allow_unused=True)
    products = [
        OuterSum(noted or [_nothing(param)])
        for param, noted in zip(params, lists, strict=True)
    ]
    for noted in lists:
        noted.clear()
    return products


def _inner(factors: list[tuple[Tensor, Tensor]], vector: Any) -> Tensor | None:
    """<g, v> of a virtual weight, both sums of outer products; v is g itself if None.

    ``<a^T b, c^T d>`` is the sum of ``(a c^T) * (b d^T)``, matrices of batch by batch.
    """
    constant = [(a.data, b.data) for a, b in factors]
    total: Tensor | None = None
    for a, b in factors:
        for c, d in constant if vector is None else vector.factors:
            term = reduce_sum(mul(matmul(a, wrap(c.T)), matmul(b, wrap(d.T))))
            total = term if total is None else total + term
    return total


def _factor_lists(params: Sequence[SparseParameter]) -> list[list[Any]]:
    lists = [param.factors for param in params]
    for param, noted in zip(params, lists, strict=True):
        param.check_ungated("differentiated by position")
        if noted is None:
            raise RuntimeError(
                f"weight {param.name!r} keeps no factors; set its `factors` to a list "
                "before computing the loss"
            )
    return [noted for noted in lists if noted is not None]


def _nothing(param: SparseParameter) -> tuple[np.ndarray, np.ndarray]:
    """Factors of zero, for a weight that a loss (or its gradient) is not made from."""
    n_out, n_in = param.shape
    dtype = param.dtype
    return np.zeros((1, n_out), dtype), np.zeros((1, n_in), dtype)
