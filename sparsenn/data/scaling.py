"""Bringing features to one scale: fitted once, applied batch by batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from sparsenn.autograd.sequences import Sequences
from sparsenn.data.features import Features, is_sparse
from sparsenn.data.features import n_features as features_of

__all__ = ["Kind", "Scaling"]

Kind = Literal["unit", "standard", "channels", "none"]
_CHUNK = 4096  # samples looked at together


@dataclass(frozen=True, eq=False)
class Scaling:
    """The map x -> (x - shift) / divisor, fitted on training data.

    ``unit`` brings values to [-1, 1], or [0, 1] if none is negative, and keeps zero at
    zero. Integers and sparse data are divided by one number, the largest absolute
    value (255 for ordinary images, 16 for the digits); dense floats feature by feature.
    ``standard`` gives each feature mean 0 and standard deviation 1; a constant feature
    becomes 0. Sparse features are only divided, never shifted. ``channels`` does the
    same with one mean and one deviation for all pixels of a channel of images, as is
    usual before convolutions. ``none`` only converts. Of sequences a feature has one
    scale for all steps, fitted on those before the ends.

    Attributes
    ----------
    kind : {"unit", "standard", "channels", "none"}
    n_features : int
        Features of one sample, or of one step of a sequence.
    shift : float64 array (n_features,) or None
    divisor : float64 array (n_features,) or (1,)
    """

    kind: Kind
    n_features: int
    shift: npt.NDArray[np.float64] | None
    divisor: npt.NDArray[np.float64]

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            allowed = ", ".join(get_args(Kind))
            raise ValueError(f"scaling is {self.kind!r}; allowed are {allowed}")
        sizes = (1, self.n_features)
        for name, array in (("shift", self.shift), ("divisor", self.divisor)):
            if array is None:
                continue
            if array.ndim != 1 or array.size not in sizes[name == "shift" :]:
                raise ValueError(
                    f"{name} has shape {array.shape}; there are {self.n_features} "
                    "features"
                )
            if not np.isfinite(array).all():
                raise ValueError(f"{name} has values that are not finite")
        if not (self.divisor > 0).all():
            raise ValueError("divisor has values that are not positive")

    @classmethod
    def fit(cls, x: Features, kind: Kind = "unit") -> Scaling:
        """Find the scale of training data.

        Parameters
        ----------
        x : ndarray (samples, ...), scipy.sparse.csr_array or Sequences
        kind : {"unit", "standard", "channels", "none"}

        Returns
        -------
        Scaling

        Raises
        ------
        ValueError
            If `kind` is another one, there are no samples, or `kind` is ``channels``
            and samples are no images.
        """
        n_features = features_of(x)
        if isinstance(x, Sequences):
            x = x.values[x.inside]
        if x.shape[0] < 1:
            raise ValueError("scaling needs at least one sample to be fitted on")
        shift = None
        divisor = np.ones(1)
        if kind == "unit":
            divisor = _largest(x)
        elif kind == "standard":
            shift, divisor = _moments_sparse(x) if is_sparse(x) else _moments(x)
        elif kind == "channels":
            shift, divisor = _moments_of_channels(x)
        return cls(kind, n_features, shift, divisor)

    def apply(self, x: Features, dtype: npt.DTypeLike = np.float32) -> Features:
        """Scale a batch; x itself is not changed.

        Parameters
        ----------
        x : ndarray (batch, ...), scipy.sparse.csr_array (batch, features) or Sequences
        dtype : float32 or float64

        Returns
        -------
        ndarray (batch, features), csr_array for sparse x, or Sequences
            New memory, feature-major: strides[0] is the size of one element, of
            sequences strides[1].

        Raises
        ------
        ValueError
            If a sample has another number of features than those fitted on.
        """
        n_features = features_of(x)
        if n_features != self.n_features:
            raise ValueError(
                f"a sample has {n_features} features (shape {tuple(x.shape[1:])}); "
                f"scaling was fitted on {self.n_features}"
            )
        if is_sparse(x):
            return self._apply_sparse(x, np.dtype(dtype))
        if isinstance(x, Sequences):
            steps = self.apply(x.values.reshape(-1, n_features), dtype)
            return Sequences(steps.reshape(x.shape), x.lengths)
        rows = x.reshape(x.shape[0], n_features)
        if self.kind == "none":
            return np.array(rows.T, dtype=dtype, order="C").T
        # Transposing the source moves fewer bytes than transposing the result.
        source = np.ascontiguousarray(rows.T)
        # Large integers and float64 lose nothing before the shift.
        exact = np.result_type(source.dtype, dtype)
        divisor = self.divisor.astype(exact)[:, None]
        if self.shift is None:
            out = np.divide(source, divisor, dtype=exact)
        else:
            shift = self.shift.astype(exact)[:, None]
            out = np.subtract(source, shift, dtype=exact)
            out /= divisor
        return out.astype(dtype, copy=False).T

    def rms(self, x: npt.NDArray[Any], samples: int = 4096) -> float:
        """Root mean square of a scaled feature, over the first `samples` samples.

        1 after ``standard`` scaling; about 0.4 for images of pixels in [0, 1]. Initial
        weights of a first layer are divided by it.

        Parameters
        ----------
        x : ndarray (samples, ...) or Sequences
            Dense training data.
        samples : int
            How many to look at.
        """
        x = x[:samples]
        scaled = np.asarray(
            self.apply(x.values[x.inside] if isinstance(x, Sequences) else x)
        )
        return float(np.sqrt(np.mean(np.square(scaled, dtype=np.float64))))

    def to_dict(self) -> dict[str, Any]:
        """Everything as numbers, text and lists, for JSON; `from_dict` is exact."""
        return {
            "kind": self.kind,
            "n_features": self.n_features,
            "shift": None if self.shift is None else self.shift.tolist(),
            "divisor": self.divisor.tolist(),
        }

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Scaling:
        """Rebuild from `to_dict`.

        Parameters
        ----------
        state : mapping

        Returns
        -------
        Scaling

        Raises
        ------
        ValueError
            If an entry is missing or wrong.
        """
        try:
            kind, n_features = state["kind"], state["n_features"]
            divisor = np.array(state["divisor"], np.float64)
            shift = state["shift"]
            shift = None if shift is None else np.array(shift, np.float64)
        except (KeyError, OverflowError, TypeError, ValueError) as error:
            raise ValueError(f"scaling state is damaged: {error!r}") from error
        if type(n_features) is not int or n_features < 1:
            raise ValueError(f"n_features is {n_features!r}; needed is an integer >= 1")
        return cls(kind, n_features, shift, divisor)

    def to_arrays(self) -> dict[str, npt.NDArray[np.float64]]:
        """The arrays `divisor` and, if there is one, `shift`; `kind` apart."""
        arrays = {"divisor": self.divisor}
        if self.shift is not None:
            arrays["shift"] = self.shift
        return arrays

    @classmethod
    def from_arrays(
        cls, kind: str, n_features: int, arrays: Mapping[str, npt.NDArray[np.float64]]
    ) -> Scaling:
        """Rebuild from `kind`, `n_features` and `to_arrays`.

        Parameters
        ----------
        kind : str
        n_features : int
        arrays : mapping of str to float64 array

        Returns
        -------
        Scaling

        Raises
        ------
        ValueError
            If an array is missing or wrong.
        """
        lists: dict[str, Any] = {"shift": None, **arrays}
        return cls.from_dict({"kind": kind, "n_features": n_features, **lists})

    def _apply_sparse(self, x: Any, dtype: np.dtype[Any]) -> Any:
        from scipy.sparse import csr_array

        exact = np.result_type(x.dtype, dtype)
        divisor = self.divisor.astype(exact)
        if divisor.size > 1:
            divisor = divisor[x.indices]
        data = np.divide(x.data, divisor, dtype=exact).astype(dtype, copy=False)
        return csr_array((data, x.indices, x.indptr), shape=x.shape)


def _largest(x: Features) -> npt.NDArray[np.float64]:
    """Largest absolute values: one number, or one a feature for dense floats."""
    if is_sparse(x) or x.dtype.kind != "f":
        values = x.data if is_sparse(x) else x
        # As Python numbers, since -128 has no absolute value in int8.
        ends = (values.max().item(), values.min().item()) if values.size else (0, 0)
        largest = np.array([max(ends[0], -ends[1])], np.float64)
    else:
        rows = x.reshape(x.shape[0], -1)
        largest = np.zeros(rows.shape[1])
        for start in range(0, rows.shape[0], _CHUNK):
            chunk = np.abs(rows[start : start + _CHUNK]).max(axis=0)
            np.maximum(largest, chunk, out=largest)
    return np.where(largest > 0, largest, 1.0)


def _moments(
    x: npt.NDArray[Any],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The same, but for constant features a deviation of 1."""
    mean, deviation = _raw_moments(x)
    return mean, np.where(deviation == 0, 1.0, deviation)


