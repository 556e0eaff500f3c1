"""Holding out a test part."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sparsenn.data.errors import DataError
from sparsenn.random import Purpose, Stream

__all__ = ["split_indices"]


def split_indices(
    n: int, fraction: float, seed: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Choose at random which samples to keep for training and which for testing.

    Parameters
    ----------
    n : int
        Number of samples, at least 2.
    fraction : float
        Share of the test part, in (0, 1); both parts get at least one sample.
    seed : int

    Returns
    -------
    train, test : int64 arrays
        Sorted; together every index below n once.

    Raises
    ------
    DataError
        If there are fewer than 2 samples.
    ValueError
        If `fraction` is out of range.
    """
    if not 0 < fraction < 1:
        raise ValueError(f"test fraction is {fraction}; allowed are 0 < fraction < 1")
    if n < 2:
        raise DataError(f"{n} samples cannot be split into a training and a test part")
    n_test = min(max(1, round(n * fraction)), n - 1)
    order = Stream(seed, Purpose.SPLIT).permutation(n)
    return np.sort(order[n_test:]), np.sort(order[:n_test])
