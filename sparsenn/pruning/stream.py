"""The highest scores of weights that are not stored, tile by tile."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias, final

import numpy as np

from sparsenn.ops.largest import Largest
from sparsenn.sparse import SparseParameter

Tile: TypeAlias = tuple[int, np.ndarray]


@final
class Tiles:
    """Scores of every position of a virtual weight, computed whenever they are needed.

    Parameters
    ----------
    name : str
        Of the weight.
    dtype : float32 or float64
    make : callable
        ``() -> iterator of (first row, scores (rows, n_in))``, row block by row block,
        with the same bits each time. Scores of -inf are never chosen.
    """

    def __init__(
        self, name: str, dtype: np.dtype, make: Callable[[], Iterator[Tile]]
    ) -> None:
        self.name = name
        self.dtype = dtype
        self._make = make

    def __iter__(self) -> Iterator[Tile]:
        """The tiles.

        Raises
        ------
        ValueError
            If a score is NaN or +inf.
        """
        for first, scores in self._make():
            if scores.size:
                worst = scores.max()  # NaN if there is one
                if not worst < np.inf:
                    row, column = np.argwhere(~(scores < np.inf))[0]
                    raise ValueError(
                        f"scores of {self.name!r} are not finite, the first "
                        f"{scores[row, column]} at row {first + row}, column {column}; "
                        "look for an overflow in the loss or the weights, or compute "
                        "in float64"
                    )
            yield first, scores


def largest_streamed(
    params: Sequence[SparseParameter],
    scores: Sequence[np.ndarray | Tiles],
    k: int,
) -> list[np.ndarray | tuple[np.ndarray, np.ndarray]]:
    """Marks the k connections of highest score of several weights together.

    Parameters
    ----------
    params : sequence of SparseParameter
    scores : sequence of ndarray, shape (nnz,), or Tiles
        Of stored and of virtual weights.
    k : int

    Returns
    -------
    list of ndarray of bool, or of CSR
        Masks in storage order; of virtual weights canonical CSR. Among equal scores the
        lower (weight, row, column) is chosen.

    Notes
    -----
    One pass over the scores; memory for two to three k of them, at least a million.
    """
    possible = sum(param.nnz for param in params)
    if not 0 <= k <= possible:
        raise ValueError(f"k is {k}, it must lie in 0..{possible}")
    if k == 0:
        return [
            np.zeros(s.shape, np.bool_)
            if isinstance(s, np.ndarray)
            else (np.zeros(p.shape[0] + 1, np.int64), np.zeros(0, np.int32))
            for p, s in zip(params, scores, strict=True)
        ]
    dtype = np.result_type(*(s.dtype for s in scores))
    best = Largest(k, dtype, -np.inf)
    for param, given in zip(params, scores, strict=True):
        if isinstance(given, np.ndarray):  # one row, in canonical order
            _add(best, param.pattern.to_canonical(given)[None].astype(dtype))
        else:
            for _, tile in given:
                _add(best, tile.astype(dtype, copy=False))
    if len(best) < k:
        raise ValueError(
            f"only {len(best):,} connections may be chosen, {k:,} are to be"
        )
    indptr, columns = best.result()
    kept: list[np.ndarray | tuple[np.ndarray, np.ndarray]] = []
    row = 0
    for param, given in zip(params, scores, strict=True):
        stored = isinstance(given, np.ndarray)
        last = row + (1 if stored else param.shape[0])
        part = columns[indptr[row] : indptr[last]]
        if stored:
            mask = np.zeros(param.nnz, np.bool_)
            mask[part] = True
            kept.append(param.pattern.from_canonical(mask))
        else:
            kept.append((indptr[row : last + 1] - indptr[row], part))
        row = last
    return kept


def _add(best: Largest, tile: np.ndarray) -> None:
    """Gives the candidates the scores of some rows that are worth it."""
    n_cols = tile.shape[1]
    if not n_cols:
        best.add(np.zeros(len(tile), np.int32), *_nothing(tile.dtype))
        return
    flat = tile.reshape(-1)
    places = np.flatnonzero(flat > best.threshold)
    rows, columns = np.divmod(places, n_cols)
    counts = np.bincount(rows, minlength=len(tile)).astype(np.int32)
    best.add(counts, columns.astype(np.int32), flat[places])


def _nothing(dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    return np.zeros(0, np.int32), np.zeros(0, dtype)
