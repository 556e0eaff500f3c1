"""Initial values of sparse weights, scaled by the connections that really exist.

An initialiser is called as ``init(pattern, stream, dtype, slots)`` and returns the
values of the given slots (None: of all), in storage order. Each value is drawn at its
position (row, column), so values do not depend on how the pattern is stored.

With a fan-in of n_in although only a few connections exist, signals fade from layer to
layer; Evci et al., "Gradient flow in sparse neural networks", arXiv:2010.03533.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import numpy as np

from sparsenn.random import Stream
from sparsenn.sparse import SparsePattern


@final
@dataclass(frozen=True)
class Constant:
    """Every value is `value`."""

    value: float

    def __call__(
        self,
        pattern: SparsePattern,
        stream: Stream,
        dtype: np.dtype,
        slots: np.ndarray | None = None,
    ) -> np.ndarray:
        """Values of the slots."""
        size = pattern.nnz if slots is None else len(slots)
        return np.full(size, self.value, dtype)


@final
@dataclass(frozen=True)
class Normal:
    """N(0, std^2), whatever the fan-in (SET's authors: std = 0.1)."""

    std: float = 0.1

    def __call__(
        self,
        pattern: SparsePattern,
        stream: Stream,
        dtype: np.dtype,
        slots: np.ndarray | None = None,
    ) -> np.ndarray:
        """Values of the slots."""
        return _normal(pattern, stream, dtype, slots) * dtype.type(self.std)


@final
@dataclass(frozen=True)
class KaimingNormal:
    """N(0, gain^2 / fan_in), fan_in = connections into the row's neuron.

    References
    ----------
    He et al., "Delving deep into rectifiers", arXiv:1502.01852.
    """

    gain: float = math.sqrt(2.0)

    def __call__(
        self,
        pattern: SparsePattern,
        stream: Stream,
        dtype: np.dtype,
        slots: np.ndarray | None = None,
    ) -> np.ndarray:
        """Values of the slots."""
        fan_in = _fan(pattern, slots, into=True)
        scale = (self.gain / np.sqrt(fan_in)).astype(dtype)
        return _normal(pattern, stream, dtype, slots) * scale


@final
@dataclass(frozen=True)
class KaimingUniform:
    """U(-a, a) with a = gain * sqrt(3 / fan_in): the variance of KaimingNormal."""

    gain: float = math.sqrt(2.0)

    def __call__(
        self,
        pattern: SparsePattern,
        stream: Stream,
        dtype: np.dtype,
        slots: np.ndarray | None = None,
    ) -> np.ndarray:
        """Values of the slots."""
        fan_in = _fan(pattern, slots, into=True)
        scale = (self.gain * np.sqrt(3.0 / fan_in)).astype(dtype)
        return _symmetric_uniform(pattern, stream, dtype, slots) * scale


@final
@dataclass(frozen=True)
class XavierNormal:
    """N(0, 2 gain^2 / (fan_in + fan_out)), both of real connections.

    References
    ----------
    Glorot & Bengio, "Understanding the difficulty of training deep feedforward neural
    networks", 2010.
    """

    gain: float = 1.0

    def __call__(
        self,
        pattern: SparsePattern,
        stream: Stream,
        dtype: np.dtype,
        slots: np.ndarray | None = None,
    ) -> np.ndarray:
        """Values of the slots."""
        fans = _fan(pattern, slots, into=True) + _fan(pattern, slots, into=False)
        scale = (self.gain * np.sqrt(2.0 / fans)).astype(dtype)
        return _normal(pattern, stream, dtype, slots) * scale


@final
@dataclass(frozen=True)
class XavierUniform:
    """U(-a, a) with a = gain * sqrt(6 / (fan_in + fan_out)), of real connections."""

    gain: float = 1.0

    def __call__(
        self,
        pattern: SparsePattern,
        stream: Stream,
        dtype: np.dtype,
        slots: np.ndarray | None = None,
    ) -> np.ndarray:
        """Values of the slots."""
        fans = _fan(pattern, slots, into=True) + _fan(pattern, slots, into=False)
        scale = (self.gain * np.sqrt(6.0 / fans)).astype(dtype)
        return _symmetric_uniform(pattern, stream, dtype, slots) * scale


def _ranks(pattern: SparsePattern, slots: np.ndarray | None) -> np.ndarray | None:
    """Element numbers of the draws; None for all positions of a full pattern."""
    if slots is None:
        return None if pattern.is_full else pattern.ranks()
    return slots.astype(np.int64) if pattern.is_full else pattern.ranks()[slots]


def _normal(
    pattern: SparsePattern, stream: Stream, dtype: np.dtype, slots: np.ndarray | None
) -> np.ndarray:
    elements = _ranks(pattern, slots)
    if elements is None:
        return stream.normal(pattern.nnz, dtype=dtype)
    return stream.normal(elements=elements, dtype=dtype)


def _symmetric_uniform(
    pattern: SparsePattern, stream: Stream, dtype: np.dtype, slots: np.ndarray | None
) -> np.ndarray:
    elements = _ranks(pattern, slots)
    if elements is None:
        uniform = stream.uniform(pattern.nnz, dtype=dtype)
    else:
        uniform = stream.uniform(elements=elements, dtype=dtype)
    return 2 * uniform - 1


def _fan(
    pattern: SparsePattern, slots: np.ndarray | None, *, into: bool
) -> np.ndarray | float:
    """Connections of the row (`into`) or column that each slot belongs to, >= 1."""
    n_rows, n_cols = pattern.shape
    if pattern.is_full:
        return float(max(n_cols if into else n_rows, 1))
    rows, cols = pattern.positions()
    if into:
        counts, line = np.diff(pattern.indptr), rows
    else:
        counts, line = np.bincount(cols, minlength=n_cols), cols
    return counts[line if slots is None else line[slots]].astype(np.float64)
