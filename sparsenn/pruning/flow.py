"""SynFlow's rounds on a chain of layers, exact, in one or two passes over each.

With magnitudes |W| that live, x of a layer the flow that arrives when ones are put into
the network, and g the flow that leaves each of its outputs in the end, the score of a
connection is ``g_i |w_ij| x_j``: what flows through it. Who dies is only noted; it
happens in the next pass. A round therefore is

* from the last layer to the second, deaths and ``|W|^T g``;
* in the first layer deaths, ``|W| x`` and the search, all at once;
* from the second to the last ``|W| x`` and the search.

The search (`flow_search`) brackets the score of the last that lives on by a sample,
counts what is above the bracket and collects what is inside, so that the selection is
exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, final

import numpy as np

from sparsenn.pruning import flow_search
from sparsenn.pruning.flow_search import Bracket, Sample
from sparsenn.random import Purpose, Stream
from sparsenn.sparse.living import Death, LivingWeight, Search

__all__ = ["Flow"]

# Connections that are sampled: one in so many of all, at most, and at least of a layer.
_ONE_IN = 64
_SAMPLE = 1 << 21
_LEAST = 1 << 12
# So few are collected without a bracket.
_FEW = 1 << 18
# A bracket that has missed after being widened so much gives way to everything.
_WIDEST = 1000.0


@final
class _Layer:
    """A layer, what flows into and out of it, and a sample of its connections."""

    def __init__(self, weight: LivingWeight, mortal: bool) -> None:
        self.weight = weight
        self.mortal = mortal
        self.death: Death | None = None
        self.x: np.ndarray | None = None  # None: all ones
        self.g = np.ones(weight.shape[0])
        # The flows themselves are x and g times powers of two.
        self.x_exponent = self.g_exponent = 0
        self.scale = self.g  # g for scores, in the unit of all layers
        self.scaled: tuple[Any, int] = (None, 0)  # what it was made of
        self.ranks = np.zeros(0, np.int64)
        self.magnitudes = np.zeros(0)
        self.unit = 0.0
        self._sample: tuple[Any, Any, Sample] | None = None

    def draw(self, n: int, stream: Stream) -> None:
        """Takes a sample of about n positions, or connections if they are listed."""
        self.ranks, self.magnitudes, self.unit = self.weight.sample(n, stream)

    def sampled(self) -> np.ndarray:
        """Scores of the sample."""
        rows, columns = np.divmod(self.ranks, max(self.weight.shape[1], 1))
        score = self.scale[rows] * self.magnitudes
        return score if self.x is None else score * self.x[columns]

    def sample(self) -> Sample:
        """The same, sorted; kept until what flows here changes."""
        old = self._sample
        if old is None or old[0] is not self.scale or old[1] is not self.x:
            old = self.scale, self.x, Sample(self.sampled(), self.unit)
            self._sample = old
        return old[2]

    def condemn(self, threshold: float, last_rank: int) -> None:
        """Notes who dies, and forgets those of the sample."""
        self.death = Death(self.scale, self.x, threshold, last_rank)
        score = self.sampled()
        stays = (score == threshold) & (self.ranks <= last_rank)
        stays |= score > threshold
        self.ranks, self.magnitudes = self.ranks[stays], self.magnitudes[stays]
        self._sample = None

    def zeros_of(self, row: int) -> np.ndarray:
        """Columns of a row where the score is 0, ascending."""
        columns, magnitudes = self.weight.row(row)
        x = 1.0 if self.x is None else self.x[columns]
        return columns[(self.scale[row] * magnitudes) * x == 0]


@final
class Flow:
    """Connections of a chain of layers that die by their share in what flows.

    Parameters
    ----------
    weights : sequence of LivingWeight
        From the input to the output, each with as many columns as the one before it has
        rows. They are used up.
    mortal : sequence of bool, optional
        Layers whose connections may die; by default all.
    weakest : bool
        Let the connections of *lowest* score live on, a control.

    Attributes
    ----------
    live : int
        Connections of mortal layers that live.
    sums : ndarray of float64, shape (layers,)
        Of the scores of each layer in the last round, before its deaths, in one unit:
        all are equal up to rounding (conservation of flow).
    passes : int
        Passes over layers so far.

    References
    ----------
    Tanaka et al., "Pruning neural networks without any data by iteratively conserving
    synaptic flow", arXiv:2006.05467.
    """

    def __init__(
        self,
        weights: Sequence[LivingWeight],
        mortal: Sequence[bool] | None = None,
        *,
        weakest: bool = False,
    ) -> None:
        if not weights:
            raise ValueError("a flow needs at least one layer")
        for before, after in pairwise(weights):
            if before.shape[0] != after.shape[1]:
                raise ValueError(
                    f"a layer of shape {before.shape} cannot come before one of shape "
                    f"{after.shape}"
                )
        marks = [True] * len(weights) if mortal is None else mortal
        self._layers = [_Layer(w, m) for w, m in zip(weights, marks, strict=True)]
        self._mortal = [layer for layer in self._layers if layer.mortal]
        self._sign = -1.0 if weakest else 1.0
        self.live = sum(layer.weight.live for layer in self._mortal)
        self.sums = np.zeros(len(weights))
        self.passes = 0
        if self.live > _FEW:
            total = sum(w.live for w in weights)
            drawn = min(total // _ONE_IN, _SAMPLE)
            for number, layer in enumerate(self._layers):
                n = max(drawn * layer.weight.live // total, _LEAST)
                layer.draw(n, Stream(0, Purpose.PROBE, layer=number))
            self._guess()

    def keep(self, k: int) -> None:
        """Lets the k connections of highest score live on.

        Of equal scores the lower (layer, row, column) counts as the higher.

        Parameters
        ----------
        k : int
            At most `live`.

        Raises
        ------
        ValueError
            If k is out of range.
        OverflowError
            If what flows is not finite.
        """
        if not 0 <= k <= self.live:
            raise ValueError(f"k must be in [0, {self.live}], the living; got {k}")
        if k < self.live:
            self._end(k, self._round(lambda: self._around(k, 1.0)))

    def shed(self, share: float, least: int) -> None:
        """Lets the connections of lowest score die that carry a share of the flow.

        Parameters
        ----------
        share : float
            They carry at most this part of what flows through a layer; one dies at
            least.
        least : int
            This many live on in any case.
        """
        if not least < self.live:
            return
        widened = 1.0
        searches = self._round(lambda: self._around_share(share, 1.0), below=True)
        flow = float(
            min(s for s, la in zip(self.sums, self._layers, strict=True) if la.mortal)
        )
        while (dead := flow_search.carriers(searches, share * flow)) is None:
            widened *= 8
            searches = self._look(self._around_share(share, widened), below=True)
        self._end(max(self.live - max(dead, 1), least), searches)

    def finish(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """The living of each layer as canonical CSR (indptr, indices)."""
        for layer in self._layers:
            if layer.death is not None:
                self._pass(layer)
        return [layer.weight.csr() for layer in self._layers]

    def vectors(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """g and x of each layer, their products in one unit for all layers."""
        self._round(lambda: Bracket(np.inf, np.inf, [0] * len(self._mortal)))
        return [
            (la.scale, np.ones(la.weight.shape[1]) if la.x is None else la.x)
            for la in self._layers
        ]

    # ------------------------------------------------------------ a round

    def _round(self, bracket: Any, *, below: bool = False) -> list[Search]:
        """Deaths that are due, what flows, and a search in every mortal layer."""
        self._backward()
        searches: list[Search] = []
        for number, layer in enumerate(self._layers):
            options: dict[str, Any] = {}
            self._set_scales(number)
            if layer.mortal:
                place = len(searches)
                options["search"] = self._search(bracket(), place, below)
                searches.append(options["search"])
            y = np.empty(layer.weight.shape[0])
            self._pass(layer, x=layer.x, g=layer.scale, y=y, **options)
            self.sums[number] = self._sign * (layer.scale * y).sum()
            if number + 1 < len(self._layers):
                after = self._layers[number + 1]
                after.x, exponent = _normal(y)
                after.x_exponent = layer.x_exponent + exponent
        return searches

    def _backward(self) -> None:
        """g of every layer, from the last to the first; what was to die there dies."""
        for layer, before in pairwise(self._layers[::-1]):
            z = np.empty(layer.weight.shape[1])
            self._pass(layer, g=layer.g, z=z)
            before.g, exponent = _normal(z)
            before.g_exponent = layer.g_exponent + exponent

    def _pass(self, layer: _Layer, **options: Any) -> None:
        layer.weight.flow(death=layer.death, **options)
        layer.death = None
        self.passes += 1

    def _set_scales(self, number: int) -> None:
        """Of a layer, and of all as far as is known if they are sampled."""
        unit = self._layers[0].g_exponent
        sampled = self.live > _FEW
        for layer in self._layers if sampled else self._layers[number : number + 1]:
            exponent = layer.x_exponent + layer.g_exponent - unit
            if layer.scaled[0] is not layer.g or layer.scaled[1] != exponent:
                layer.scaled = layer.g, exponent
                layer.scale = self._sign * np.ldexp(layer.g, exponent)

    def _guess(self) -> None:
        """What flows forward if weights were equal: good enough for a first bracket."""
        arriving = float(self._layers[0].weight.shape[1])
        for layer, after in pairwise(self._layers):
            n_out, n_in = layer.weight.shape
            mean = layer.magnitudes.mean() if len(layer.magnitudes) else 0.0
            density = layer.weight.live / max(n_out * n_in, 1)
            after.x, exponent = _normal(np.full(n_out, arriving * mean * density))
            after.x_exponent = layer.x_exponent + exponent
            arriving = float(after.x.sum())

    # ------------------------------------------------------------ who dies

    def _end(self, k: int, searches: list[Search]) -> None:
        """Notes the deaths of all but k, looking again where the bracket missed."""
        widened = 1.0
        while (chosen := flow_search.threshold(searches, k)) is None:
            searches = self._look(self._around(k, widened))
            widened *= 8
        for layer, search in zip(self._mortal, searches, strict=True):
            rank = flow_search.last_rank(chosen, search, layer.zeros_of)
            layer.condemn(chosen.value, rank)
        self.live = k

    def _look(self, bracket: Bracket, *, below: bool = False) -> list[Search]:
        """A search alone."""
        searches = []
        for place, layer in enumerate(self._mortal):
            searches.append(self._search(bracket, place, below))
            self._pass(layer, x=layer.x, g=layer.scale, search=searches[-1])
        return searches

    def _search(self, bracket: Bracket, place: int, below: bool) -> Search:
        """For one of the mortal layers."""
        weight = self._mortal[place].weight
        room = min(bracket.room[place], weight.live)
        if bracket.low == -np.inf and bracket.high == np.inf:
            room = weight.live
        return Search(bracket.low, bracket.high, room, below)

    def _around(self, k: int, widened: float) -> Bracket:
        """Where the k-th highest score may be."""
        samples = self._samples(widened)
        if not samples:
            return self._everything()
        return flow_search.around_rank(samples, k, widened)

    def _around_share(self, share: float, widened: float) -> Bracket:
        """Where the scores of the lowest that carry a share of the flow end."""
        samples = self._samples(widened)
        if not samples:
            return self._everything()
        return flow_search.around_share(samples, share, widened)

    def _everything(self) -> Bracket:
        room = [layer.weight.live for layer in self._mortal]
        return Bracket(-np.inf, np.inf, room)

    def _samples(self, widened: float) -> list[Sample]:
        """Of the mortal layers, standing for as many connections as live.

        None if these are few, if no sample was left of them, or if that was no help.
        """
        if self.live <= _FEW or widened > _WIDEST:
            return []
        samples = [layer.sample() for layer in self._mortal]
        units = [layer.unit for layer in self._mortal]
        total = sum(len(s.scores) * u for s, u in zip(samples, units, strict=True))
        for sample, unit in zip(samples, units, strict=True):
            sample.unit = unit * (self.live / total) if total else 0.0
        return samples if total else []


def _normal(flow: np.ndarray) -> tuple[np.ndarray, int]:
    """A vector as one whose largest entry is in [1/2, 1), and the power of two."""
    if not np.isfinite(flow).all():
        raise OverflowError("what flows is not finite; are the weights?")
    exponent = int(np.frexp(flow.max(initial=0.0))[1])
    return np.ldexp(flow, -exponent), exponent
