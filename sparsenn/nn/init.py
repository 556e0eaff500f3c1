"""Initial values of sparse weights, scaled by the connections that really exist.

An initialiser is called as ``init(pattern, stream, dtype, slots)`` and returns the
values of the given slots (None: of all), in storage order. Each value is drawn at its
position (row, column), so values do not depend on how the pattern is stored. What a
weight with every position is drawn from, `law(shape)` says, so that it need not be
stored (:class:`sparsenn.sparse.VirtualWeight`).

With a fan-in of n_in although only a few connections exist, signals fade from layer to
layer; Evci et al., "Gradient flow in sparse neural networks", arXiv:2010.03533.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np

from sparsenn import blas
from sparsenn.ops import descend_to_isometry
from sparsenn.random import Stream
from sparsenn.sparse import SparsePattern


@dataclass(frozen=True)
class _Everywhere:
    """What an initialiser looks at in a full pattern, of any size."""

    shape: tuple[int, int]


@dataclass(frozen=True)
class _Scaled(ABC):
    """Draws of unit size at each position, times a scale of its row and column."""

    _law: ClassVar[str] = "normal"

    def law(self, shape: tuple[int, int]) -> tuple[str, float]:
        """The distribution of a full weight's draws and the scale of them all."""
        return self._law, float(self._scale(_Everywhere(shape), None))

    def __call__(
        self,
        pattern: SparsePattern,
        stream: Stream,
        dtype: np.dtype,
        slots: np.ndarray | None = None,
    ) -> np.ndarray:
        """Values of the slots."""
        draws = self._draw(pattern, stream, dtype, slots)
        return draws * np.asarray(self._scale(pattern, slots)).astype(dtype)

    def _draw(
        self,
        pattern: SparsePattern,
        stream: Stream,
        dtype: np.dtype,
        slots: np.ndarray | None,
    ) -> np.ndarray:
        """N(0, 1), unless a distribution says otherwise."""
        elements = _elements(pattern, slots)
        return stream.normal(dtype=dtype, **elements)

    @abstractmethod
    def _scale(
        self, pattern: SparsePattern | _Everywhere, slots: np.ndarray | None
    ) -> np.ndarray | float:
        """Factor of each slot's draw; one for all of a full pattern."""


@dataclass(frozen=True)
class _ScaledUniform(_Scaled):
    """The same with draws from U(-1, 1)."""

    _law: ClassVar[str] = "uniform"

    def _draw(
        self,
        pattern: SparsePattern,
        stream: Stream,
        dtype: np.dtype,
        slots: np.ndarray | None,
    ) -> np.ndarray:
        elements = _elements(pattern, slots)
        return 2 * stream.uniform(dtype=dtype, **elements) - 1


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

    def law(self, shape: tuple[int, int]) -> tuple[str, float]:
        """The distribution, "constant", and the value."""
        return "constant", self.value


@final
@dataclass(frozen=True)
class Normal(_Scaled):
    """N(0, std^2), whatever the fan-in (SET's authors: std = 0.1)."""

    std: float = 0.1

    def _scale(
        self, pattern: SparsePattern | _Everywhere, slots: np.ndarray | None
    ) -> float:
        return self.std


@final
@dataclass(frozen=True)
class KaimingNormal(_Scaled):
    """N(0, gain^2 / fan_in), fan_in = connections into the row's neuron.

    References
    ----------
    He et al., "Delving deep into rectifiers", arXiv:1502.01852.
    """

    gain: float = math.sqrt(2.0)

    def _scale(
        self, pattern: SparsePattern | _Everywhere, slots: np.ndarray | None
    ) -> np.ndarray | float:
        return self.gain / np.sqrt(_fan(pattern, slots, into=True))


@final
@dataclass(frozen=True)
class KaimingUniform(_ScaledUniform):
    """U(-a, a) with a = gain * sqrt(3 / fan_in): the variance of KaimingNormal."""

    gain: float = math.sqrt(2.0)

    def _scale(
        self, pattern: SparsePattern | _Everywhere, slots: np.ndarray | None
    ) -> np.ndarray | float:
        return self.gain * np.sqrt(3.0 / _fan(pattern, slots, into=True))


