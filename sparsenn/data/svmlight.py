"""The svmlight / LIBSVM text format, kept sparse."""

from __future__ import annotations

import os
from itertools import islice
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from sparsenn.data.errors import DataError
from sparsenn.data.parts import Parts
from sparsenn.data.streams import open_data, reading

__all__ = ["read_svmlight"]

_CHUNK = 4096  # lines turned into numbers together
_MAX = float(np.finfo(np.float32).max)
_COLON, _SPACE = ord(":"), ord(" ")

_Line = tuple[int, list[bytes]]  # line number, its words


def read_svmlight(
    path: str | os.PathLike[str], zero_based: bool | None = None
) -> Parts:
    """Read lines of `label index:value index:value ... # comment`.

    Parameters
    ----------
    path : str or path-like
        Also gzip-compressed.
    zero_based : bool, optional
        Whether the first feature has index 0 or 1. By default 0 if that index occurs
        anywhere in the file, else 1.

    Returns
    -------
    Parts
        `x_train` is a float32 scipy.sparse.csr_array.

    Raises
    ------
    DataError
        If a line is malformed, with its number.
    """
    from scipy.sparse import csr_array

    labels: list[npt.NDArray[np.int64]] = []
    indices: list[npt.NDArray[np.int32]] = []
    values: list[npt.NDArray[np.float32]] = []
    counts: list[npt.NDArray[np.int64]] = []
    done = 0
    with reading(path), open_data(path) as file:
        while lines := list(islice(file, _CHUNK)):
            if not done and lines[0].startswith(b"\xef\xbb\xbf"):
                lines[0] = lines[0][3:]
            rows = _words(lines, done + 1)
            done += len(lines)
            if not rows:
                continue
            label, index, value, count = _numbers(path, rows)
            labels.append(label)
            indices.append(index)
            values.append(value)
            counts.append(count)
    if not labels:
        raise DataError(f"{path}: is empty; needed are lines like '1 3:0.5 7:1'")
    column = np.concatenate(indices)
    if not column.size:
        raise DataError(f"{path}: no line has a feature; needed is '1 3:0.5 7:1'")
    first = 0 if zero_based else 1
    if zero_based is None:
        first = 1 if column.min() > 0 else 0
    if column.min() < first:
        raise DataError(
            f"{path}: has feature index 0; with zero_based=False they begin at 1"
        )
    column -= first
    indptr = np.concatenate([[0], np.cumsum(np.concatenate(counts))])
    if column.size < 2**31:
        indptr = indptr.astype(np.int32)
    shape = (len(indptr) - 1, int(column.max()) + 1)
    x = csr_array((np.concatenate(values), column, indptr), shape=shape)
    return Parts(x, np.concatenate(labels))


def _words(lines: list[bytes], number: int) -> list[_Line]:
    """The words of each line that has any, without comments."""
    rows = []
    for k, line in enumerate(lines, number):
        words = (line.split(b"#", 1)[0] if b"#" in line else line).split()
        if words:
            rows.append((k, words))
    return rows


def _numbers(path: str | os.PathLike[str], rows: list[_Line]) -> tuple[Any, ...]:
    """Labels, indices, values and row lengths of some lines.

    Everything is parsed and checked for all lines at once; only when a check fails are
    the lines gone through one by one to say where.
    """
    pairs = [word for _, words in rows for word in words[1:]]
    text = b" ".join(pairs)
    fields = text.replace(b":", b" ").split()
    labels = b"".join(words[0] for _, words in rows)
    marks = np.frombuffer(text, np.uint8)
    marks = marks[(marks == _COLON) | (marks == _SPACE)]
    alternate = (marks[0::2] == _COLON).all() and (marks[1::2] == _SPACE).all()
    # int() and float() take 1_000, the format does not.
    if len(fields) != 2 * len(pairs) or not alternate or b"_" in text + labels:
        _explain(path, rows)
    try:
        label = np.array([float(words[0]) for _, words in rows])
        index = np.fromiter(map(int, fields[0::2]), np.int64, len(pairs))
        value = np.fromiter(map(float, fields[1::2]), np.float64, len(pairs))
    except (ValueError, OverflowError):
        _explain(path, rows)
    count = np.array([len(words) - 1 for _, words in rows], np.int64)
    rising = np.diff(index, prepend=-1) > 0
    starts = np.cumsum(count) - count
    rising[starts[count > 0]] = True
    if (
        not rising.all()
        or not ((index >= 0) & (index < 2**31 - 1)).all()
        or not (np.abs(value) <= _MAX).all()
        or not (np.abs(label) < 2**53).all()
        or (np.floor(label) != label).any()
    ):
        _explain(path, rows)
    return (
        label.astype(np.int64),
        index.astype(np.int32),
        value.astype(np.float32),
        count,
    )


def _explain(path: str | os.PathLike[str], rows: list[_Line]) -> NoReturn:
    """Raise for the first fault in these lines."""
    for number, words in rows:
        at = f"{path}: line {number}"
        label = words[0].decode("utf-8", "replace")
        if not _is_whole(label):
            raise DataError(
                f"{at}: the label is {label!r:.40}; needed is a whole number"
            )
        last = -1
        for word in words[1:]:
            pair = word.decode("utf-8", "replace")
            name, colon, value = pair.partition(":")
            if name == "qid":
                raise DataError(f"{at}: {pair!r:.40}: data for ranking are not read")
            if not colon or not name.isdecimal() or not name.isascii():
                raise DataError(f"{at}: {pair!r:.40} is not index:value")
            if int(name[:20]) >= 2**31 - 1:
                raise DataError(f"{at}: index {name:.40} is larger than 2**31 - 2")
            if int(name) <= last:
                raise DataError(f"{at}: index {name} follows {last}; they must rise")
            last = int(name)
            if not _is_finite(value):
                raise DataError(
                    f"{at}: the value of {pair!r:.40} is not a finite number of float32"
                )
    raise DataError(f"{path}: lines {rows[0][0]} to {rows[-1][0]} are malformed")


def _is_finite(text: str) -> bool:
    try:
        return abs(float(text)) <= _MAX and "_" not in text
    except ValueError:
        return False


def _is_whole(text: str) -> bool:
    return _is_finite(text) and float(text).is_integer() and abs(float(text)) < 2**53
