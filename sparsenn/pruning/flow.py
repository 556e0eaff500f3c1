"""SynFlow's rounds on a chain of layers, exact, in one or two passes over each.

With magnitudes |W| that live, x of layer l the flow that arrives when ones are put in,
and g the flow that leaves each of its outputs in the end, the score of a connection is
``g_i |w_ij| x_j``, and the k of highest score in the network live on. Who dies is only
noted; it happens in the next pass. A round therefore is

* from the last layer to the second, deaths and ``|W|^T g``;
* in the first layer deaths, ``|W| x`` and the search, all at once;
* from the second to the last ``|W| x`` and the search.

The search brackets the k-th highest score by a sample, counts what is above the bracket
and collects what is inside, so that the selection is exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, final

import numpy as np

from sparsenn.random import Purpose, Stream
from sparsenn.sparse.living import Death, LivingWeight, Search

__all__ = ["Flow"]

# Positions that are sampled, of all layers and at least of one.
_SAMPLE = 1 << 21
_LEAST = 1 << 12
# So few connections are collected without a bracket.
_FEW = 1 << 18
_ALL = np.iinfo(np.int64).max
_DEVIATIONS = 5.0


@final
class _Layer:
    """A layer, what flows into and out of it, and a sample of its connections."""

    def __init__(self, weight: LivingWeight, number: int, share: float) -> None:
        self.weight = weight
        self.death: Death | None = None
        n_rows, n_cols = weight.shape
        self.x: np.ndarray | None = None
        self.exponent = 0  # of x: the flow itself is x times a power of two
        self.g = np.ones(n_rows)
        self.g_exponent = 0
        n = min(max(int(_SAMPLE * share), _LEAST), weight.size)
        self.size = weight.size / max(
            n, 1
        )  # positions that one of the sample stands for
        ranks = np.arange(n)
        if n < weight.size:
            stream = Stream(0, Purpose.PROBE, layer=number)
            drawn = stream.uniform(n, np.float64) * weight.size
            ranks = np.sort(drawn.astype(np.int64))
        alive, self.magnitudes = weight.sample(ranks)
        rows, columns = np.divmod(ranks[alive], max(n_cols, 1))
        self.rows, self.columns = rows.astype(np.int32), columns.astype(np.int32)

    def scaled(self, reference: int) -> np.ndarray:
        """g for scores that compare with those of other layers."""
        return np.ldexp(self.g, self.g_exponent + self.exponent - reference)

    def sampled(self, g: np.ndarray) -> np.ndarray:
        """Scores of the sample."""
        score = g[self.rows] * self.magnitudes
        return score if self.x is None else score * self.x[self.columns]

    def condemn(self, death: Death) -> None:
        """Notes who dies, and forgets those of the sample."""
        self.death = death
        score = self.sampled(death.g)
        ranks = self.rows.astype(np.int64) * self.weight.shape[1] + self.columns
        stays = (score == death.threshold) & (ranks <= death.last_rank)
        stays |= score > death.threshold
        self.rows, self.columns = self.rows[stays], self.columns[stays]
        self.magnitudes = self.magnitudes[stays]


@final
class Flow:
    """Connections of a chain of layers that die by their share in what flows.

    Parameters
    ----------
    weights : sequence of LivingWeight
        From the input to the output, each with as many columns as the one before it has
        rows. They are used up.
    inputs : ndarray, shape (n_in,), optional
        What is put in, not negative; ones by default.

    Attributes
    ----------
    live : int
        Connections that live, of all layers.
    sums : ndarray of float64, shape (layers,)
        Sum of the scores of each layer in the last round, before deaths, in units of
        its own: all are equal up to rounding (conservation of flow).
    passes : int
        Passes over layers so far.

    References
    ----------
    Tanaka et al., "Pruning neural networks without any data by iteratively conserving
    synaptic flow", arXiv:2006.05467.
    """

    def __init__(
        self, weights: Sequence[LivingWeight], inputs: np.ndarray | None = None
    ) -> None:
        if not weights:
            raise ValueError("a flow needs at least one layer")
        for before, after in pairwise(weights):
            if before.shape[0] != after.shape[1]:
                raise ValueError(
                    f"a layer of shape {before.shape} cannot come before one of shape "
                    f"{after.shape}"
                )
        total = max(sum(w.size for w in weights), 1)
        self._layers = [_Layer(w, i, w.size / total) for i, w in enumerate(weights)]
        self.live = sum(w.live for w in weights)
        self.sums = np.zeros(len(weights))
        self.passes = 0
        self._guess(inputs)

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
        self._backward()
        layers, reference = self._layers, self._layers[0].g_exponent
        searches: list[Search] = []
        for number, layer in enumerate(layers):
            search = self._search(number, k, reference, 1.0)
            g = layer.scaled(reference)
            y = np.empty(layer.weight.shape[0])
            self._pass(layer, number == 0, x=layer.x, g=g, y=y, search=search)
            self.sums[number] = (g * y).sum()
            if number + 1 < len(layers):
                layers[number + 1].x, e = _normal(y)
                layers[number + 1].exponent = layer.exponent + e
            searches.append(search)
        widened = 1.0
        while (chosen := self._select(searches, k, reference)) is None:
            searches = []
            for number, layer in enumerate(layers):
                search = self._search(number, k, reference, widened)
                g = layer.scaled(reference)
                self._pass(layer, False, x=layer.x, g=g, search=search)
                searches.append(search)
            widened *= 8
        threshold, last = chosen
        for layer, rank in zip(layers, last, strict=True):
            g = layer.scaled(reference)
            layer.condemn(Death(g, layer.x, threshold, rank))
        self.live = k

    def finish(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """The living of each layer as canonical CSR (indptr, indices)."""
        for layer in self._layers:
            if layer.death is not None:
                self._pass(layer, True)
        return [layer.weight.csr() for layer in self._layers]

    def _pass(self, layer: _Layer, deaths: bool, **options: Any) -> None:
        layer.weight.flow(death=layer.death if deaths else None, **options)
        if deaths:
            layer.death = None
        self.passes += 1

    def _guess(self, inputs: np.ndarray | None) -> None:
        """What flows forward if weights were equal: good enough for a first bracket."""
        if inputs is not None:
            inputs = np.asarray(inputs, np.float64)
            n_in = self._layers[0].weight.shape[1]
            if inputs.shape != (n_in,) or not (inputs >= 0).all():
                raise ValueError(f"inputs must be {n_in} numbers that are not negative")
            if not (inputs == 1).all():
                self._layers[0].x = np.ascontiguousarray(inputs)
        total = 1.0
        for layer, after in pairwise(self._layers):
            n_rows, n_cols = layer.weight.shape
            arriving = n_cols if layer.x is None else layer.x.sum()
            mean = layer.magnitudes.mean() if len(layer.magnitudes) else 0.0
            total = arriving * mean
            after.x, e = _normal(np.full(n_rows, total))
            after.exponent = layer.exponent + e

    def _backward(self) -> None:
        """g of every layer, from the last to the first; what was to die there dies."""
        for before, layer in zip(
            self._layers[-2::-1], self._layers[:0:-1], strict=True
        ):
            z = np.empty(layer.weight.shape[1])
            self._pass(layer, True, g=layer.g, z=z)
            before.g, e = _normal(z)
            before.g_exponent = layer.g_exponent + e

    def _search(self, number: int, k: int, reference: int, widened: float) -> Search:
        """Where the k-th highest score of all layers may be."""
        here = self._layers[number].weight
        live = min(here.live, self.live) + 1
        if self.live <= _FEW:
            return Search(0.0, np.inf, live)
        layers = self._layers
        scores = [layer.sampled(layer.scaled(reference)) for layer in layers]
        units = np.array([layer.size for layer in layers])
        units *= self.live / sum(len(s) * u for s, u in zip(scores, units, strict=True))
        joined = np.concatenate(scores)
        order = np.argsort(joined)[::-1]
        passed = np.cumsum(np.repeat(units, [len(s) for s in scores])[order])
        unit = units.max()
        spread = _DEVIATIONS * np.sqrt(unit * k * (1 - k / self.live)) + 4 * unit
        spread *= widened
        first, last = np.searchsorted(passed, [k - spread, k + spread])
        high = joined[order[first]] if first > 0 else np.inf
        low = joined[order[last]] if last < len(order) else 0.0
        mine = scores[number]
        inside = np.count_nonzero((mine >= low) & (mine <= high) & (mine != 0))
        expected = (inside + 6 * np.sqrt(inside) + 16) * units[number]
        return Search(low, high, int(min(live, 1.5 * expected + _LEAST)))

    def _select(
        self, searches: list[Search], k: int, reference: int
    ) -> tuple[float, list[int]] | None:
        """The k-th highest score and, of each layer, the last rank that lives with it.

        None if it is in no bracket.
        """
        positive = sum(
            layer.weight.live - s.zero
            for layer, s in zip(self._layers, searches, strict=True)
        )
        if k >= positive:
            return 0.0, self._last_zeros(searches, k - positive, reference)
        if any(s.found > s.capacity for s in searches):
            return None
        low, high = max(s.low for s in searches), min(s.high for s in searches)
        inside = [(s.scores >= low) & (s.scores <= high) for s in searches]
        above = sum(s.above + np.count_nonzero(s.scores > high) for s in searches)
        scores = np.concatenate(
            [s.scores[i] for s, i in zip(searches, inside, strict=True)]
        )
        wanted = int(k - above)
        if wanted == 0:
            return float(high), [-1] * len(searches)
        if not 0 < wanted <= len(scores):
            return None
        threshold = float(
            np.partition(scores, len(scores) - wanted)[len(scores) - wanted]
        )
        equal = wanted - int(np.count_nonzero(scores > threshold))
        last = []
        for s in searches:
            ranks = s.ranks[s.scores == threshold]
            if equal >= len(ranks):
                last.append(_ALL)
            else:
                last.append(int(np.sort(ranks)[equal - 1]) if equal else -1)
            equal -= min(equal, len(ranks))
        return threshold, last

    def _last_zeros(
        self, searches: list[Search], wanted: int, reference: int
    ) -> list[int]:
        """Of each layer the last rank that lives of those whose score is 0."""
        last = []
        for layer, search in zip(self._layers, searches, strict=True):
            if wanted >= search.zero:
                last.append(_ALL)
                wanted -= search.zero
                continue
            n_cols = layer.weight.shape[1]
            passed = np.cumsum(search.zeros, dtype=np.int64)
            row = int(np.searchsorted(passed, wanted, side="right"))
            wanted -= int(passed[row - 1]) if row else 0
            rank = row * n_cols - 1
            if wanted:
                columns, sizes = layer.weight.row(row)
                x = 1.0 if layer.x is None else layer.x[columns]
                none = columns[(layer.scaled(reference)[row] * sizes) * x == 0]
                rank = row * n_cols + int(none[wanted - 1])
            last.append(rank)
            wanted = 0
        return last


def _normal(flow: np.ndarray) -> tuple[np.ndarray, int]:
    """A vector as one whose largest entry is in [1/2, 1), and the power of two."""
    largest = flow.max(initial=0.0)
    if not np.isfinite(flow).all():
        raise OverflowError("what flows is not finite; are the weights?")
    exponent = int(np.frexp(largest)[1])
    return np.ldexp(flow, -exponent), exponent
