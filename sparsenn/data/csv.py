"""Comma-separated tables: one sample a line, its label in one column."""

from __future__ import annotations

import csv
import difflib
import io
import os
from collections.abc import Iterator
from itertools import chain, islice
from typing import NoReturn

import numpy as np
import numpy.typing as npt

from sparsenn.data.errors import DataError
from sparsenn.data.parts import Parts
from sparsenn.data.streams import open_data, reading

__all__ = ["read_csv"]

_CHUNK = 2048  # lines turned into numbers together
_MISSING = {"", "?", "na", "n/a", "nan", "null", "none"}
_MAX = float(np.finfo(np.float32).max)

_Row = tuple[int, list[str]]  # line number, fields


def read_csv(path: str | os.PathLike[str], label: str | None = None) -> Parts:
    """Read a table of numbers with a column of labels.

    The separator is the one of comma, semicolon and tab that the first line has most
    of. The first line is a header when its feature columns are words, or when its
    label is a word and the next line's is a number.

    Parameters
    ----------
    path : str or path-like
        Text in UTF-8, also gzip-compressed.
    label : str, optional
        Name of the label column; the last column without it.

    Returns
    -------
    Parts
        Features are uint8 when all are whole numbers from 0 to 255, else float32.

    Raises
    ------
    DataError
        If a value is missing or not a finite number (with its line), lines differ in
        length, or the label column does not exist.
    """
    with reading(path), open_data(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
        rows = _rows(path, text)
        first = list(islice(rows, 2))
        if not first:
            raise DataError(f"{path}: is empty; needed are lines of numbers")
        n_columns = len(first[0][1])
        if n_columns < 2:
            raise DataError(
                f"{path}: line {first[0][0]} has one column; needed are features and a "
                "label, separated by comma, semicolon or tab"
            )
        column = n_columns - 1 if label is None else _find(path, first[0][1], label)
        has_header = label is not None or _is_header(first)
        if has_header:
            _check_header(path, first[0])
        body = chain(first[1:] if has_header else first, rows)
        return _numbers(path, body, n_columns, column)


def _rows(path: str | os.PathLike[str], text: io.TextIOWrapper) -> Iterator[_Row]:
    """Fields of each line that is not blank."""
    start = text.readline()
    delimiter = max(",;\t", key=start.count)
    reader = csv.reader(chain([start], text), delimiter=delimiter, strict=True)
    try:
        for row in reader:
            if row:
                yield reader.line_num, row
    except csv.Error as error:
        raise DataError(f"{path}: line {reader.line_num}: {error}") from error


def _find(path: str | os.PathLike[str], names: list[str], label: str) -> int:
    names = [name.strip() for name in names]
    if names.count(label) == 1:
        return names.index(label)
    if label in names:
        raise DataError(f"{path}: {names.count(label)} columns are called {label!r}")
    near = difflib.get_close_matches(label, names, 3, 0.5) or names[:10]
    raise DataError(
        f"{path}: the first line names no column {label!r}; it has "
        + ", ".join(repr(name) for name in near)
        + (", ..." if len(near) < len(names) else "")
    )


def _is_header(first: list[_Row]) -> bool:
    fields = first[0][1]
    if any(not _is_number(f) and not _is_missing(f) for f in fields[:-1]):
        return True
    if len(first) < 2 or not first[1][1]:
        return False
    return not _is_number(fields[-1]) and _is_number(first[1][1][-1])


def _check_header(path: str | os.PathLike[str], header: _Row) -> None:
    for k, name in enumerate(header[1]):
        if not name.strip():
            raise DataError(
                f"{path}: column {k + 1} has no name in the header. Is it a saved row "
                "number? Remove it, or name it if it is a feature"
            )


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return "_" not in field


def _is_missing(field: str) -> bool:
    return field.strip().lower() in _MISSING


def _numbers(
    path: str | os.PathLike[str], body: Iterator[_Row], n_columns: int, column: int
) -> Parts:
    chunks: list[npt.NDArray[np.uint8] | npt.NDArray[np.float32]] = []
    labels: list[str] = []
    while rows := list(islice(body, _CHUNK)):
        for line, fields in rows:
            if len(fields) != n_columns:
                raise DataError(
                    f"{path}: line {line} has {len(fields)} columns; the first has "
                    f"{n_columns}"
                )
            word = fields.pop(column).strip()
            if word.lower() in ("", "?", "nan"):
                raise DataError(f"{path}: line {line}: the label is missing")
            labels.append(word)
        chunk = _values(path, rows, n_columns - 1, column)
        small = (
            chunk.astype(np.uint8) if 0 <= chunk.min() <= chunk.max() < 256 else None
        )
        is_bytes = small is not None and np.array_equal(small, chunk)
        chunks.append(small if is_bytes and small is not None else chunk.astype("f4"))
    if not chunks:
        raise DataError(f"{path}: has a header and no samples")
    # Concatenation gives float32 as soon as one chunk is no bytes; those are exact.
    x = np.concatenate(chunks)
    return Parts(x, np.array(labels))


def _values(
    path: str | os.PathLike[str], rows: list[_Row], n: int, column: int
) -> npt.NDArray[np.float64]:
    """The numbers of some rows; only when one is wrong are they gone through again."""
    fields = chain.from_iterable(fields for _, fields in rows)
    try:
        values = np.fromiter(map(float, fields), np.float64, len(rows) * n)
    except ValueError:
        _explain(path, rows, column)
    # float() takes 1_000, which no table of numbers means.
    odd = any("_" in "".join(fields) for _, fields in rows)
    if odd or not (np.abs(values) <= _MAX).all():
        _explain(path, rows, column)
    return values.reshape(len(rows), n)


def _explain(path: str | os.PathLike[str], rows: list[_Row], column: int) -> NoReturn:
    """Raise for the first field that is not a finite number."""
    for line, fields in rows:
        for k, field in enumerate(fields):
            at = f"{path}: line {line}, column {k + 1 + (k >= column)}"
            if _is_missing(field):
                raise DataError(f"{at}: the value is missing ({field!r}); fill it in")
            if not _is_number(field):
                raise DataError(f"{at}: {field!r:.40} is not a number")
            if not abs(float(field)) <= _MAX:
                raise DataError(f"{at}: {field!r:.40} is not a finite float32")
    raise DataError(f"{path}: lines {rows[0][0]} to {rows[-1][0]} are malformed")
