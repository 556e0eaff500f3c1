"""MATLAB files with a matrix X and labels Y.

Read here and not by SciPy, whose parser ends the process on some damaged files.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sparsenn.data.errors import DataError
from sparsenn.data.npz import sparse_from_arrays
from sparsenn.data.parts import Parts
from sparsenn.data.streams import reading

__all__ = ["read_mat"]

# Types of the elements of a file, and classes of the matrices they make up.
_STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8"}
_STORED |= {12: "i8", 13: "u8"}
_CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4"}
_CLASSES |= {14: "i8", 15: "u8"}
_MATRIX, _COMPRESSED = 14, 15
_SPARSE, _OPAQUE = 5, 17
_COMPLEX, _LOGICAL = 0x800, 0x200


class _Damaged(Exception):
    """Something in the file contradicts its format."""


@dataclass(frozen=True)
class _Element:
    kind: int
    data: memoryview


def read_mat(path: str | os.PathLike[str]) -> Parts:
    """Read `X` (samples, features), dense or sparse, and `Y`, one label a row.

    Parameters
    ----------
    path : str or path-like
        A file of MATLAB 5 to 7.2 (``save -v6`` or ``-v7``); the older version 4 and
        the HDF5 files of 7.3 are not read.

    Returns
    -------
    Parts

    Raises
    ------
    DataError
        If the file is damaged or has no X and Y of numbers.
    """
    with reading(path):
        content = memoryview(Path(path).read_bytes())
        try:
            found = _matrices(content, path)
        except _Damaged as error:
            raise DataError(f"{path}: is not a sound MATLAB file: {error}") from error
    missing = [name for name in ("X", "Y") if name not in found]
    if missing:
        raise DataError(
            f"{path}: has no {' and no '.join(missing)}; needed are X (samples, "
            "features) and Y (samples, 1)"
        )
    x, y = found["X"], found["Y"]
    if not isinstance(y, np.ndarray):
        y = y.toarray()
    if y.ndim == 2 and y.shape[0] == 1:
        y = y.T
    return Parts(x, y)


def _matrices(content: memoryview, path: str | os.PathLike[str]) -> dict[str, Any]:
    """The numeric matrices X and Y."""
    order = {b"IM": "<", b"MI": ">"}.get(bytes(content[126:128]))
    if bytes(content[:10]) == b"MATLAB 7.3":
        raise DataError(f"{path}: is a MATLAB 7.3 file; save it with -v7 and read that")
    if order is None:
        raise _Damaged("no header of MATLAB 5 to 7.2")
    found = {}
    for element in _elements(content[128:], order):
        if element.kind == _COMPRESSED:
            try:
                inner = memoryview(zlib.decompress(element.data))
            except zlib.error as error:
                raise _Damaged(f"{error}") from error
            element = next(_elements(inner, order), _Element(0, inner))
        if element.kind == _MATRIX:
            name, value = _matrix(element.data, order, path)
            if name in ("X", "Y"):
                found[name] = value
    return found


def _elements(content: memoryview, order: str) -> Iterator[_Element]:
    """The tagged pieces that follow each other."""
    at = 0
    while at < len(content):
        if len(content) - at < 8:
            raise _Damaged("ends within a tag")
        kind, size = (int(n) for n in np.frombuffer(content[at : at + 8], f"{order}u4"))
        if kind >> 16:  # up to four bytes packed into the tag itself
            kind, size = kind & 0xFFFF, kind >> 16
            start, end, following = at + 4, at + 4 + size, at + 8
            if size > 4:
                raise _Damaged(f"{size} bytes in a short element")
        else:
            start, end = at + 8, at + 8 + size
            following = end if kind == _COMPRESSED else end + -size % 8
        if end > len(content):
            raise _Damaged(f"an element of {size} bytes goes past the end")
        yield _Element(kind, content[start:end])
        at = following


def _matrix(
    content: memoryview, order: str, path: str | os.PathLike[str]
) -> tuple[str, Any]:
    """Name and value of a matrix; the value only if it is X or Y."""
    elements = _elements(content, order)
    flags = _array(next(elements, None), order)
    if flags.size != 2:
        raise _Damaged("a matrix without flags")
    kind, bits = int(flags[0]) & 0xFF, int(flags[0])
    if kind == _OPAQUE:
        return "", None
    shape = tuple(int(n) for n in _array(next(elements, None), order))
    name = _array(next(elements, None), order).tobytes().decode("latin-1")
    if name not in ("X", "Y"):
        return name, None
    if kind not in _CLASSES and kind != _SPARSE:
        raise DataError(
            f"{path}: {name} is text, a cell or a struct; needed are numbers"
        )
    if bits & _COMPLEX:
        raise DataError(f"{path}: {name} is complex; needed are real numbers")
    if len(shape) < 2 or len(shape) > 32 or min(shape) < 0:
        raise _Damaged(f"{name} has shape {shape}")
    parts = [_array(element, order) for element in elements]
    if kind == _SPARSE:
        return name, _sparse(shape, parts, bool(bits & _LOGICAL), f"{path}: {name}")
    if len(parts) != 1 or parts[0].size != prod(shape):
        sizes = [part.size for part in parts]
        raise _Damaged(f"{name} of shape {shape} has {sizes} values")
    # Values are often stored in a smaller type than that of their matrix.
    dtype = "u1" if bits & _LOGICAL else _CLASSES[kind]
    return name, parts[0].astype(dtype).reshape(shape, order="F")


def _sparse(
    shape: tuple[int, ...], parts: list[npt.NDArray[Any]], logical: bool, where: str
) -> Any:
    """A matrix stored by columns: rows, column starts, values."""
    if len(parts) != 3 or len(shape) != 2:
        raise _Damaged(f"a sparse matrix of shape {shape} with {len(parts)} arrays")
    rows, starts, values = parts
    if starts.size != shape[1] + 1 or starts[-1] > min(rows.size, values.size):
        raise _Damaged(f"a sparse matrix of shape {shape} with wrong column starts")
    stored = int(starts[-1])  # more may have been reserved
    arrays = {
        "format": np.array("csc"),
        "shape": np.array(shape),
        "data": values[:stored].astype("u1" if logical else "f8"),
        "indices": rows[:stored],
        "indptr": starts,
    }
    return sparse_from_arrays(arrays, where)


def _array(element: _Element | None, order: str) -> npt.NDArray[Any]:
    dtype = _STORED.get(element.kind) if element is not None else None
    if element is None or dtype is None:
        raise _Damaged("an array is missing or of unknown type")
    if len(element.data) % np.dtype(dtype).itemsize:
        raise _Damaged(f"{len(element.data)} bytes for elements of {dtype}")
    return np.frombuffer(element.data, order + dtype)
