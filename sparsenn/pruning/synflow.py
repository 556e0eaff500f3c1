"""SynFlow: pruning before training, without data, that no layer is emptied by."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Literal

import numpy as np

from sparsenn.optim import Optimizer
from sparsenn.pruning.apply import prune
from sparsenn.pruning.flow import Flow
from sparsenn.pruning.graph import effective
from sparsenn.pruning.result import Result, result_of
from sparsenn.pruning.signal import Signal, is_chain
from sparsenn.pruning.signal_flow import SignalFlow
from sparsenn.pruning.values import Seed, Values, revaluer
from sparsenn.pruning.weights import (
    Kept,
    LayerName,
    Model,
    Weight,
    target,
    weights_of,
)
from sparsenn.sparse.living import LivingWeight


def synflow(
    model: Model,
    density: float,
    *,
    rounds: int = 100,
    schedule: Literal["exponential", "adaptive"] = "exponential",
    share: float = 0.2,
    input_shape: tuple[int, ...] | None = None,
    keep_dense: Iterable[LayerName] = (),
    invert: bool = False,
    values: Values = "keep",
    seed: Seed = None,
    optimizer: Optimizer | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Result:
    """Prunes by the flow through each connection of ``|W|``, again and again.

    The score of a connection is ``|w_ij| dR / d|w_ij|`` with R the sum of the outputs
    for an input of ones through the magnitudes of all weights: the flow through it.
    Each round keeps the strongest of what is left, over all layers.

    Parameters
    ----------
    model : Model
        Biases, normalisation and activations are left out of the flow, which is exact
        for ReLU networks before training. Virtual weights of a chain take their
        positions as candidates, and a bit of memory for each. In a model that is no
        chain (with convolutions, branches, attention or states) a pass of one sample
        forward and back tells what flows, and virtual weights are stored before. There
        queries, keys and values, and the gates of a recurrent layer, are paths beside
        each other, and a state is followed over two steps.
    density : float
        Of the whole network afterwards.
    rounds : int
        Of the exponential schedule: after round k ``(density / density now)^(k /
        rounds)`` of the connections are left.
    schedule : {"exponential", "adaptive"}
        "adaptive" removes in each round the weakest that carry at most `share` of the
        flow together, so that a path always remains; 10 to 40 rounds where the paper
        takes 100.
    share : float
        Of the adaptive schedule, in (0, 1).
    input_shape : tuple of int, optional
        Of one sample. Of a chain only checked: it follows from the first weight. Of
        another model needed if its first module does not say.
    keep_dense : iterable of int or str
        Layers that keep every connection that they have.
    invert : bool
        Keep the weakest instead (a control; use one round).
    values : {"keep", "rescale", "redraw"}
        Values of what stays, as of :func:`sparsenn.pruning.snip`; the paper keeps them.
    seed : int, Generator or None
        Of redrawn values.
    optimizer : Optimizer, optional
        Its state follows.
    progress : callable, optional
        ``progress(connections left, connections wanted)`` after each round.

    Returns
    -------
    Result
        With the connections on a path from input to output as `effective`.

    Raises
    ------
    ValueError
        If weights that are listed as a chain form none, a value is not finite, or an
        argument is out of range.
    TypeError
        If a model that is no chain does not say what shape a sample has.
    OverflowError
        If what flows through a model that is no chain is beyond float64.

    Notes
    -----
    Sums are in float64 and rescaled by powers of two from layer to layer, so that deep
    networks neither overflow nor underflow. Of equal scores, which the in- and the
    outgoing connection of a neuron with one of each always have, the lower (layer, row,
    column) stays. Connections orphaned in the last round stay, as in the paper:
    :func:`sparsenn.pruning.drop_ineffective` removes them.

    References
    ----------
    Tanaka, Kunin, Yamins & Ganguli, "Pruning neural networks without any data by
    iteratively conserving synaptic flow", arXiv:2006.05467, algorithm 1.
    """
    if rounds < 1:
        raise ValueError(f"rounds must be at least 1, got {rounds}")
    if not 0 < share < 1:
        raise ValueError(f"share must be in (0, 1), got {share}")
    if schedule not in ("exponential", "adaptive"):
        raise ValueError(
            f"schedule must be 'exponential' or 'adaptive', got {schedule!r}"
        )
    weights = weights_of(model, keep_dense, virtual=True)
    revalue = revaluer(weights, values, seed, optimizer)
    flow: Flow | SignalFlow
    if hasattr(model, "chain") and not is_chain(model):
        for weight in weights:
            if weight.param.virtual is not None:
                weight.param.materialize(*weight.everything())
            _check_finite(weight)
        flow = SignalFlow(Signal(model, input_shape), weights, weakest=invert)
    else:
        _check_chain(model, weights, input_shape)
        living = [_living(weight) for weight in weights]
        flow = Flow(living, [not w.exempt for w in weights], weakest=invert)
    wanted = target(weights, density) - sum(w.before for w in weights if w.exempt)
    first, done = flow.live, 0
    while flow.live > wanted or not done:
        done += 1
        if schedule == "adaptive":
            flow.shed(share, wanted)
        else:
            ratio = wanted / first if first else 1.0
            count = wanted
            if done < rounds:
                count = max(round(first * ratio ** (done / rounds)), wanted)
            flow.keep(count)
        if progress is not None:
            progress(flow.live, wanted)
        if done >= rounds and schedule == "exponential":
            break
    if isinstance(flow, Flow):
        kept = zip(weights, flow.finish(), strict=True)
        prune(weights, [_left(weight, csr) for weight, csr in kept], optimizer)
        reached = effective([w.param for w in weights])
    else:
        prune(weights, flow.finish(), optimizer)
        reached = effective(model, input_shape)
    for weight in weights:
        revalue(weight)
    return result_of("synflow", weights, rounds=done, effective=reached.effective)


def _check_chain(
    model: Model, weights: Sequence[Weight], input_shape: tuple[int, ...] | None
) -> None:
    if hasattr(model, "chain"):  # raises if the model does not know
        chain = [id(param) for param in model.chain()]
        if chain != [id(w.param) for w in weights]:
            raise ValueError(
                f"chain() of {type(model).__name__} lists {len(chain)} weights, the "
                f"model has {len(weights)} ({', '.join(w.name for w in weights)}); "
                "synflow needs all of them, each once, in the order of parameters()"
            )
    for a, b in pairwise(weights):
        if b.param.shape[1] != a.param.shape[0]:
            raise ValueError(
                f"synflow follows a chain of weights, but {a.name!r} has "
                f"{a.param.shape[0]} outputs and {b.name!r} {b.param.shape[1]} inputs"
            )
    n_in = weights[0].param.shape[1]
    if input_shape is not None and math.prod(input_shape) != n_in:
        raise ValueError(
            f"input_shape is {input_shape}, the first weight takes {n_in} features"
        )


def _living(weight: Weight) -> LivingWeight:
    param = weight.param
    if param.virtual is not None:
        return LivingWeight(param.virtual)
    _check_finite(weight)
    return LivingWeight((param.pattern, param.values.data))


def _check_finite(weight: Weight) -> None:
    if weight.param.virtual is None and not np.isfinite(weight.param.values.data).all():
        raise ValueError(f"weight {weight.name!r} holds values that are not finite")


def _left(weight: Weight, csr: tuple[np.ndarray, np.ndarray]) -> Kept:
    """What is left of a weight: a mask in storage order, of a virtual one CSR."""
    param = weight.param
    if param.virtual is not None:
        return csr
    n_cols = max(param.shape[1], 1)
    every = param.pattern.to_canonical(param.pattern.ranks())
    rows = np.repeat(np.arange(param.shape[0]), np.diff(csr[0]))
    keep = np.isin(every, rows * n_cols + csr[1], assume_unique=True)
    return param.pattern.from_canonical(keep)
