"""The exact k-th largest of scores that are computed again whenever they are needed.

Floats of one sign are ordered as their bits are, so a histogram of the upper sixteen
bits finds the bin where the k-th largest lies, and another pass its exact value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Keys: TypeAlias = Callable[[], Iterable[np.ndarray]]

_BINS = 1 << 16
_COLLECT = 1 << 24  # keys of one bin that are looked at together


def as_keys(scores: np.ndarray) -> np.ndarray:
    """Unsigned integers in the order of floats of any sign; the two zeros are equal."""
    scores = scores + scores.dtype.type(0)  # -0 becomes +0
    bits: NDArray[np.unsignedinteger[Any]] = scores.view(f"u{scores.itemsize}")
    top = bits.dtype.type(1 << (8 * scores.itemsize - 1))
    return np.where(bits & top, ~bits, bits | top)


def histogram(keys: np.ndarray, shift: int, prefix: int | None = None) -> np.ndarray:
    """Counts of sixteen bits of keys, of those whose higher bits are a prefix."""
    if prefix is not None:
        keys = keys[keys >> keys.dtype.type(shift + 16) == prefix]
    bins = (keys >> keys.dtype.type(shift)).astype(np.uint16)
    return np.bincount(bins.reshape(-1), minlength=_BINS)


def kth_largest(
    keys: Keys, bits: int, k: int, counts: np.ndarray | None = None
) -> tuple[int, int]:
    """The k-th largest key, and how many of the keys equal to it are among the k.

    Parameters
    ----------
    keys : callable
        ``() -> iterable of arrays of keys``, the same each time.
    bits : {32, 64}
        Of a key.
    k : int
        At least 1 and at most the number of keys.
    counts : ndarray, shape (65536,), optional
        Histogram of the upper sixteen bits, if it is known.

    Returns
    -------
    key, ties : int
    """
    shift, prefix = bits - 16, 0
    if counts is None:
        counts = _total(keys, shift, None)
    while True:
        above = np.cumsum(counts[::-1])
        place = int(np.searchsorted(above, k))
        chosen = _BINS - 1 - place
        k -= int(above[place - 1]) if place else 0
        prefix = prefix << 16 | chosen
        if shift == 0:
            return prefix, k
        if counts[chosen] <= _COLLECT:
            return _among(keys, shift, prefix, k)
        shift -= 16
        counts = _total(keys, shift, prefix)


def _total(keys: Keys, shift: int, prefix: int | None) -> np.ndarray:
    total = np.zeros(_BINS, np.int64)
    for part in keys():
        total += histogram(part, shift, prefix)
    return total


def _among(keys: Keys, shift: int, prefix: int, k: int) -> tuple[int, int]:
    """The k-th largest of the keys with a prefix, all of them at once."""
    found = np.concatenate(
        [part[part >> part.dtype.type(shift) == prefix] for part in keys()]
    )
    place = len(found) - k
    found.partition(place)
    key = int(found[place])
    return key, k - int(np.count_nonzero(found[place:] > key))
