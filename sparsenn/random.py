"""Random numbers by address: every draw names what it is for.

A `Stream` is (seed, purpose, layer, step) and its elements are numbered; nothing is
stored between draws. The same address gives the same bits on every machine, in any
order and on any number of threads.
"""

from __future__ import annotations

import enum
import secrets
from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike, NDArray

from sparsenn import _core

__all__ = ["Purpose", "Stream", "as_seed"]


class Purpose(enum.IntEnum):
    """What a stream is for. The numbers are part of every draw: never reuse one."""

    INIT = 1
    PATTERN = 2
    GROW = 3
    NEWBORN = 4
    DROPOUT = 5
    SHUFFLE = 6
    SPLIT = 7
    AUGMENT = 8
    PROBE = 9
    DATA = 10
    NOISE = 11
    CONTROL = 16
    FORESIGHT = 17
    START = 20
    SAMPLE = 21
    TEST = 255


@dataclass(frozen=True, slots=True)
class Stream:
    """A sequence of independent random elements, numbered from 0.

    Parameters
    ----------
    seed : int
        0 <= seed < 2**64, see `as_seed`.
    purpose : Purpose
    layer : int
        0 <= layer < 2**24; tells the streams of a network's parts apart.
    step : int
        0 <= step < 2**32; tells the draws of training steps apart.

    Notes
    -----
    Philox4x32-10 (Salmon et al. 2011) with the seed as key. Each draw takes either
    ``n``, for elements 0 .. n - 1, or ``elements``, an int64 array of element numbers.

    Examples
    --------
    >>> stream = Stream(seed=0, purpose=Purpose.INIT)
    >>> bool((stream.uniform(10)[3:5] == stream.uniform(elements=[3, 4])).all())
    True
    """

    seed: int
    purpose: Purpose
    layer: int = 0
    step: int = 0

    def __post_init__(self) -> None:
        for name, bits in (("seed", 64), ("purpose", 8), ("layer", 24), ("step", 32)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | np.integer):
                raise TypeError(f"{name} is {value!r}, it must be an integer")
            if not 0 <= value < 1 << bits:
                raise ValueError(f"{name} is {value}, it must lie in 0..2**{bits} - 1")

    def bits(
        self, n: int | None = None, *, elements: NDArray[np.int64] | None = None
    ) -> NDArray[np.uint32]:
        """Draw 32-bit words, shape (n,)."""
        return _core.random_bits(self, n, _as_elements(elements))

    def uniform(
        self,
        n: int | None = None,
        dtype: DTypeLike = np.float32,
        *,
        elements: NDArray[np.int64] | None = None,
    ) -> NDArray[np.floating]:
        """Draw from [0, 1), shape (n,), of dtype float32 or float64.

        A float32 draw is the float64 draw of the same element, rounded down.
        """
        return _core.random_uniform(self, n, _as_elements(elements), dtype)

    def normal(
        self,
        n: int | None = None,
        dtype: DTypeLike = np.float32,
        *,
        elements: NDArray[np.int64] | None = None,
    ) -> NDArray[np.floating]:
        """Draw from the standard normal law, shape (n,), of dtype float32 or float64.

        A float32 draw is the float64 draw of the same element, rounded.
        """
        return _core.random_normal(self, n, _as_elements(elements), dtype)

    def permutation(self, n: int) -> NDArray[np.int64]:
        """Draw a permutation of 0 .. n - 1, shape (n,)."""
        words = self.bits(2 * n).astype(np.uint64)
        # Random 64-bit keys: two are equal with probability below n**2 / 2**65.
        return np.argsort(words[0::2] | words[1::2] << np.uint64(32), kind="stable")


def _as_elements(elements: NDArray[np.int64] | None) -> NDArray[np.int64] | None:
    """Element numbers as the binding wants them; anything but integers raises."""
    if elements is None:
        return None
    array = np.asarray(elements)
    if array.size == 0:
        return np.zeros(0, np.int64)
    if not np.can_cast(array.dtype, np.int64, "safe") or array.dtype == np.bool_:
        raise TypeError(f"elements has dtype {array.dtype}, it must be int64")
    return np.ascontiguousarray(array, np.int64)


def as_seed(seed: int | np.integer | np.random.Generator | None = None) -> int:
    """Make a seed for `Stream` out of what users pass as one.

    Parameters
    ----------
    seed : int, numpy.random.Generator or None
        An int is the seed itself; a Generator gives its next 64 bits and is not kept;
        None asks the operating system.

    Returns
    -------
    int
        0 <= seed < 2**64.

    Raises
    ------
    ValueError
        If an int is negative or needs more than 64 bits.
    """
    if seed is None:
        return secrets.randbits(64)
    if isinstance(seed, np.random.Generator):
        return int(seed.integers(0, 2**64, dtype=np.uint64))
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer):
        raise TypeError(
            f"seed is {seed!r}, it must be an int, a numpy.random.Generator or None"
        )
    if not 0 <= seed < 2**64:
        raise ValueError(f"seed is {seed}, it must lie in 0..2**64 - 1")
    return int(seed)
