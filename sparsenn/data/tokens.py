"""Samples that are numbers of tokens, each with a label of its own."""

from __future__ import annotations

from typing import Any, final

import numpy as np

__all__ = ["Tokens"]


@final
class Tokens:
    """Windows of a text: a data set's features, or a part of them.

    Their labels are the tokens that follow, one for each: (samples, time), too.

    Parameters
    ----------
    values : array_like of int, shape (samples, time)

    Attributes
    ----------
    values : ndarray of int64

    Raises
    ------
    ValueError
        If they are no integers of that shape.
    """

    __slots__ = ("values",)

    def __init__(self, values: Any) -> None:
        values = np.asarray(values)
        if values.ndim != 2 or values.dtype.kind not in "iu":
            raise ValueError(
                "tokens are integers of shape (samples, time), got shape "
                f"{values.shape} of {values.dtype}"
            )
        self.values = values.astype(np.int64, copy=False)

    @property
    def shape(self) -> tuple[int, ...]:
        """(samples, time)."""
        return self.values.shape

    @property
    def ndim(self) -> int:
        """Number of axes: 2."""
        return 2

    @property
    def dtype(self) -> np.dtype[np.int64]:
        """That of the numbers."""
        return self.values.dtype

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.values)

    def __getitem__(self, index: Any) -> Tokens:
        """Some of the samples, by a slice, numbers or a mask."""
        return Tokens(self.values[index])
