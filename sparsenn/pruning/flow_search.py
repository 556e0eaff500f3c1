"""The score that parts the living from the dead, from a sample and from what it left.

Layers are searched one by one: each counts the scores above a bracket and collects
those in it (:class:`sparsenn.sparse.living.Search`). The brackets may differ, since a
layer's own scores are known when it is searched and those of later ones only nearly.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, final

import numpy as np

from sparsenn.sparse.living import Search

__all__ = [
    "Bracket",
    "Sample",
    "Threshold",
    "around_rank",
    "around_share",
    "carriers",
    "last_rank",
    "threshold",
]

_ALL = np.iinfo(np.int64).max
_DEVIATIONS = 5.0
_ROOM = 1 << 12


class Bracket(NamedTuple):
    """A range of scores, and how many may be in it in each layer."""

    low: float
    high: float
    room: list[int]


@final
class Threshold:
    """The lowest score that lives, and how many of those who have it do so.

    Attributes
    ----------
    value : float
    equal : int
        They are taken layer by layer; `last_rank` counts them down.
    """

    def __init__(self, value: float, equal: int) -> None:
        self.value, self.equal = value, equal


@final
class Sample:
    """Scores of some connections of a layer.

    Parameters
    ----------
    scores : ndarray of float64
    unit : float
        Connections that each of them stands for.
    """

    def __init__(self, scores: np.ndarray, unit: float) -> None:
        self.scores, self.unit = np.sort(scores), unit

    def above(self, score: float) -> float:
        """How many connections score more."""
        place = np.searchsorted(self.scores, score, side="right")
        return self.unit * (len(self.scores) - float(place))

    def room(self, low: float, high: float) -> int:
        """For what is expected in a range, and half as much."""
        first = np.searchsorted(self.scores, low)
        found = float(np.searchsorted(self.scores, high, side="right") - first)
        return int(1.5 * self.unit * (found + 6 * found**0.5 + 16)) + _ROOM


def around_rank(samples: list[Sample], k: int, widened: float) -> Bracket:
    """Where the k-th highest score may be.

    Parameters
    ----------
    samples : list of Sample
        One of each layer.
    k : int
    widened : float
        Factor on the width.
    """
    total = sum(s.unit * len(s.scores) for s in samples)
    unit = max(s.unit for s in samples)
    spread = _DEVIATIONS * (unit * k * max(1 - k / total, 0.0)) ** 0.5 + 4 * unit
    spread *= widened

    def above(score: float) -> float:
        return sum(s.above(score) for s in samples)

    low = _first(lambda score: above(score) <= k + spread)
    high = _first(lambda score: above(score) <= k - spread)
    return _bracket(samples, low if k + spread < total else -np.inf, high)


def around_share(samples: list[Sample], share: float, widened: float) -> Bracket:
    """Where the scores of the lowest that carry a share of the flow end.

    Parameters as in `around_rank`; the share is of the flow of one layer, of which each
    has the same: layers are averaged by how well their samples know it.
    """
    carried = [_sums(s.unit * s.scores) for s in samples]
    variances = [_sums((s.unit * s.scores) ** 2) for s in samples]
    weights = [1.0 / v[-1] if v[-1] > 0 else 0.0 for v in variances]
    known = sum(weights)
    flows = zip(weights, carried, strict=True)
    flow = float(sum(w * c[-1] for w, c in flows)) / known if known else 0.0

    def below(score: float, sums: list[np.ndarray]) -> float:
        places = [np.searchsorted(s.scores, score, side="right") for s in samples]
        return float(sum(c[i] for c, i in zip(sums, places, strict=True)))

    def end(wanted: float) -> float:
        return _first(lambda score: below(score, carried) >= wanted)

    noise = below(end(share * flow), variances) ** 0.5
    noise += share * known**-0.5 if known else 0.0
    spread = widened * (_DEVIATIONS * noise + 0.005 * share * flow)
    low, high = end(share * flow - spread), end(share * flow + spread)
    return _bracket(samples, low if share * flow > spread else -np.inf, high)


def _sums(numbers: np.ndarray) -> np.ndarray:
    """Sums of the first 0, 1, ... of them."""
    return np.concatenate([[0.0], np.cumsum(numbers)])


def threshold(searches: list[Search], k: int) -> Threshold | None:
    """The k-th highest score; None if it is in no bracket."""
    zeros = sum(s.zero for s in searches)
    positive = sum(s.positive for s in searches)
    if positive <= k <= positive + zeros:
        return Threshold(0.0, k - positive)
    inside = _inside(searches)
    if inside is None:
        return None
    _, high, scores, above = inside
    wanted = k - above
    if wanted == 0:
        return Threshold(high, 0)
    if not 0 < wanted <= len(scores):
        return None
    place = len(scores) - wanted
    value = float(np.partition(scores, place)[place])
    return Threshold(value, wanted - int(np.count_nonzero(scores > value)))


def last_rank(
    chosen: Threshold, search: Search, zeros_of: Callable[[int], np.ndarray]
) -> int:
    """The last rank in a layer that lives with a score of exactly the threshold.

    Parameters
    ----------
    chosen : Threshold
        How many more live is counted down: ask layer by layer.
    search : Search
    zeros_of : callable
        Row -> columns whose score is 0, ascending.
    """
    wanted = chosen.equal
    if chosen.value != 0:
        ranks = search.ranks[search.scores == chosen.value]
        chosen.equal -= min(wanted, len(ranks))
        if wanted >= len(ranks):
            return _ALL if wanted else -1
        return int(np.sort(ranks)[wanted - 1]) if wanted else -1
    chosen.equal -= min(wanted, search.zero)
    if wanted >= search.zero:
        return _ALL if wanted else -1
    passed = np.cumsum(search.zeros, dtype=np.int64)
    row = int(np.searchsorted(passed, wanted, side="right"))
    wanted -= int(passed[row - 1]) if row else 0
    first = row * search.n_cols
    return first + int(zeros_of(row)[wanted - 1]) if wanted else first - 1


def carriers(searches: list[Search], share: float) -> int | None:
    """How many of the lowest scores carry at most a share together.

    None if the last of them is in no bracket.
    """
    inside = _inside(searches)
    if inside is None:
        return None
    low, _, scores, above = inside
    total = sum(s.live for s in searches)
    carried = sum(
        float(s.below.sum()) + float(s.scores[s.scores < low].sum()) for s in searches
    )
    scores = np.sort(scores)
    passed = carried + np.cumsum(scores)
    place = int(np.searchsorted(passed, share, side="right"))
    if (place == len(scores) and above) or (place == 0 and carried > share):
        return None
    return total - above - len(scores) + place


def _inside(searches: list[Search]) -> tuple[float, float, np.ndarray, int] | None:
    """What all brackets share: low, high, the scores in it, how many are above."""
    if any(s.found > s.capacity for s in searches):
        return None
    low, high = max(s.low for s in searches), min(s.high for s in searches)
    scores = [s.scores[(s.scores >= low) & (s.scores <= high)] for s in searches]
    above = sum(s.above + int(np.count_nonzero(s.scores > high)) for s in searches)
    if any(s.negative for s in searches):  # zeros are above, if not counted there
        above += sum(s.zero for s in searches if s.high >= 0)
    return float(low), float(high), np.concatenate(scores), above


def _first(true: Callable[[float], bool]) -> float:
    """The lowest number for which a condition holds that stays true from there on."""
    low, high = _key(-np.inf), _key(np.inf)
    if not true(np.inf):
        return np.inf
    while high - low > 1:
        middle = (low + high) // 2
        if true(_number(middle)):
            high = middle
        else:
            low = middle
    return _number(high)


def _key(number: float) -> int:
    """Integers in the order of numbers."""
    bits = int(np.float64(number).view(np.int64))
    return bits if bits >= 0 else -(bits & _ALL)


def _number(key: int) -> float:
    magnitude = float(np.int64(abs(key)).view(np.float64))
    return magnitude if key >= 0 else -magnitude


def _bracket(samples: list[Sample], low: float, high: float) -> Bracket:
    return Bracket(low, high, [s.room(low, high) for s in samples])
