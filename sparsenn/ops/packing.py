"""Sequences of different lengths as tokens, a time step after the other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, final

import numpy as np

from sparsenn.autograd import Tensor
from sparsenn.ops.indexing import scatter_add, take
from sparsenn.ops.shape import contiguous, reshape

__all__ = ["Packing"]


@final
class Packing:
    """Which tokens a batch of sequences has, and in which order they are walked.

    Tokens are rows of a (tokens, features) matrix: those of step 0, then those of step
    1, ... with the samples of a step from the longest sequence to the shortest. So a
    step is a block of rows without gaps, the samples that go on are its first ones, and
    what is past an end does not exist.

    Parameters
    ----------
    lengths : ndarray of int, shape (batch,)
        Steps of each sequence, from 1 to `time`.
    time : int
        Steps of the padded batch.

    Attributes
    ----------
    sizes : tuple of int
        Samples of each step; not increasing, the first is the batch.
    order : ndarray of int, shape (batch,)
        The sample of each row of a step.
    previous : ndarray of int, shape (tokens,)
        Row of each token's predecessor among the rows of the initial state followed by
        the tokens.
    last : ndarray of int, shape (batch,)
        Token of each sample's last step.
    reverse : ndarray of int, shape (tokens,)
        The tokens of the sequences walked backward; its own inverse.
    """

    def __init__(self, lengths: np.ndarray, time: int) -> None:
        batch = len(lengths)
        self.shape = batch, time
        self.order = np.argsort(-lengths, kind="stable")
        ends = lengths[self.order]
        # The lengths fall, so that step t has as many samples as are longer than t.
        sizes = np.searchsorted(-ends, -np.arange(ends[0]), side="left")
        self.sizes = tuple(map(int, sizes))
        starts = np.concatenate([[0], np.cumsum(sizes)])
        step = np.repeat(np.arange(len(sizes)), sizes)
        row = np.arange(starts[-1]) - starts[step]
        first = step == 0
        self.previous = np.where(first, row, batch + starts[step - 1] + row)
        self.reverse = starts[ends[row] - 1 - step] + row
        self.last = np.empty(batch, np.int64)
        self.last[self.order] = starts[ends - 1] + np.arange(batch)
        self._places = self.order[row] * time + step

    @property
    def tokens(self) -> int:
        """Number of tokens."""
        return len(self.previous)

    def steps(self) -> Iterator[slice]:
        """The rows of each step."""
        start = 0
        for size in self.sizes:
            yield slice(start, start + size)
            start += size

    def pack(self, x: Any) -> Tensor:
        """Tokens of a padded batch: (batch, time, features) to (tokens, features)."""
        rows = reshape(x, (-1, x.shape[2]))
        return contiguous(take(rows, self._places))

    def unpack(self, tokens: Tensor) -> Tensor:
        """The padded batch with zeros past the ends, shape (batch, time, features)."""
        batch, time = self.shape
        n_features = tokens.shape[1]
        rows = scatter_add(tokens, self._places, (batch * time, n_features))
        return reshape(rows, (batch, time, n_features))
