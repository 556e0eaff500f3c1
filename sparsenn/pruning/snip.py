"""SNIP: connections whose removal would change the loss most, in one or many rounds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from sparsenn.optim import Optimizer
from sparsenn.pruning.apply import mode, prune
from sparsenn.pruning.batches import LossFunction, batches_of, gradients
from sparsenn.pruning.result import Result, result_of
from sparsenn.pruning.rounds import Masks
from sparsenn.pruning.shares import Shares, exponential
from sparsenn.pruning.values import Seed, Values, revaluer
from sparsenn.pruning.weights import LayerName, target, weights_of


def snip(
    model: Any,
    loss_fn: LossFunction,
    batches: Iterable[Any],
    density: float,
    *,
    rounds: int = 1,
    scope: Literal["global", "layer"] = "global",
    allocation: str = "erk",
    invert: bool = False,
    values: Values = "redraw",
    training: bool = False,
    keep_dense: Iterable[LayerName] = (),
    seed: Seed = None,
    optimizer: Optimizer | None = None,
) -> Result:
    """SNIP: keeps the connections that the loss depends on most, before training.

    A connection scores ``|w * dL/dw|``, the size of the loss's derivative for a factor
    1 on the connection.

    Parameters
    ----------
    model : callable with parameters()
        May hold virtual weights, whose positions are all candidates.
    loss_fn : callable
        ``(output, y) -> loss``, the mean over a batch.
    batches : iterable of (x, y)
        One batch of 100 samples in the paper. The gradient is that of the mean over all
        samples; every round uses them all.
    density : float
        Of the whole network afterwards.
    rounds : int
        1: the paper. More: iterative SNIP, which scores what is left again after every
        round and prunes to ``density ** (r / rounds)`` in round r.
    scope : {"global", "layer"}
        ``layer`` ranks each layer by itself and shares the connections among layers by
        `allocation`, as RigL's authors do when they compare.
    allocation : {"erk", "er", "uniform", "igq"}
        For ``scope="layer"``, see :func:`sparsenn.sparse.allocate`.
    invert : bool
        Keep the lowest scores: a control.
    values : {"redraw", "keep", "rescale"}
        Values of what stays. ``redraw``: a fresh draw, scaled by the connections that
        there are (the paper, whose scored and trained weights are independent draws).
        ``keep``: those scored. ``rescale``: those scored, brought to the scale of the
        real fan-in. A model that is trained already wants ``keep``.
    training : bool
        Behaviour of batch normalisation and dropout while scoring; buffers and modes
        are restored.
    keep_dense : iterable of int or str
        Layers that keep every connection that they have.
    seed : int, Generator or None
        Of redrawn values.
    optimizer : Optimizer, optional
        Its state follows.

    Returns
    -------
    Result

    Raises
    ------
    ValueError
        If a score is not finite, before anything changes.

    Notes
    -----
    Biases are neither scored nor pruned; in the authors' code they are scored 0 and so
    pruned. One round costs a forward and a backward pass; of virtual weights, which are
    drawn for each, one more with their gradient.

    References
    ----------
    Lee, Ajanthan & Torr, "SNIP: single-shot network pruning based on connection
    sensitivity", arXiv:1810.02340; de Jorge et al., "Progressive skeletonization",
    arXiv:2006.09081, for the rounds.
    """
    return _by_sensitivity(
        "snip", model, loss_fn, batches, density, rounds=rounds,
        shares=Shares(scope, allocation), invert=invert, values=values,
        training=training, keep_dense=keep_dense, seed=seed, optimizer=optimizer,
        revive=False,
    )  # fmt: skip


def force(
    model: Any,
    loss_fn: LossFunction,
    batches: Iterable[Any],
    density: float,
    *,
    rounds: int = 60,
    scope: Literal["global", "layer"] = "global",
    allocation: str = "erk",
    invert: bool = False,
    values: Values = "keep",
    training: bool = False,
    keep_dense: Iterable[LayerName] = (),
    seed: Seed = None,
    optimizer: Optimizer | None = None,
) -> Result:
    """FORCE: SNIP in rounds, where what was pruned may come back.

    The gradient is that of the network as pruned so far, at every candidate position;
    it is multiplied by the value that the connection would have. So each round chooses
    anew among all connections that the model began with.

    Parameters
    ----------
    model, loss_fn, batches, density
        As of :func:`snip`.
    rounds : int
        60, as in the authors' runs; 10 is their code's default. Round r keeps
        ``density ** (r / rounds)`` of the connections.
    scope, allocation, invert, training, keep_dense, seed, optimizer
        As of :func:`snip`.
    values : {"keep", "rescale", "redraw"}
        As of :func:`snip`; the authors keep the values.

    Returns
    -------
    Result

    Notes
    -----
    The loss is the one that is given. In the authors' code it is minus the mean logit
    of the true class, because their models have no softmax before the negative log
    likelihood.

    References
    ----------
    de Jorge et al., "Progressive skeletonization: trimming more fat from a network at
    initialization", arXiv:2006.09081, algorithm 1.
    """
    return _by_sensitivity(
        "force", model, loss_fn, batches, density, rounds=rounds,
        shares=Shares(scope, allocation), invert=invert, values=values,
        training=training, keep_dense=keep_dense, seed=seed, optimizer=optimizer,
        revive=True,
    )  # fmt: skip


def _by_sensitivity(
    method: str,
    model: Any,
    loss_fn: LossFunction,
    batches: Iterable[Any],
    density: float,
    *,
    rounds: int,
    shares: Shares,
    invert: bool,
    values: Values,
    training: bool,
    keep_dense: Iterable[LayerName],
    seed: Seed,
    optimizer: Optimizer | None,
    revive: bool,
) -> Result:
    weights = weights_of(model, keep_dense, virtual=True)
    steps = exponential(weights, target(weights, density), rounds)
    given = batches_of(batches)
    revalue = revaluer(weights, values, seed, optimizer)
    sign = -1 if invert else 1
    with Masks(weights, revive=revive) as masks, mode(model, training):
        for total in steps[:-1]:
            found = gradients(model, loss_fn, given, weights)
            masks.shrink(masks.sensitivities(found, sign), total, shares)
        found = gradients(model, loss_fn, given, weights)
        kept = masks.choose(masks.sensitivities(found, sign), steps[-1], shares)
    prune(weights, kept, optimizer)
    for weight in weights:
        revalue(weight)
    return result_of(method, weights, rounds=rounds)
