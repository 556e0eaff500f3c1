"""What every reader returns, and how a data set is made of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from sparsenn.data.dataset import Dataset
from sparsenn.data.errors import DataError
from sparsenn.data.features import Features, as_features, check_finite
from sparsenn.data.labels import encode_labels
from sparsenn.data.split import split_indices

__all__ = ["Parts", "assemble"]


@dataclass(frozen=True)
class Parts:
    """Features and labels as a file has them; the test part may be missing.

    Attributes
    ----------
    x_train, x_test : array (samples, ...) or scipy.sparse matrix
    y_train, y_test : array (samples,)
        Numbers or words.
    """

    x_train: Features
    y_train: npt.NDArray[Any]
    x_test: Features | None = None
    y_test: npt.NDArray[Any] | None = None


def assemble(
    name: str,
    parts: Parts,
    *,
    test_fraction: float = 0.2,
    seed: int = 0,
    classes: Sequence[str] | None = None,
) -> Dataset:
    """Number the classes, hold out a test part if there is none, and check it all.

    Parameters
    ----------
    name : str
    parts : Parts
    test_fraction : float
        Share held out where `parts` has no test part.
    seed : int
        Decides which samples those are.
    classes : sequence of str, optional
        Classes of a model trained before.

    Returns
    -------
    Dataset

    Raises
    ------
    DataError
        If the data are not usable.
    """
    x_train = as_features(parts.x_train, f"{name}, train part")
    if parts.x_test is None or parts.y_test is None:
        (y,), names = encode_labels([parts.y_train], name, classes)
        if y.shape[0] != x_train.shape[0]:
            raise DataError(
                f"{name}: has {x_train.shape[0]} samples and {y.shape[0]} labels; "
                "needed is one label for each sample"
            )
        check_finite(x_train, name)  # here the number of the sample is the file's
        train, test = split_indices(x_train.shape[0], test_fraction, seed)
        x_train, x_test = x_train[train], x_train[test]
        y_train, y_test = y[train], y[test]
    else:
        x_test = as_features(parts.x_test, f"{name}, test part")
        both = [parts.y_train, parts.y_test]
        (y_train, y_test), names = encode_labels(both, name, classes)
    data = Dataset(name, x_train, y_train, x_test, y_test, len(names), names)
    return data.validate()
