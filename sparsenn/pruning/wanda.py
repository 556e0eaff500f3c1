"""Wanda: weights that are small or have small inputs go."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from sparsenn.optim import Optimizer
from sparsenn.pruning.apply import prune
from sparsenn.pruning.choose import check_finite, keep_by_layer
from sparsenn.pruning.inputs import input_norms
from sparsenn.pruning.quotas import even_quotas
from sparsenn.pruning.result import Result, result_of
from sparsenn.pruning.weights import Kept, LayerName, Weight, target, weights_of
from sparsenn.sparse import apportion, largest_in_groups


def wanda(
    model: Any,
    batches: Iterable[Any],
    density: float,
    *,
    per_row: bool = True,
    keep_dense: Iterable[LayerName] = (),
    optimizer: Optimizer | None = None,
) -> Result:
    """Prunes a trained model by ``|w_ij| * ||x_j||``, without training it again.

    Layers are pruned one after another, from the input on, and each one's inputs come
    from the layers before as they are by then. Weights that stay keep their values.

    Parameters
    ----------
    model : Module
        Its parameters in the order in which they are used. It is evaluated, with
        dropout off and running statistics.
    batches : iterable of x, or of (x, y)
        The paper takes 128 samples. They are gone through once for each layer, and kept
        in a list if they can be gone through only once.
    density : float
        Of the whole network; every layer gets the same density, or all it has.
    per_row : bool
        Compare the inputs of each neuron among themselves, and leave every neuron as
        many (or one less, or all that it has): the paper's choice. False: compare all
        weights of a layer.
    keep_dense : iterable of int or str
        Layers that keep every connection that they have.
    optimizer : Optimizer, optional
        Its state follows.

    Returns
    -------
    Result

    Notes
    -----
    Takes forward passes alone, as many as layers times batches, and memory for one
    number an input and 35 bytes a connection of one layer while it is pruned. To
    recover more, train on: patterns stay as they are, ``fit`` needs no other argument.

    References
    ----------
    Sun et al., "A simple and effective pruning approach for large language models",
    arXiv:2306.11695, equation 1.
    """
    weights = weights_of(model, keep_dense)
    total = target(weights, density)
    counts = _uniform(weights, total)
    batches = repeatable(batches)
    for weight, count in zip(weights, counts, strict=True):
        if weight.exempt:
            continue
        scores = wanda_scores(model, weight, batches)
        pattern = weight.param.pattern
        keep: Kept
        if per_row:
            quotas = even_quotas(np.diff(pattern.indptr), count)
            keep = largest_in_groups(pattern, scores, quotas, max(pattern.shape[1], 1))
        else:
            keep = keep_by_layer([weight], [scores], [count])[0]
        prune([weight], [keep], optimizer)
    return result_of("wanda", weights)


def wanda_scores(model: Any, weight: Weight, batches: Iterable[Any]) -> np.ndarray:
    """``|w_ij| * ||x_j||`` of one weight, float64, shape (nnz,), storage order."""
    norms = input_norms(model, weight, batches)
    values = weight.param.values.data
    check_finite(weight, values)
    rows, columns = weight.param.positions()
    rows //= max(weight.param.shape[0] // len(norms), 1)  # their groups
    scores = norms[rows, columns]
    scores *= np.abs(values)
    return scores


def repeatable(batches: Iterable[Any]) -> Iterable[Any]:
    """The batches, as a list if they can be gone through only once."""
    return list(batches) if iter(batches) is batches else batches


def _uniform(weights: list[Weight], total: int) -> list[int]:
    """Connections of each weight: all of the exempt, one density for the others."""
    open_ = [w for w in weights if not w.exempt]
    left = total - sum(w.before for w in weights if w.exempt)
    shares = apportion(left, [w.n_positions for w in open_], [w.before for w in open_])
    counts = iter(shares)
    return [w.before if w.exempt else next(counts) for w in weights]
