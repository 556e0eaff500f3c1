"""Sequences of different lengths in one array."""

from __future__ import annotations

from typing import Any, final

import numpy as np

__all__ = ["Sequences"]


@final
class Sequences:
    """Padded sequences and how long each one is: a batch, or a whole data set.

    Parameters
    ----------
    values : array_like, shape (samples, time, features)
        What is past the end of a sequence is never looked at.
    lengths : array_like of int, shape (samples,), optional
        From 1 to `time`; by default all are of full length.

    Attributes
    ----------
    values : ndarray
    lengths : ndarray of int64

    Raises
    ------
    ValueError
        If shapes or lengths do not fit.
    """

    __slots__ = ("lengths", "values")

    def __init__(self, values: Any, lengths: Any = None) -> None:
        self.values = np.asarray(values)
        if self.values.ndim != 3:
            raise ValueError(
                "sequences are (samples, time, features), got shape "
                f"{self.values.shape}"
            )
        self.lengths = checked_lengths(lengths, self.values.shape)

    @property
    def shape(self) -> tuple[int, ...]:
        """(samples, time, features)."""
        return self.values.shape

    @property
    def ndim(self) -> int:
        """3."""
        return 3

    @property
    def dtype(self) -> np.dtype:
        """Of the values."""
        return self.values.dtype

    @property
    def tokens(self) -> int:
        """Steps of all sequences together."""
        return int(self.lengths.sum())

    @property
    def inside(self) -> np.ndarray:
        """True for the steps before an end, shape (samples, time)."""
        return np.arange(self.shape[1]) < self.lengths[:, None]

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.lengths)

    def __getitem__(self, samples: slice | np.ndarray) -> Sequences:
        """Some of the samples, padded no longer than the longest of them."""
        lengths = self.lengths[samples]
        time = int(lengths.max()) if lengths.size else 0
        return Sequences(self.values[samples, :time], lengths)

    def __repr__(self) -> str:
        """Sizes and lengths."""
        n = self.lengths
        span = f"{n.min()} to {n.max()}" if n.size else "none"
        return f"Sequences(shape={self.shape}, {self.dtype}, lengths {span})"


def checked_lengths(lengths: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Lengths of padded sequences of a shape, int64; all full for None.

    Raises
    ------
    ValueError
        If there is not one for each sample, from 1 to the time axis.
    """
    samples, time = shape[:2]
    if lengths is None:
        lengths = np.full(samples, time)
    found = np.asarray(lengths)
    if found.shape != (samples,) or (found.size and found.dtype.kind not in "iu"):
        raise ValueError(
            f"lengths must be {samples} integers, one for each sequence, got "
            f"{found.dtype} of shape {found.shape}"
        )
    wrong = (found < 1) | (found > time)
    if wrong.any():
        raise ValueError(
            f"a length must be from 1 to {time}, the steps of the batch; got "
            f"{found[wrong][0]} for sequence {int(np.argmax(wrong))}"
        )
    return found.astype(np.int64)
