"""Labels of any kind become classes 0, 1, 2, ..."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sparsenn.data.errors import DataError

__all__ = ["encode_labels"]


def encode_labels(
    parts: Sequence[npt.NDArray[Any]],
    where: str,
    classes: Sequence[str] | None = None,
) -> tuple[list[npt.NDArray[np.int64]], tuple[str, ...]]:
    """Number the distinct labels in sorted order.

    Whole numbers (also written as floats or text) sort by value, other text by its
    characters.

    Parameters
    ----------
    parts : sequence of arrays (samples,) or (samples, 1)
        Labels of the training part, the test part, ...: numbered together.
    where : str
        Begins the message of an error.
    classes : sequence of str, optional
        The classes of a model trained before. Labels are looked up there.

    Returns
    -------
    encoded : list of int64 arrays (samples,)
    classes : tuple of str

    Raises
    ------
    DataError
        If labels are not one whole number or word for each sample.
    """
    flat = [_flat(part, where) for part in parts]
    together = np.concatenate(flat) if flat else np.zeros(0, np.int64)
    if together.dtype.kind == "U":
        together = _numbers_in_text(together)
    if together.dtype.kind == "f":
        together = _whole(together, where)
    distinct, inverse = np.unique(together, return_inverse=True)
    names = tuple(str(label) for label in distinct.tolist())
    if classes is not None:
        known = {name: k for k, name in enumerate(classes)}
        for name in names:
            if name not in known:
                allowed = ", ".join(list(known)[:20])
                raise DataError(f"{where}: label {name!r} is not a class: {allowed}")
        inverse = np.array([known[name] for name in names], np.int64)[inverse]
        names = tuple(classes)
    ends = np.cumsum([part.size for part in flat])
    encoded = np.split(inverse.reshape(-1).astype(np.int64), ends[:-1])
    return encoded, names


def _flat(labels: npt.NDArray[Any], where: str) -> npt.NDArray[Any]:
    labels = np.asarray(labels)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1:
        raise DataError(
            f"{where}: labels have shape {labels.shape}; needed is one label for each "
            "sample, (samples,)"
        )
    kind = labels.dtype.kind
    if kind == "S":
        return labels.astype("U")
    if kind == "b":
        return labels.astype(np.int64)
    if kind == "u" and labels.size and labels.max() >= 2**63:
        raise DataError(f"{where}: label {labels.max()} is larger than 2**63 - 1")
    if kind in "iu":
        return labels.astype(np.int64)
    if kind in "fU":
        return labels
    raise DataError(f"{where}: labels are {labels.dtype}; needed are numbers or words")


def _numbers_in_text(labels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The numbers that all labels spell; the labels themselves if some do not."""
    for dtype in (np.int64, np.float64):
        try:
            return labels.astype(dtype)
        except (ValueError, OverflowError):
            continue
    return labels


def _whole(labels: npt.NDArray[Any], where: str) -> npt.NDArray[np.int64]:
    good = (np.floor(labels) == labels) & (np.abs(labels) < 2**53)
    if not good.all():
        at = int(np.argmin(good))
        raise DataError(
            f"{where}: the label of sample {at} is {labels[at]}; needed are classes, "
            "that is whole numbers or words"
        )
    return labels.astype(np.int64)