@final
@dataclass(frozen=True)
class XavierNormal(_Scaled):
    """N(0, 2 gain^2 / (fan_in + fan_out)), both of real connections.

    References
    ----------
    Glorot & Bengio, "Understanding the difficulty of training deep feedforward neural
    networks", 2010.
    """

    gain: float = 1.0

    def _scale(
        self, pattern: SparsePattern | _Everywhere, slots: np.ndarray | None
    ) -> np.ndarray | float:
        return self.gain * np.sqrt(2.0 / _fans(pattern, slots))


@final
@dataclass(frozen=True)
class XavierUniform(_ScaledUniform):
    """U(-a, a) with a = gain * sqrt(6 / (fan_in + fan_out)), of real connections."""

    gain: float = 1.0

    def _scale(
        self, pattern: SparsePattern | _Everywhere, slots: np.ndarray | None
    ) -> np.ndarray | float:
        return self.gain * np.sqrt(6.0 / _fans(pattern, slots))


@final
@dataclass(frozen=True)
class Orthogonal:
    """A multiple of an isometry, as nearly as the pattern allows.

    A full weight has orthonormal columns (rows, if there are more columns), uniformly
    distributed, times `gain`. A sparse one starts at normal draws with columns (or
    rows) of unit norm and descends towards an isometry on its pattern.

    Parameters
    ----------
    gain : float
        The singular values aimed at; sqrt(2) under ReLU.
    steps : int
        Of the descent on a sparse pattern, each as many products with the weight as it
        has rows or columns, whichever are fewer.

    References
    ----------
    Saxe et al., "Exact solutions to the nonlinear dynamics of learning in deep linear
    neural networks", arXiv:1312.6120; Lee et al., "A signal propagation perspective for
    pruning neural networks at initialization", arXiv:1906.06307.
    """

    gain: float = 1.0
    steps: int = 100

    def __call__(
        self,
        pattern: SparsePattern,
        stream: Stream,
        dtype: np.dtype,
        slots: np.ndarray | None = None,
    ) -> np.ndarray:
        """Values of the slots; all of them are computed."""
        if not pattern.nnz:
            values = np.zeros(0)
        elif pattern.is_full:
            values = _orthonormal(pattern.shape, stream)
        else:
            values = self._isometric(pattern, stream)
        values = (self.gain * values).astype(dtype)
        return values if slots is None else values[slots]

    def _isometric(self, pattern: SparsePattern, stream: Stream) -> np.ndarray:
        draws = stream.normal(dtype=np.float64, **_elements(pattern, None))
        line = pattern.positions()[0 if pattern.shape[0] < pattern.shape[1] else 1]
        norms = np.maximum(np.sqrt(np.bincount(line, draws**2)), 1e-300)
        return descend_to_isometry(draws / norms[line], pattern, self.steps)[0]


def _orthonormal(shape: tuple[int, int], stream: Stream) -> np.ndarray:
    """Row-major values of a uniformly distributed isometry."""
    rows, columns = max(shape), min(shape)
    draws = stream.normal(rows * columns, np.float64).reshape(rows, columns)
    with blas.one_thread():
        q, r = np.linalg.qr(draws)
    q *= np.where(np.diag(r) < 0, -1.0, 1.0)
    return (q if shape[0] >= shape[1] else q.T).reshape(-1)


def _elements(pattern: SparsePattern, slots: np.ndarray | None) -> dict[str, Any]:
    """Which elements of a stream belong to the slots: those numbered by position."""
    if pattern.is_full:
        if slots is None:
            return {"n": pattern.nnz}
        return {"elements": slots.astype(np.int64)}
    ranks = pattern.ranks()
    return {"elements": ranks if slots is None else ranks[slots]}


def _fans(
    pattern: SparsePattern | _Everywhere, slots: np.ndarray | None
) -> np.ndarray | float:
    """Connections of the slot's row and of its column together."""
    return _fan(pattern, slots, into=True) + _fan(pattern, slots, into=False)


def _fan(
    pattern: SparsePattern | _Everywhere, slots: np.ndarray | None, *, into: bool
) -> np.ndarray | float:
    """Connections of the row (`into`) or column that each slot belongs to, >= 1."""
    n_rows, n_cols = pattern.shape
    if isinstance(pattern, _Everywhere) or pattern.is_full:
        return float(max(n_cols if into else n_rows, 1))
    rows, cols = pattern.positions()
    if into:
        counts, line = np.diff(pattern.indptr), rows
    else:
        counts, line = np.bincount(cols, minlength=n_cols), cols
    return counts[line if slots is None else line[slots]].astype(np.float64)
