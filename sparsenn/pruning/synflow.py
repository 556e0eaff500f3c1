"""SynFlow: pruning before training, without data, that no layer is emptied by."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Literal

import numpy as np

from sparsenn.optim import Optimizer
from sparsenn.pruning.apply import prune
from sparsenn.pruning.flow import StoredFlow, VirtualFlow
from sparsenn.pruning.flow_choice import keep_share, keep_strongest
from sparsenn.pruning.graph import effective
from sparsenn.pruning.result import Result, result_of
from sparsenn.pruning.values import Seed, Values, revaluer
from sparsenn.pruning.weights import (
    Kept,
    LayerName,
    Model,
    Weight,
    target,
    weights_of,
)

Flow = StoredFlow | VirtualFlow
# A virtual weight is written out when so few of its positions are left.
_FEW = 1 / 64
_MOST = 20_000_000


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
        A chain of weights. Biases, normalisation and activations are left out of the
        flow, which is exact for ReLU networks before training. Virtual weights take
        their positions as candidates, and a bit of memory for each.
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
        Of one sample. Only checked: it follows from the first weight.
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
        If the weights do not form a chain, a value is not finite, or an argument is out
        of range.
    TypeError
        If the model's ``chain()`` cannot say how its weights are connected.

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
    _check_chain(model, weights, input_shape)
    total = target(weights, density)
    flows = [_flow_of(weight) for weight in weights]
    open_ = [i for i, weight in enumerate(weights) if not weight.exempt]
    wanted = total - sum(len(flows[i]) for i in range(len(flows)) if i not in open_)
    first = sum(len(flows[i]) for i in open_)
    done, left = 0, first
    while left > wanted or not done:
        done += 1
        vectors = _vectors(flows)
        candidates = [(flows[i], *vectors[i]) for i in open_]
        if schedule == "adaptive":
            keep_share(candidates, wanted, share)
        else:
            ratio = wanted / first if first else 1.0
            count = (
                wanted if done >= rounds else round(first * ratio ** (done / rounds))
            )
            keep_strongest(candidates, max(count, wanted), invert)
        flows = [_written_out(flow) for flow in flows]
        left = sum(len(flows[i]) for i in open_)
        if progress is not None:
            progress(left, wanted)
        if done >= rounds and schedule == "exponential":
            break
    prune(
        weights, [_left(*pair) for pair in zip(weights, flows, strict=True)], optimizer
    )
    for weight in weights:
        revalue(weight)
    reached = effective([w.param for w in weights])
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


def _flow_of(weight: Weight) -> Flow:
    param = weight.param
    if param.virtual is not None:
        return VirtualFlow(param.virtual)
    flow = StoredFlow.of(param)
    if not np.isfinite(flow.magnitudes).all():
        raise ValueError(f"weight {weight.name!r} holds values that are not finite")
    return flow


def _vectors(flows: Sequence[Flow]) -> list[tuple[np.ndarray, np.ndarray, int]]:
    """For each weight g, x and an exponent e: its scores are ``g |w| x 2^e``.

    All weights' exponents are relative to the first one's.
    """
    xs, entering = [np.ones(flows[0].shape[1])], [0]
    for flow in flows[:-1]:
        x, exponent = _scaled(flow.forward(xs[-1]))
        xs.append(x)
        entering.append(entering[-1] + exponent)
    gs, leaving = [np.ones(flows[-1].shape[0])], [0]
    for flow in reversed(flows[1:]):
        g, exponent = _scaled(flow.backward(gs[-1]))
        gs.append(g)
        leaving.append(leaving[-1] + exponent)
    exponents = [a + b for a, b in zip(entering, reversed(leaving), strict=True)]
    return [
        (g, x, e - exponents[0])
        for g, x, e in zip(reversed(gs), xs, exponents, strict=True)
    ]


def _scaled(x: np.ndarray) -> tuple[np.ndarray, int]:
    """x divided by a power of two, so that its largest is near 1, and the exponent."""
    _, exponent = math.frexp(float(x.max(initial=0.0)))
    return np.ldexp(x, -exponent), exponent


def _written_out(flow: Flow) -> Flow:
    """Stored, once few of the positions are left."""
    if isinstance(flow, StoredFlow):
        return flow
    positions = flow.shape[0] * flow.shape[1]
    if len(flow) <= min(max(positions * _FEW, 4096), _MOST):
        return flow.stored()
    return flow


def _left(weight: Weight, flow: Flow) -> Kept:
    """What is left of a weight: a mask in storage order, of a virtual one CSR."""
    param = weight.param
    if param.virtual is None:
        assert isinstance(flow, StoredFlow)
        keep = np.zeros(param.nnz, np.bool_)
        keep[flow.places] = True
        return param.pattern.from_canonical(keep)
    left = flow.stored() if isinstance(flow, VirtualFlow) else flow
    indptr = np.zeros(param.shape[0] + 1, np.int64)
    np.cumsum(np.bincount(left.rows, minlength=param.shape[0]), out=indptr[1:])
    return indptr, left.cols