def _raw_moments(
    x: npt.NDArray[Any],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Mean and standard deviation of each feature, in float64 and two passes."""
    rows = x.reshape(x.shape[0], -1)
    chunks = range(0, rows.shape[0], _CHUNK)
    total = np.zeros(rows.shape[1])
    low, high = rows[0].copy(), rows[0].copy()
    for start in chunks:
        chunk = rows[start : start + _CHUNK]
        total += chunk.sum(axis=0, dtype=np.float64)
        np.minimum(low, chunk.min(axis=0), out=low)
        np.maximum(high, chunk.max(axis=0), out=high)
    constant = low == high
    # The rounded mean of a constant differs from it by a little, which would blow up.
    mean = np.where(constant, low, total / rows.shape[0])
    square = np.zeros(rows.shape[1])
    for start in chunks:
        deviation = rows[start : start + _CHUNK] - mean
        square += np.einsum("ij,ij->j", deviation, deviation)
    deviation = np.sqrt(square / rows.shape[0])
    return mean, np.where(constant, 0.0, deviation)


def _moments_of_channels(
    x: Features,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Mean and standard deviation of each feature's channel."""
    if is_sparse(x) or x.ndim not in (3, 4):
        raise ValueError(
            "scaling by channels takes images (samples, height, width[, channels]), "
            f"got {'a sparse matrix' if is_sparse(x) else f'shape {x.shape}'}; use "
            "standard or unit"
        )
    n_channels = x.shape[3] if x.ndim == 4 else 1
    places = prod(x.shape[1:3])
    # The mean of the means of places, and what they and their variances deviate.
    means, deviations = (m.reshape(places, n_channels) for m in _raw_moments(x))
    mean = means.mean(axis=0)
    variance = (deviations**2 + (means - mean) ** 2).mean(axis=0)
    deviation = np.sqrt(variance)
    divisor = np.where(deviation > 0, deviation, 1.0)
    return np.tile(mean, places), np.tile(divisor, places)


def _moments_sparse(x: Any) -> tuple[None, npt.NDArray[np.float64]]:
    """Standard deviation of each feature, zeros that are not stored included."""
    n, n_features = x.shape
    data = x.data.astype(np.float64)
    mean = np.bincount(x.indices, data, n_features) / n
    stored = np.bincount(x.indices, minlength=n_features)
    square = np.bincount(x.indices, (data - mean[x.indices]) ** 2, n_features)
    deviation = np.sqrt((square + (n - stored) * mean**2) / n)
    return None, np.where(deviation > 0, deviation, 1.0)
