"""The k largest of the scores of several layers, which are never all there at once.

Scores come as *sources*: an array, for the connections of a stored weight, or something
that makes them tile by tile and can do so again. Memory is that of a tile and of two to
three candidates for each that is kept.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any, TypeAlias, final

import numpy as np

from sparsenn import _core
from sparsenn.autograd.matmul import matmul
from sparsenn.ops.largest import Largest
from sparsenn.ops.outer_sum import OuterSum
from sparsenn.ops.sparse_batch import SparseBatch
from sparsenn.random import Purpose, Stream
from sparsenn.sparse import VirtualWeight
from sparsenn.sparse.virtual import tiling

__all__ = ["ArrayScores", "Scores", "TileScores", "WeightScores", "largest_scores"]

_SAMPLE = 1 << 17
_LEAST = 1 << 8
_AT_ONCE = 1 << 12

Candidates: TypeAlias = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Found in each row of a block; their columns; their scores, row by row."""


class Scores(ABC):
    """Where scores come from.

    Attributes
    ----------
    shape : tuple of int
        (n_rows, n_cols), of the positions that are scored.
    dtype : float32 or float64
    """

    shape: tuple[int, int]
    dtype: np.dtype

    @property
    def size(self) -> int:
        """Positions."""
        return self.shape[0] * self.shape[1]

    @abstractmethod
    def above(self, best: Largest) -> Iterator[Candidates]:
        """The scores above ``best.threshold``, which may rise, in blocks of rows.

        Raises
        ------
        ValueError
            If a score is not finite.
        """

    @abstractmethod
    def sample(self, ranks: np.ndarray) -> np.ndarray:
        """Scores at positions ``row * n_cols + column``; fewer where some are out."""


@final
class ArrayScores(Scores):
    """Scores that are there, shape (n,), of connections in canonical order."""

    def __init__(self, scores: np.ndarray) -> None:
        self.scores = np.ascontiguousarray(scores)
        if self.scores.ndim != 1 or self.scores.dtype not in (np.float32, np.float64):
            raise ValueError(
                "scores must be float32 or float64 of one axis, got "
                f"{self.scores.dtype} of shape {self.scores.shape}"
            )
        self.shape, self.dtype = (1, self.scores.size), self.scores.dtype

    def above(self, best: Largest) -> Iterator[Candidates]:
        """All of them at once."""
        tile = self.scores.reshape(1, -1).copy()
        yield _core.score_above(tile, _below(best.threshold, self.dtype))

    def sample(self, ranks: np.ndarray) -> np.ndarray:
        """Some of them."""
        return self.scores[ranks]


