"""Sequences of different lengths as text: the .ts format of time-series archives."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from sparsenn.autograd.sequences import Sequences
from sparsenn.data.errors import DataError
from sparsenn.data.parts import Parts
from sparsenn.data.streams import open_data, reading

__all__ = ["read_ts", "read_ts_folder"]

_MOST = 1 << 30  # numbers of the padded array; one long sequence pads all others


def read_ts(path: str | os.PathLike[str]) -> Parts:
    """Read labelled sequences.

    After the line ``@data`` every line is a sequence: the values of each feature over
    time with commas between them, features and at last the label separated by colons.

    Parameters
    ----------
    path : str or path-like
        Text in UTF-8, also gzip-compressed.

    Returns
    -------
    Parts
        Features are float32 Sequences, labels are words.

    Raises
    ------
    DataError
        If a value is missing or no number, the features of a sequence differ in length
        or sequences in features, or steps have time stamps.
    """
    found: list[np.ndarray] = []
    labels: list[str] = []
    with reading(path), open_data(path) as file:
        began = False
        for number, raw in enumerate(io.TextIOWrapper(file, encoding="utf-8-sig"), 1):
            line = raw.strip()
            if not line or line.startswith("#"):
                continue
            if began:
                *features, label = line.split(":")
                found.append(_sequence(path, number, features, found))
                labels.append(label.strip())
            elif line.lower().split()[:2] == ["@timestamps", "true"]:
                _fail(path, number, "steps have time stamps, which are not read")
            else:
                began = line.lower() == "@data"
    if not found:
        raise DataError(f"{path}: has no sequences; needed are lines after @data")
    lengths = np.array([len(one) for one in found])
    shape = len(found), int(lengths.max()), found[0].shape[1]
    if shape[0] * shape[1] * shape[2] > _MOST:
        raise DataError(
            f"{path}: {shape[0]} sequences, padded to the longest of {shape[1]} steps "
            f"of {shape[2]} features, are too large; cut the longest ones"
        )
    values = np.zeros(shape, np.float32)
    for row, one in zip(values, found, strict=True):
        row[: len(one)] = one
    return Parts(Sequences(values, lengths), np.array(labels))


def _sequence(
    path: str | os.PathLike[str], number: int, features: list[str], before: list[Any]
) -> np.ndarray:
    """One line's values, shape (steps, features)."""
    try:
        columns = [np.array(f.split(","), np.float32) for f in features]
    except ValueError as error:
        _fail(path, number, f"{error}; needed are numbers, none missing")
    if not columns or len({len(column) for column in columns}) != 1:
        _fail(
            path,
            number,
            f"has features of {', '.join(str(len(c)) for c in columns) or 'no'} steps; "
            "needed is the same number for all",
        )
    if before and before[0].shape[1] != len(columns):
        _fail(
            path,
            number,
            f"has {len(columns)} features, the first sequence {before[0].shape[1]}",
        )
    return np.stack(columns, 1)


def _fail(path: str | os.PathLike[str], number: int, what: str) -> NoReturn:
    raise DataError(f"{path}: line {number}: {what}")


def read_ts_folder(folder: Path) -> Parts:
    """Read the files of a data set whose names end in ``_TRAIN.ts`` and ``_TEST.ts``.

    Parameters
    ----------
    folder : Path
        The files may be gzip-compressed, and end in ``.gz`` then.
    """
    both = [sorted(folder.glob(f"*_{part}.ts*")) for part in ("TRAIN", "TEST")]
    if [len(files) for files in both] != [1, 1]:
        raise DataError(
            f"{folder}: needed are one file *_TRAIN.ts[.gz] and one *_TEST.ts[.gz]"
        )
    train, test = (read_ts(files[0]) for files in both)
    return Parts(train.x_train, train.y_train, test.x_train, test.y_train)
