"""A data set: features, labels, a training and a test part."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from sparsenn.autograd.sequences import Sequences
from sparsenn.data.errors import DataError
from sparsenn.data.features import Features, check_finite, is_sparse, n_features
from sparsenn.data.tokens import Tokens

__all__ = ["Dataset"]


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Samples and their classes, as they were read: nothing scaled or shuffled.

    Attributes
    ----------
    name : str
        Name or path that it came from.
    x_train, x_test : ndarray, scipy.sparse.csr_array, Sequences or Tokens
        Features: bytes, integers or floats, (samples, ...); images are (samples,
        height, width) or (samples, height, width, channels). Sparse data stay sparse.
        Sequences are (samples, time, features), each of its own length; tokens of a
        text are (samples, time).
    y_train, y_test : ndarray (samples,), int64
        Class of each sample, 0 .. n_classes - 1. Of a text (samples, time): the token
        that follows each.
    n_classes : int
    classes : tuple of str
        The label that each class has in the source.
    """

    name: str
    x_train: Features
    y_train: npt.NDArray[np.int64]
    x_test: Features
    y_test: npt.NDArray[np.int64]
    n_classes: int
    classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.classes:
            names = tuple(str(k) for k in range(self.n_classes))
            object.__setattr__(self, "classes", names)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample, such as (28, 28)."""
        return tuple(int(n) for n in self.x_train.shape[1:])

    @property
    def image(self) -> tuple[int, int, int] | None:
        """(channels, height, width) of a sample; None if it is no image."""
        rows = self.is_sparse or self.is_sequence or self.is_text
        if rows or len(self.shape) not in (2, 3):
            return None
        height, width, *channels = self.shape
        return (channels[0] if channels else 1, height, width)

    @property
    def n_features(self) -> int:
        """Number of features of one sample; of sequences, of each step."""
        return n_features(self.x_train)

    @property
    def is_sparse(self) -> bool:
        """Whether the features are a scipy.sparse matrix."""
        return is_sparse(self.x_train)

    @property
    def is_sequence(self) -> bool:
        """Whether the samples are sequences of steps."""
        return isinstance(self.x_train, Sequences)

    @property
    def is_text(self) -> bool:
        """Whether the samples are windows of a text, with a label for each token."""
        return isinstance(self.x_train, Tokens)

    @property
    def kind(self) -> str:
        """ "sequences", "text" or else "rows": what architectures are for."""
        if self.is_text:
            return "text"
        return "sequences" if self.is_sequence else "rows"

    def validate(self) -> Dataset:
        """Check shapes, labels and that every feature is a finite number.

        Returns
        -------
        Dataset
            Itself.

        Raises
        ------
        DataError
            If something is wrong; the message says where.
        """
        if self.n_classes < 1 or len(self.classes) != self.n_classes:
            raise DataError(
                f"{self.name}: n_classes is {self.n_classes} and there are "
                f"{len(self.classes)} class names; both must be the same, at least 1"
            )
        self._check_part("train", self.x_train, self.y_train)
        self._check_part("test", self.x_test, self.y_test)
        step = 2 if self.is_sequence else 1  # one part may have longer sequences
        if self.x_test.shape[step:] != self.x_train.shape[step:]:
            raise DataError(
                f"{self.name}: a test sample has shape {tuple(self.x_test.shape[1:])}, "
                f"a training sample {self.shape}; they must agree"
            )
        self._check_image()
        return self

    def describe(self) -> str:
        """One line: samples, shape, dtype, classes."""
        kind = f"{self.x_train.dtype}"
        if is_sparse(self.x_train):
            density = self.x_train.nnz / max(1, prod(self.x_train.shape))
            kind = f"{kind}, sparse ({density:.2%} stored)"
        if self.is_text:
            return (
                f"{self.name}: {self.x_train.shape[0]} training and "
                f"{self.x_test.shape[0]} test windows of {self.n_features} tokens, "
                f"{self.n_classes} different ones"
            )
        shape = " x ".join(str(n) for n in self.shape)
        if self.is_sequence:
            ends = self.x_train.lengths
            shape = f"{ends.min()} to {ends.max()} steps of {self.n_features}"
        return (
            f"{self.name}: {self.x_train.shape[0]} training and {self.x_test.shape[0]} "
            f"test samples, {shape} features ({kind}), {self.n_classes} classes"
        )

    def __repr__(self) -> str:
        return f"<Dataset {self.describe()}>"

    def _check_image(self) -> None:
        """Refuse (channels, height, width), which would be read as a low image."""
        shape = self.shape
        if self.image and len(shape) == 3 and shape[0] in (1, 3, 4) and shape[2] > 4:
            raise DataError(
                f"{self.name}: images of shape {shape} look as if channels came first; "
                "allowed are (samples, height, width, channels), which "
                "x.transpose(0, 2, 3, 1) makes of them"
            )

    def _check_part(self, part: str, x: Any, y: npt.NDArray[np.int64]) -> None:
        where = f"{self.name}, {part} part"
        if x.ndim < 2 or x.shape[0] < 1 or prod(x.shape[1:]) < 1:
            raise DataError(
                f"{where}: x has shape {tuple(x.shape)}; needed are samples and "
                "features, at least one of each"
            )
        text = isinstance(x, Tokens)
        if y.shape != (x.shape if text else x.shape[:1]):
            each = "token" if text else "sample"
            raise DataError(
                f"{where}: {x.shape[0]} samples have labels of shape {y.shape}; needed "
                f"is one label for each {each}"
            )
        if y.dtype.kind not in "iu":
            raise DataError(f"{where}: labels are {y.dtype}; needed are integers")
        low, high = int(y.min()), int(y.max())
        if low < 0 or high >= self.n_classes:
            wrong = low if low < 0 else high
            at = int(np.argwhere(y == wrong)[0, 0])
            raise DataError(
                f"{where}: sample {at} has label {wrong}; allowed are 0 to "
                f"{self.n_classes - 1}"
            )
        if text and not 0 <= x.values.min() <= x.values.max() < self.n_classes:
            raise DataError(
                f"{where}: tokens from {x.values.min()} to {x.values.max()}; allowed "
                f"are 0 to {self.n_classes - 1}"
            )
        check_finite(x, where)
