"""N:M sparsity: at most n of every m consecutive inputs of a neuron."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import numpy as np

from sparsenn.optim import Optimizer
from sparsenn.pruning.apply import prune
from sparsenn.pruning.choose import check_finite
from sparsenn.pruning.result import Result, result_of
from sparsenn.pruning.wanda import repeatable, wanda_scores
from sparsenn.pruning.weights import LayerName, weights_of
from sparsenn.sparse import largest_in_groups


def n_m(
    model: Any,
    n: int,
    m: int,
    *,
    score: Literal["magnitude", "wanda"] = "magnitude",
    batches: Iterable[Any] | None = None,
    keep_dense: Iterable[LayerName] = (),
    optimizer: Optimizer | None = None,
) -> Result:
    """Keeps the n best of every m consecutive inputs of each neuron.

    Parameters
    ----------
    model : Module
    n, m : int
        0 <= n <= m. The usual 2:4 is ``n_m(model, 2, 4)``.
    score : {"magnitude", "wanda"}
        ``|w_ij|``, or ``|w_ij| * ||x_j||`` over batches, layer by layer as in `wanda`.
    batches : iterable of x, or of (x, y)
        For ``"wanda"``.
    keep_dense : iterable of int or str
        Layers that keep every connection that they have.
    optimizer : Optimizer, optional
        Its state follows.

    Returns
    -------
    Result

    Notes
    -----
    Groups are inputs ``0..m-1``, ``m..2m-1`` and so on. Of a full weight every group
    keeps exactly n; where fewer are connected, all of them. Where m does not divide the
    number of inputs, the last group is filled up with absent inputs, as hardware does:
    it keeps n of those that there are, or all of them.

    Fine-tune afterwards: the pattern stays while the weights train. To train *towards*
    it, alternate training with ``n_m(model, n, m, optimizer=opt)`` for falling n.

    References
    ----------
    Zhou et al., "Learning N:M fine-grained structured sparse neural networks from
    scratch", arXiv:2102.04010; Mishra et al., "Accelerating sparse deep neural
    networks", arXiv:2104.08378.
    """
    if not 0 <= n <= m or m < 1:
        raise ValueError(f"n:m is {n}:{m}, it must have 0 <= n <= m and m >= 1")
    if score not in ("magnitude", "wanda"):
        raise ValueError(f"score must be 'magnitude' or 'wanda', got {score!r}")
    if (score == "wanda") != (batches is not None):
        raise ValueError(
            "score='wanda' needs batches" if batches is None else
            "batches are for score='wanda' only"
        )  # fmt: skip
    weights = weights_of(model, keep_dense)
    data = None if batches is None else repeatable(batches)
    for weight in weights:
        if weight.exempt:
            continue
        pattern, values = weight.param.pattern, weight.param.values.data
        if data is None:
            check_finite(weight, values)
            scores = np.abs(values)
        else:
            scores = wanda_scores(model, weight, data)
        quotas = np.full(pattern.shape[0], n)
        prune([weight], [largest_in_groups(pattern, scores, quotas, m)], optimizer)
    return result_of(f"{n}:{m} {score}", weights)
