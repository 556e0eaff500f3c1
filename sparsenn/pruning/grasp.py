"""GraSP: connections that carry the flow of the gradient, before training."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np

from sparsenn.autograd import enable_grad
from sparsenn.ops import OuterSum
from sparsenn.ops.curvature import hessian_product
from sparsenn.optim import Optimizer
from sparsenn.pruning.apply import mode, prune
from sparsenn.pruning.batches import (
    LossFunction,
    batches_of,
    gradients,
    loss_of,
    noting,
)
from sparsenn.pruning.choose import Scores
from sparsenn.pruning.result import Result, result_of
from sparsenn.pruning.rounds import Masks
from sparsenn.pruning.shares import Scope, Shares
from sparsenn.pruning.stream import Tiles
from sparsenn.pruning.values import Seed, Values, revaluer
from sparsenn.pruning.weights import LayerName, Weight, target, weights_of


def grasp(
    model: Any,
    loss_fn: LossFunction,
    batches: Iterable[Any],
    density: float,
    *,
    temperature: float = 200.0,
    absolute: bool = False,
    scope: Scope = "global",
    allocation: str = "erk",
    invert: bool = False,
    values: Values = "keep",
    training: bool = False,
    keep_dense: Iterable[LayerName] = (),
    seed: Seed = None,
    optimizer: Optimizer | None = None,
) -> Result:
    """GraSP: keeps the connections whose removal would weaken the gradient most.

    With g the gradient of all weights and H their Hessian, a connection scores
    ``S = -w * (H g)``, the change of half of ``|g|^2`` when the connection begins to
    shrink. The **lowest** S are kept, that is the highest ``w * (H g)``.

    Parameters
    ----------
    model : callable with parameters()
        May hold virtual weights, whose positions are all candidates.
    loss_fn : callable
        ``(output, y) -> loss``, the mean over a batch.
    batches : iterable of (x, y)
        Ten samples of each class in the authors' runs. g and H are those of the mean
        over all samples.
    density : float
        Of the whole network afterwards.
    temperature : float
        What the output is divided by before the loss: with logits near 0 the ranking
        hardly depends on the predictions. It is settled from 50 on.
    absolute : bool
        Keep the largest ``|w * (H g)|`` instead, which Frankle et al. found better.
    scope, allocation, training, keep_dense, seed, optimizer
        As of :func:`snip`.
    invert : bool
        Keep what would be removed: a control.
    values : {"keep", "rescale", "redraw"}
        As of :func:`snip`; the authors keep them, but in their code draw the fully
        connected layers anew for scoring.

    Returns
    -------
    Result

    Notes
    -----
    H is exact, by a second backward pass through the first. Scores fall with the square
    of the temperature; where they would vanish in float32, compute in float64. A loss
    times c has the same ranking.

    References
    ----------
    Wang, Zhang & Grosse, "Picking winning tickets before training by preserving
    gradient flow", arXiv:2002.07376, equation 8; Frankle et al., arXiv:2009.08576.
    """
    if not 0.0 < temperature < np.inf:
        raise ValueError(f"temperature must be positive and finite, got {temperature}")
    weights = weights_of(model, keep_dense, virtual=True)
    total = target(weights, density)
    shares = Shares(scope, allocation)
    given = batches_of(batches)
    revalue = revaluer(weights, values, seed, optimizer)
    with Masks(weights, revive=False) as masks, mode(model, training):
        products = _hessian_gradients(model, loss_fn, given, weights, temperature)
        sign = -1 if invert else 1
        scores = [
            _flow(w, product, absolute, sign)
            for w, product in zip(weights, products, strict=True)
        ]
        kept = masks.choose(scores, total, shares)
    prune(weights, kept, optimizer)
    for weight in weights:
        revalue(weight)
    return result_of("grasp", weights)


def _hessian_gradients(
    model: Any,
    loss_fn: LossFunction,
    batches: Sequence[tuple[Any, Any, float]],
    weights: Sequence[Weight],
    temperature: float,
) -> list[np.ndarray | OuterSum]:
    """H g of the mean loss over all samples; of stored weights at the connections."""
    params = [w.param for w in weights]
    vectors = None
    if len(batches) > 1:
        vectors = gradients(model, loss_fn, batches, weights, temperature)
    sums: list[Any] = [None] * len(weights)
    with noting(weights, stored=True), enable_grad():
        for batch in batches:
            loss = loss_of(model, loss_fn, batch, temperature)
            for i, product in enumerate(hessian_product(loss, params, vectors)):
                stored = weights[i].param.virtual is None
                more = product.on(params[i].pattern) if stored else product
                sums[i] = more if sums[i] is None else sums[i] + more
    return sums


def _flow(
    weight: Weight, product: np.ndarray | OuterSum, absolute: bool, sign: int
) -> Scores:
    """``sign * w * (H g)``, or of its magnitude; what is highest stays."""
    param = weight.param
    if isinstance(product, np.ndarray):
        return _signed(param.values.data * product, absolute, sign)
    assert param.virtual is not None
    kind: Literal["magnitude", "value"] = "magnitude" if absolute else "value"
    return Tiles(weight.name, param.virtual, product, kind, sign)


def _signed(flow: np.ndarray, absolute: bool, sign: int) -> np.ndarray:
    if absolute:
        np.abs(flow, out=flow)
    return np.negative(flow, out=flow) if sign < 0 else flow
