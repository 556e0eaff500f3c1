"""Scores of weights that are not stored, made tile by tile whenever they are needed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, final

import numpy as np

from sparsenn.ops import OuterSum, TileScores, WeightScores
from sparsenn.pruning.bits import unpack
from sparsenn.sparse import VirtualWeight

_TILE_BYTES = 4 << 20


@final
class Tiles:
    """``sign * w * G`` or ``sign * |w * G|`` at every position of a virtual weight.

    Parameters
    ----------
    name : str
        Of the weight.
    weight : VirtualWeight
        w. Positions that its mask leaves out may not be chosen.
    gradient : OuterSum or None
        G; None: 1 everywhere.
    kind : {"value", "magnitude"}
    sign : {1, -1}
    """

    def __init__(
        self,
        name: str,
        weight: VirtualWeight,
        gradient: OuterSum | None,
        kind: Literal["value", "magnitude"],
        sign: int,
    ) -> None:
        self.name = name
        self.weight = weight
        self.gradient = gradient
        self.kind = kind
        self.sign = sign

    @property
    def dtype(self) -> np.dtype:
        """Of the scores."""
        return self.weight.dtype

    def source(self) -> TileScores | WeightScores:
        """The scores, for :func:`sparsenn.ops.largest_scores`."""
        if self.sign > 0 or self.kind == "value":
            kind = self.kind if self.sign > 0 else "negative"
            return WeightScores(self.weight, self.gradient, kind)
        positive = WeightScores(self.weight, self.gradient, "magnitude")

        def tiles() -> Iterator[tuple[int, np.ndarray]]:
            for first, tile in self:
                # What may not be chosen comes behind everything that may.
                yield first, np.maximum(tile, np.finfo(tile.dtype).min)

        return TileScores(
            self.weight.shape, self.dtype, tiles, lambda ranks: -positive.sample(ranks)
        )

    def __iter__(self) -> Iterator[tuple[int, np.ndarray]]:
        """Blocks of rows: (first row, scores (rows, n_in)), the same bits each time.

        Raises
        ------
        ValueError
            If a score is not finite.
        """
        for first, tile in self._products():
            if self.kind == "magnitude":
                np.abs(tile, out=tile)
            if self.sign < 0:
                np.negative(tile, out=tile)
            if tile.size and not (np.isfinite(tile.max()) and np.isfinite(tile.min())):
                row, column = np.argwhere(~np.isfinite(tile))[0]
                raise ValueError(
                    f"scores of {self.name!r} are not finite, the first "
                    f"{tile[row, column]} at row {first + row}, column {column}; look "
                    "for an overflow in the loss or the weights, or compute in float64"
                )
            mask = self.weight.mask
            if mask is not None:
                alive = unpack(mask[first : first + len(tile)], tile.shape[1])
                tile[~alive] = -np.inf
            yield first, tile

    def _products(self) -> Iterator[tuple[int, np.ndarray]]:
        n_rows, n_cols = self.weight.shape
        if self.gradient is not None:
            for first, tile in self.gradient.tiles():
                tile *= self.weight.rows(first, len(tile))
                yield first, tile
            return
        height = max(_TILE_BYTES // max(n_cols * self.dtype.itemsize, 1), 1)
        for first in range(0, n_rows, height):
            yield first, self.weight.rows(first, min(height, n_rows - first))
