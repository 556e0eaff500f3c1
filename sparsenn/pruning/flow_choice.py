"""Which connections a round of SynFlow keeps, over stored and virtual weights."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from sparsenn.pruning.flow import StoredFlow, VirtualFlow
from sparsenn.sparse import select

#: A weight, what leaves and enters its neurons, and the exponent of both.
Candidate = tuple[StoredFlow | VirtualFlow, np.ndarray, np.ndarray, int]
# Scores are counted by their exponent and first bits: 2^19 bins of positive float64.
_SHIFT = 64 - 20
_BINS = 1 << 19


def keep_strongest(
    candidates: Sequence[Candidate], k: int, invert: bool = False
) -> None:
    """Keeps the k strongest of all; of equal ones the lower (layer, row, column).

    Parameters
    ----------
    candidates : sequence of Candidate
        Changed in place.
    k : int
    invert : bool
        Keep the weakest.
    """
    if all(isinstance(c[0], StoredFlow) for c in candidates):
        parts = [scores for c in candidates for _, scores in _scores(c)]
        joined = np.concatenate([np.zeros(0), *parts])
        marks = select(joined, min(k, len(joined)), not invert)
        ends = np.cumsum([len(part) for part in parts])[:-1]
        for c, chosen in zip(candidates, np.split(marks, ends), strict=True):
            assert isinstance(c[0], StoredFlow)
            c[0].keep(chosen)
        return
    bins = np.zeros(_BINS, np.int64)
    for c in candidates:
        for _, scores in _scores(c):
            bins += np.bincount(_bin(scores[scores >= 0]), minlength=_BINS)
    if invert:
        bins = bins[::-1]
    above = np.cumsum(bins[::-1])[::-1]  # scores in this bin or a better one
    edge = int(np.searchsorted(-above, -k, side="right")) - 1
    sure = int(above[edge + 1]) if edge + 1 < _BINS else 0
    if edge < 0:  # there are no more than k
        return
    edge = _BINS - 1 - edge if invert else edge
    close = [
        scores[_bin(scores) == edge] for c in candidates for _, scores in _scores(c)
    ]
    joined = np.concatenate([np.zeros(0), *close])
    chosen = select(joined, min(k - sure, len(joined)), not invert)
    at = 0
    for c in candidates:
        for rows, scores in _scores(c):
            number = _bin(scores)
            keep = number < edge if invert else number > edge
            keep &= scores >= 0
            there = number == edge
            n = int(np.count_nonzero(there))
            keep[there] = chosen[at : at + n]
            at += n
            _put(c[0], rows, keep)


def keep_share(candidates: Sequence[Candidate], wanted: int, share: float) -> None:
    """Removes the weakest that carry at most a share of the flow, one at least.

    Never more than leaves `wanted`. The flow is that of one layer, which by
    conservation is that of all.
    """
    flow = min(
        math.fsum(
            float(np.sum(scores[scores > 0], dtype=np.float64))
            for _, scores in _scores(c)
        )
        for c in candidates
    )
    count = sum(len(c[0]) for c in candidates)
    bins, sums = np.zeros(_BINS, np.int64), np.zeros(_BINS)
    for c in candidates:
        for _, scores in _scores(c):
            number = _bin(scores[scores >= 0])
            bins += np.bincount(number, minlength=_BINS)
            sums += np.bincount(number, scores[scores >= 0], _BINS)
    within = int(np.searchsorted(np.cumsum(sums), share * flow, side="right"))
    removed = int(np.cumsum(bins)[within - 1]) if within else 0
    removed = max(removed, 1)
    keep_strongest(candidates, max(count - removed, wanted))


def _scores(c: Candidate) -> Iterator[tuple[slice | None, np.ndarray]]:
    """The scores of a weight, row-major, in parts; -1 where nothing is."""
    flow, g, x, exponent = c
    g = np.ldexp(g, exponent)
    if isinstance(flow, StoredFlow):
        yield None, flow.scores(g, x)
        return
    yield from flow.blocks(g, x)


def _put(flow: StoredFlow | VirtualFlow, rows: slice | None, keep: np.ndarray) -> None:
    if isinstance(flow, StoredFlow):
        flow.keep(keep)
    else:
        assert rows is not None
        flow.set_rows(rows, keep)


def _bin(scores: np.ndarray) -> np.ndarray:
    """Number of a score's bin; of scores below 0 none that a positive one has."""
    words = np.ascontiguousarray(scores).view(np.int64)
    return np.where(words >= 0, words >> _SHIFT, -1)
