"""Labels in a file of their own."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sparsenn.data.errors import DataError
from sparsenn.data.npz import read_npy, read_npz_arrays, sparse_from_arrays
from sparsenn.data.streams import open_data, reading

__all__ = ["read_labels"]


def read_labels(path: str | os.PathLike[str]) -> npt.NDArray[Any]:
    """Read one label for each sample.

    Parameters
    ----------
    path : str or path-like
        `.npy`; `.npz` with one array, an array `y`, or a sparse indicator matrix
        (samples, classes) with one entry in each row; else text, one label a line.

    Returns
    -------
    ndarray (samples,)
        Numbers or words.

    Raises
    ------
    DataError
        If the file is damaged, or a sample has not exactly one label.
    """
    suffix = Path(path).suffix.lower()
    if suffix == ".npy":
        return read_npy(path)
    if suffix == ".npz":
        return _from_archive(path)
    with reading(path), open_data(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8-sig")
        lines = [line.strip() for line in text]
    while lines and not lines[-1]:
        lines.pop()
    if not lines or not all(lines):
        at = lines.index("") + 1 if lines else 1
        raise DataError(f"{path}: line {at} is empty; needed is one label a line")
    return np.array(lines)


def _from_archive(path: str | os.PathLike[str]) -> npt.NDArray[Any]:
    arrays = read_npz_arrays(path)
    if "format" in arrays and "shape" in arrays:
        matrix = sparse_from_arrays(arrays, path)
        matrix.eliminate_zeros()
        matrix.sum_duplicates()
        counts = np.diff(matrix.indptr)
        if (counts != 1).any():
            at = int(np.argmax(counts != 1))
            raise DataError(
                f"{path}: sample {at} has {counts[at]} labels, and "
                f"{int((counts != 1).sum())} samples have not exactly one; needed is "
                "one for each sample"
            )
        return np.asarray(matrix.indices)
    if "y" in arrays:
        return arrays["y"]
    if len(arrays) == 1:
        return next(iter(arrays.values()))
    raise DataError(
        f"{path}: holds {', '.join(sorted(arrays)) or 'nothing'}; needed is one array, "
        "or one called y"
    )
