"""Pruning in rounds: what is alive meanwhile, without touching any pattern."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, final

import numpy as np

from sparsenn.ops import OuterSum
from sparsenn.pruning.bits import count, pack
from sparsenn.pruning.choose import Kept, Scores, check_finite, highest
from sparsenn.pruning.shares import Shares
from sparsenn.pruning.stream import Tiles
from sparsenn.pruning.threshold import as_keys, kth_largest
from sparsenn.pruning.weights import Weight


@final
class Masks:
    """What is alive between rounds. On leaving, every weight is as it was.

    Parameters
    ----------
    weights : sequence of Weight
    revive : bool
        Whether what was pruned may come back.

    Notes
    -----
    From the second round on a copy of the values and a byte for each connection of
    stored weights, and a bit for each position of virtual ones.
    """

    def __init__(self, weights: Sequence[Weight], *, revive: bool) -> None:
        self.weights = weights
        self.revive = revive
        self._values: dict[int, np.ndarray] = {}
        self._alive: dict[int, np.ndarray] = {}
        self._counts = [w.before for w in weights]
        self._virtual = [w.param.virtual for w in weights]

    def __enter__(self) -> Masks:
        """Itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Restores values."""
        for weight, virtual in zip(self.weights, self._virtual, strict=True):
            weight.param.virtual = virtual
            if weight.number in self._values:
                _write(weight, self._values[weight.number])

    def sensitivities(
        self, gradients: Sequence[np.ndarray | OuterSum], sign: int
    ) -> list[Scores]:
        """``sign * |w * gradient|``, with the values that weights began with.

        Parameters
        ----------
        gradients : sequence of ndarray, shape (nnz,), or OuterSum
            Of stored and of virtual weights.
        sign : {1, -1}
        """
        return [
            self._tiles(w, g, sign)
            if isinstance(g, OuterSum)
            else sign * np.abs(self._values.get(w.number, w.param.values.data) * g)
            for w, g in zip(self.weights, gradients, strict=True)
        ]

    def _tiles(self, weight: Weight, gradient: OuterSum, sign: int) -> Tiles:
        virtual = self._virtual[weight.number]
        assert virtual is not None
        if not self.revive:
            virtual = virtual.masked(self._alive.get(weight.number))
        return Tiles(weight.name, virtual, gradient, "magnitude", sign)

    def choose(
        self, scores: Sequence[Scores], total: int, shares: Shares
    ) -> list[Kept]:
        """What stays in the end, as `prune` takes it."""
        kept: list[Any] = [None] * len(self.weights)
        for numbers, k in self._groups(total, shares):
            chosen = highest(
                [self.weights[i] for i in numbers],
                [self._candidates(i, scores[i]) for i in numbers],
                k,
            )
            for i, keep in zip(numbers, chosen, strict=True):
                kept[i] = keep
        return [
            w.everything() if w.exempt else keep
            for w, keep in zip(self.weights, kept, strict=True)
        ]

    def shrink(self, scores: Sequence[Scores], total: int, shares: Shares) -> None:
        """Lets the best live on, and sets the values of the others to 0 meanwhile."""
        for numbers, k in self._groups(total, shares):
            some = [self.weights[i] for i in numbers]
            given = [self._candidates(i, scores[i]) for i in numbers]
            if any(isinstance(s, Tiles) for s in given):
                alive = _above(some, given, k)
            else:
                alive = [np.asarray(keep) for keep in highest(some, given, k)]
            for i, marks in zip(numbers, alive, strict=True):
                self._let_live(i, marks)

    def _groups(self, total: int, shares: Shares) -> list[tuple[list[int], int]]:
        most = [w.before for w in self.weights] if self.revive else self._counts
        return shares.groups(self.weights, total, most)

    def _candidates(self, number: int, scores: Scores) -> Scores:
        """Checked scores; what may not be chosen is below everything."""
        if isinstance(scores, Tiles):
            return scores
        check_finite(self.weights[number], scores)
        if self.revive or number not in self._alive:
            return scores
        return np.where(self._alive[number], scores, np.finfo(scores.dtype).min)

    def _let_live(self, number: int, alive: np.ndarray) -> None:
        weight, virtual = self.weights[number], self._virtual[number]
        self._alive[number] = alive
        if virtual is not None:
            self._counts[number] = count(alive)
            weight.param.virtual = virtual.masked(alive)
            return
        self._counts[number] = int(np.count_nonzero(alive))
        values = self._values.setdefault(number, weight.param.values.data.copy())
        _write(weight, np.where(alive, values, values.dtype.type(0)))


def _write(weight: Weight, values: np.ndarray) -> None:
    """Sets values in place, so that gradients and the optimiser's state stay."""
    tensor = weight.param.values
    tensor.data[...] = values
    tensor.touch()


def _above(
    weights: Sequence[Weight], scores: Sequence[Scores], k: int
) -> list[np.ndarray]:
    """Marks the k highest scores: masks of stored weights, bits of virtual ones.

    Memory does not depend on k; the scores are gone through three times.
    """
    dtype = np.result_type(*(s.dtype for s in scores))

    def parts(i: int) -> Iterator[np.ndarray]:
        given = scores[i]
        if isinstance(given, Tiles):
            for _, tile in given:
                yield as_keys(tile.astype(dtype, copy=False))
        else:
            ordered = weights[i].param.pattern.to_canonical(given)
            yield as_keys(ordered.astype(dtype)[None])

    def everything() -> Iterator[np.ndarray]:
        for i in range(len(weights)):
            yield from parts(i)

    if k:
        key, ties = kth_largest(everything, 8 * dtype.itemsize, k)
    else:
        key, ties = 1 << 8 * dtype.itemsize, 0
    alive = []
    for i, weight in enumerate(weights):
        blocks = []
        for keys in parts(i):
            marks = keys > key if k else np.zeros(keys.shape, np.bool_)
            if ties:
                equal = np.flatnonzero(keys == key)[:ties]
                marks.reshape(-1)[equal] = True
                ties -= len(equal)
            stored = isinstance(scores[i], np.ndarray)
            blocks.append(
                weight.param.pattern.from_canonical(marks[0]) if stored else pack(marks)
            )
        alive.append(np.concatenate(blocks) if blocks else _no_rows(weight))
    return alive


def _no_rows(weight: Weight) -> np.ndarray:
    """Bits of a virtual weight without positions."""
    n_out, n_in = weight.param.shape
    return np.zeros((n_out, -(-n_in // 64)), np.uint64)
