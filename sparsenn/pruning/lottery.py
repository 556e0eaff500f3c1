"""Iterative magnitude pruning: train, prune, go back, train again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, final

import numpy as np

from sparsenn.autograd import Tensor
from sparsenn.pruning.apply import prune
from sparsenn.pruning.choose import keep_by_layer, keep_globally
from sparsenn.pruning.restore import write
from sparsenn.pruning.result import Result, result_of
from sparsenn.pruning.weights import Kept, LayerName, Weight, target, weights_of
from sparsenn.sparse import apportion

Rewind = Literal["init", "start"] | None


@final
@dataclass(frozen=True)
class Iterations:
    """What iterative pruning did.

    Attributes
    ----------
    densities : tuple of float
        Of the whole network while it trained, round by round; the first is that at the
        beginning.
    results : tuple of Result
        Of each pruning; one less than rounds.
    returned : tuple
        What `train` returned, round by round.
    """

    densities: tuple[float, ...]
    results: tuple[Result, ...]
    returned: tuple[Any, ...]


def iterative_magnitude(
    model: Any,
    train: Callable[[Any, int], Any],
    density: float,
    *,
    rate: float = 0.2,
    rewind: Rewind = "init",
    scope: Literal["global", "layer"] = "global",
    keep_dense: Iterable[LayerName] = (),
) -> Iterations:
    """Finds a lottery ticket: a sparse network that trains well from an early state.

    Each round trains the model and drops the fraction `rate` of the connections with
    the smallest ``|w|``; what remains goes back to the values it had at first. `train`
    is called once more for the last, sparsest round, so the model is trained in the
    end::

        def train(model, round):
            snn.fit(model, data, epochs=20, ...)  # a new optimiser every time
            return snn.evaluate(model, data.test).accuracy

        pruning.iterative_magnitude(model, train, density=0.05)

    Parameters
    ----------
    model : Module
        At its initial values, or wherever it is to be rewound to.
    train : callable
        ``train(model, round)`` trains the model in place, round 0 first. Rounds change
        values and patterns in between, so an optimiser of its own each time.
    density : float
        Of the whole network in the last round.
    rate : float
        In (0, 1): after r rounds ``(1 - rate)^r`` of the connections remain, rounded,
        until that is at most what `density` allows, which is then met exactly.
    rewind : {"init", "start"} or None
        ``"init"``: the weights' own initial values, which are drawn again rather than
        kept for weights that started full (others keep one number for each remaining
        connection). ``"start"``: the values when this function was called, one number a
        remaining connection; train some steps before the call to rewind to step k.
        None: nothing goes back, which is iterative pruning with fine-tuning.
        Biases, other tensors and buffers go back to their values at the call.
    scope : {"global", "layer"}
        Compare all magnitudes, or drop `rate` of each layer.
    keep_dense : iterable of int or str
        Layers that keep every connection that they have.

    Returns
    -------
    Iterations

    Raises
    ------
    RuntimeError
        For ``rewind="init"`` if a weight does not know what it was drawn from.

    References
    ----------
    Frankle & Carbin, "The lottery ticket hypothesis", arXiv:1803.03635; Frankle et al.,
    "Linear mode connectivity and the lottery ticket hypothesis", arXiv:1912.05671,
    where rewinding to an early step makes it work for larger networks; Renda et al.,
    arXiv:2003.02389, for fine-tuning and rewinding compared.
    """
    if not 0 < rate < 1:
        raise ValueError(f"rate must be in (0, 1), got {rate}")
    if rewind not in ("init", "start", None):
        raise ValueError(f"rewind must be 'init', 'start' or None, got {rewind!r}")
    if scope not in ("global", "layer"):
        raise ValueError(f"scope must be 'global' or 'layer', got {scope!r}")
    weights = weights_of(model, keep_dense)
    totals = _totals(weights, target(weights, density), rate)
    past = None if rewind is None else _Past(model, weights, rewind)
    positions = sum(w.n_positions for w in weights)
    densities, results, returned = [], [], []
    for number, total in enumerate(totals):
        if number:
            weights = weights_of(model, keep_dense)
            keeps = _choose(weights, total, scope)
            changes = prune(weights, keeps)
            results.append(result_of(f"iterative magnitude {number}", weights))
            if past is not None:
                past.follow(changes)
                past.restore(model, weights)
        densities.append(sum(w.param.nnz for w in weights) / max(positions, 1))
        returned.append(train(model, number))
    return Iterations(tuple(densities), tuple(results), tuple(returned))


def _totals(weights: Sequence[Weight], last: int, rate: float) -> list[int]:
    """Connections of the network in each round."""
    exempt = sum(w.before for w in weights if w.exempt)
    open_ = sum(w.before for w in weights) - exempt
    totals = [exempt + open_]
    while totals[-1] > last:
        remaining = exempt + round(open_ * (1 - rate) ** len(totals))
        # A rate so small that it drops nothing of few connections drops one.
        totals.append(max(min(remaining, totals[-1] - 1), last))
    return totals


def _choose(weights: Sequence[Weight], total: int, scope: str) -> list[Kept]:
    scores = [np.abs(w.param.values.data) for w in weights]
    if scope == "global":
        return keep_globally(weights, scores, total)
    open_ = [w.param.nnz for w in weights if not w.exempt]
    exempt = sum(w.param.nnz for w in weights if w.exempt)
    shares = iter(apportion(total - exempt, open_, open_))
    counts = [w.param.nnz if w.exempt else next(shares) for w in weights]
    return keep_by_layer(weights, scores, counts)


class _Past:
    """The values to go back to."""

    def __init__(self, model: Any, weights: Sequence[Weight], rewind: str) -> None:
        self.kept: list[np.ndarray | None] = []
        for weight in weights:
            param = weight.param
            if rewind == "start":
                self.kept.append(param.values.data.copy())
            elif param.origin is not None and param.origin.full:
                self.kept.append(None)
            else:
                self.kept.append(param.initial_values())
        self.tensors = [t.data.copy() for t in _tensors(model)]
        self.buffers = [b.copy() for b in _buffers(model)]

    def follow(self, changes: Sequence[Any]) -> None:
        """Forgets the values of connections that are gone."""
        for i, change in enumerate(changes):
            kept = self.kept[i]
            if kept is not None and change is not None:
                self.kept[i] = change.remap(kept)

    def restore(self, model: Any, weights: Sequence[Weight]) -> None:
        """Goes back."""
        for weight, kept in zip(weights, self.kept, strict=True):
            param = weight.param
            values = param.initial_values() if kept is None else kept.copy()
            param.set(param.pattern, values)
        for tensor, data in zip(_tensors(model), self.tensors, strict=True):
            write(tensor, data)
        for buffer, data in zip(_buffers(model), self.buffers, strict=True):
            buffer[...] = data


def _tensors(model: Any) -> list[Tensor]:
    return [p for p in model.parameters() if isinstance(p, Tensor)]


def _buffers(model: Any) -> list[np.ndarray]:
    named = getattr(model, "named_buffers", None)
    return [] if named is None else [buffer for _, buffer in named()]
