"""The IDX format of MNIST: big-endian arrays behind a small header."""

from __future__ import annotations

import os
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sparsenn.data.errors import DataError
from sparsenn.data.parts import Parts
from sparsenn.data.streams import capacity, open_data, read_exactly, reading

__all__ = ["find_idx", "read_idx", "read_idx_directory"]

_DTYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_FILES = {
    "x_train": "train-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}


def read_idx(path: str | os.PathLike[str]) -> npt.NDArray[Any]:
    """Read one IDX file, gzip-compressed or not.

    Parameters
    ----------
    path : str or path-like

    Returns
    -------
    ndarray
        With the shape and type of the file, in native byte order.

    Raises
    ------
    DataError
        If the file is missing, damaged, too short or too long.
    """
    with reading(path), open_data(path) as file:
        head = file.read(4)
        if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in _DTYPES:
            raise DataError(
                f"{path}: begins with {head.hex() or 'nothing'}; an IDX file begins "
                "with 0000, a type (08, 09, 0b, 0c, 0d, 0e) and a number of axes"
            )
        sizes = file.read(4 * head[3])
        if len(sizes) != 4 * head[3] or head[3] < 1:
            raise DataError(f"{path}: ends within its header of {head[3]} axes")
        shape = tuple(int(n) for n in np.frombuffer(sizes, ">u4"))
        dtype = np.dtype(_DTYPES[head[2]])
        n_bytes = prod(shape) * dtype.itemsize
        if n_bytes > capacity(path) or len(shape) > 32:
            raise DataError(f"{path}: is too short for shape {shape} of {dtype.name}")
        buffer = np.empty(n_bytes, np.uint8)
        if not read_exactly(file, memoryview(buffer)):
            raise DataError(f"{path}: is too short for shape {shape} of {dtype.name}")
        if file.read(1):
            raise DataError(f"{path}: is too long for shape {shape} of {dtype.name}")
    return buffer.view(dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=False)


def find_idx(folder: Path, stem: str) -> Path | None:
    """The file of that name, with or without .gz, or spelled with a dot before idx."""
    for name in (stem, stem.replace("-idx", ".idx")):
        for suffix in ("", ".gz"):
            path = folder / f"{name}{suffix}"
            if path.is_file():
                return path
    return None


def read_idx_directory(folder: str | os.PathLike[str]) -> Parts:
    """Read the files of MNIST or of a set laid out like it.

    Parameters
    ----------
    folder : str or path-like
        Holds train-images-idx3-ubyte and train-labels-idx1-ubyte, and usually the
        two of the test part, t10k-..., each also as .gz.

    Returns
    -------
    Parts

    Raises
    ------
    DataError
        If a file is missing or damaged, or images and labels do not fit together.
    """
    folder = Path(folder)
    found = {key: find_idx(folder, stem) for key, stem in _FILES.items()}
    missing = [_FILES[key] for key in ("x_train", "y_train") if found[key] is None]
    if (found["x_test"] is None) != (found["y_test"] is None):
        missing += [_FILES[k] for k in ("x_test", "y_test") if found[k] is None]
    if missing:
        raise DataError(
            f"{folder}: has no {' and no '.join(missing)} (or .gz); a directory of "
            f"data holds {', '.join(_FILES.values())}"
        )
    arrays = {key: read_idx(path) for key, path in found.items() if path is not None}
    return Parts(**arrays)