@final
class TileScores(Scores):
    """Scores that a function makes, whole rows at a time.

    Parameters
    ----------
    shape : tuple of int
    dtype : float32 or float64
    tiles : callable
        ``tiles()`` gives ``(first row, array (rows, n_cols))`` for all rows in order,
        the same ones each time; the arrays are written to.
    sample : callable
        ``sample(ranks)`` gives the scores at some positions.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        dtype: Any,
        tiles: Callable[[], Iterable[tuple[int, np.ndarray]]],
        sample: Callable[[np.ndarray], np.ndarray],
    ) -> None:
        self.shape, self.dtype = shape, np.dtype(dtype)
        self._tiles, self._sample = tiles, sample

    def above(self, best: Largest) -> Iterator[Candidates]:
        """Tile by tile."""
        for _, tile in self._tiles():
            rows = np.ascontiguousarray(tile)
            yield _core.score_above(rows, _below(best.threshold, self.dtype))

    def sample(self, ranks: np.ndarray) -> np.ndarray:
        """Scores at some positions."""
        return self._sample(ranks)


@final
class WeightScores(Scores):
    """Scores ``w``, or ``w G``, of a virtual weight and a sum of outer products.

    Parameters
    ----------
    weight : VirtualWeight
        Positions that its mask leaves out are no candidates.
    gradient : OuterSum or None
        G, of the weight's shape and dtype.
    kind : {"value", "magnitude", "negative"}
        What of the product is the score.
    """

    def __init__(
        self,
        weight: VirtualWeight,
        gradient: OuterSum | None = None,
        kind: str = "magnitude",
    ) -> None:
        if gradient is not None and gradient.shape != weight.shape:
            raise ValueError(
                f"the gradient has shape {gradient.shape}, the weight {weight.shape}"
            )
        self.shape, self.dtype = weight.shape, weight.dtype
        self.weight, self.kind = weight, kind
        self.factors = (
            None if gradient is None else [*map(self._pair, gradient.factors)]
        )

    def _pair(self, factors: tuple[Any, Any]) -> tuple[np.ndarray, np.ndarray]:
        a, b = factors
        b = b.to_dense() if isinstance(b, SparseBatch) else b
        return a.astype(self.dtype, copy=False), b.astype(self.dtype, copy=False)

    def above(self, best: Largest) -> Iterator[Candidates]:
        """Block of rows by block of rows, tiles of some columns in each."""
        tiles = tiling(self.shape, self.dtype.itemsize)
        for (top, bottom), group in groupby(tiles, lambda t: (t[0].start, t[0].stop)):
            found = []
            for _, columns in group:
                tile = self._factor(slice(top, bottom), columns)
                threshold = _below(best.threshold, self.dtype)
                counts, places, scores = _core.score_above(
                    tile, threshold, self.kind, self.weight, top, columns.start
                )
                found.append((counts, places, scores.copy()))
            yield _side_by_side(found)

    def sample(self, ranks: np.ndarray) -> np.ndarray:
        """Scores at some positions; those outside the mask are left out."""
        n_cols, mask = self.shape[1], self.weight.mask
        if mask is not None:
            rows, columns = np.divmod(ranks, n_cols)
            bits = mask[rows, columns >> 6] >> (columns & 63).astype(np.uint64)
            ranks = ranks[(bits & np.uint64(1)).astype(bool)]
        scores = self.weight.at_ranks(ranks)
        if self.factors is not None:
            for begin in range(0, len(ranks), _AT_ONCE):
                part = slice(begin, begin + _AT_ONCE)
                rows, columns = np.divmod(ranks[part], n_cols)
                scores[part] *= sum(
                    np.einsum("bi,bi->i", a[:, rows], b[:, columns])
                    for a, b in self.factors
                )
        if self.kind == "magnitude":
            return np.abs(scores)
        return -scores if self.kind == "negative" else scores

    def _factor(self, rows: slice, columns: slice) -> np.ndarray:
        if self.factors is None:
            shape = rows.stop - rows.start, columns.stop - columns.start
            return np.ones(shape, self.dtype)
        (a, b), *others = self.factors
        tile = matmul(a[:, rows].T, b[:, columns], activation=False)
        for a, b in others:
            tile += matmul(a[:, rows].T, b[:, columns], activation=False)
        return tile


def largest_scores(
    sources: Sequence[Scores], k: int
) -> list[np.ndarray | tuple[np.ndarray, np.ndarray]]:
    """The k largest scores of all sources together.

    Parameters
    ----------
    sources : sequence of Scores
        Layer by layer.
    k : int
        At most the number of candidates, and below 2**31.

    Returns
    -------
    list
        Of an `ArrayScores` a mask, ndarray of bool, shape (n,); of any other the
        positions as canonical CSR, ``(indptr, indices)`` of int32. Exactly k in all: of
        equal scores the lower (layer, row, column) wins.

    Raises
    ------
    ValueError
        If k is not possible, or if a score is not finite.

    Notes
    -----
    A threshold from a sample lets rather more than k scores through; what passes is
    thinned to k whenever it is twice as much, and the threshold rises. Scores are made
    once, twice if the sample was unlike the rest.
    """
    total = sum(source.size for source in sources)
    if not 0 <= k <= min(total, 2**31 - 1):
        raise ValueError(
            f"k must be in [0, {min(total, 2**31 - 1)}], there are {total} scores; got "
            f"{k}"
        )
    if k == 0:
        return [_part(s, np.zeros(s.shape[0] + 1, np.int32), _NONE) for s in sources]
    dtype = np.result_type(*(source.dtype for source in sources))
    best = _collect(sources, Largest(k, dtype, _admit(sources, k, total)))
    if len(best) < k and best.threshold > -np.inf:  # the sample was not like the rest
        best = _collect(sources, Largest(k, dtype, -np.inf))
    if len(best) < k:
        raise ValueError(f"k is {k}, but there are only {len(best)} candidates")
    indptr, columns = best.result()
    parts, row = [], 0
    for source in sources:
        here = indptr[row : row + source.shape[0] + 1]
        parts.append(_part(source, here - here[0], columns[here[0] : here[-1]]))
        row += source.shape[0]
    return parts


_NONE = np.zeros(0, np.int32)


def _part(source: Scores, indptr: np.ndarray, columns: np.ndarray) -> Any:
    """What is kept of one source."""
    if not isinstance(source, ArrayScores):
        return indptr, columns
    mask = np.zeros(source.size, bool)
    mask[columns] = True
    return mask


def _collect(sources: Sequence[Scores], best: Largest) -> Largest:
    for number, source in enumerate(sources):
        try:
            for candidates in source.above(best):
                best.add(*candidates)
        except ValueError as error:
            raise ValueError(f"layer {number}: {error}") from None
    return best


def _admit(sources: Sequence[Scores], k: int, total: int) -> float:
    """A score that rather more than k of all exceed, from a sample of each source."""
    scores, weights = [], []
    for number, source in enumerate(sources):
        n = min(max(_SAMPLE * source.size // total, _LEAST), source.size)
        if n == 0:
            continue
        stream = Stream(0, Purpose.PROBE, layer=number)
        ranks = (stream.uniform(n, np.float64) * source.size).astype(np.int64)
        found = source.sample(np.arange(n) if n == source.size else ranks)
        scores.append(np.asarray(found, np.float64))
        weights.append(np.full(len(found), source.size / n))
    joined = np.concatenate(scores)
    if len(joined) == 0 or not np.isfinite(joined).all():
        return -np.inf
    expected = k * min(_SAMPLE / total, 1)
    wanted = (1.05 * expected + 6 * expected**0.5 + 1) * max(total / _SAMPLE, 1)
    order = np.argsort(joined)[::-1]
    passed = np.cumsum(np.concatenate(weights)[order])
    last = int(np.searchsorted(passed, wanted))
    return float(joined[order[last]]) if last < len(joined) else -np.inf


def _below(threshold: float, dtype: np.dtype) -> float:
    """The threshold as a number of the dtype, rounded down."""
    rounded = dtype.type(threshold)
    if rounded > threshold:
        rounded = np.nextafter(rounded, dtype.type(-np.inf))
    return float(rounded)


def _side_by_side(found: list[Candidates]) -> Candidates:
    """Candidates of tiles that share their rows, from the left, as those of all."""
    if len(found) == 1:
        return found[0]
    counts = np.stack([f[0] for f in found])
    rows = np.repeat(
        np.tile(np.arange(counts.shape[1]), len(found)), counts.reshape(-1)
    )
    order = np.argsort(rows, kind="stable")
    columns = np.concatenate([f[1] for f in found])[order]
    scores = np.concatenate([f[2] for f in found])[order]
    return counts.sum(axis=0, dtype=np.int32), columns, scores
