"""One door for all data: a name or a path."""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from pathlib import Path

from sparsenn.data.csv import read_csv
from sparsenn.data.dataset import Dataset
from sparsenn.data.errors import DataError
from sparsenn.data.idx import read_idx_directory
from sparsenn.data.mat import read_mat
from sparsenn.data.named import NAMED, TEXTS, read_named
from sparsenn.data.npz import read_npz
from sparsenn.data.parts import Parts, assemble
from sparsenn.data.streams import reading
from sparsenn.data.svmlight import read_svmlight
from sparsenn.data.text import load_text
from sparsenn.data.ts import read_ts

__all__ = ["is_text", "load", "names"]

_CONTEXT = 128
_KINDS = (
    "a directory of IDX files, .csv[.gz] (label in the last column), .npz (x_train, "
    "y_train), a sparse .npz with labels, .svm or .svmlight[.gz], .mat (X, Y), "
    ".ts[.gz], .txt[.gz]"
)


def names() -> list[str]:
    """Data sets that `load` knows by name."""
    return ["digits", *NAMED, *TEXTS]


def is_text(data: str | os.PathLike[str]) -> bool:
    """Whether `load` would read a name or path as a text; nothing is read."""
    with reading(data):
        return _kind(data) == "text"


def load(
    data: str | os.PathLike[str],
    *,
    label: str | None = None,
    labels: str | os.PathLike[str] | None = None,
    test_fraction: float = 0.2,
    seed: int = 0,
    classes: Sequence[str] | None = None,
    context: int | None = None,
) -> Dataset:
    """Read a data set by name or path and check it.

    Parameters
    ----------
    data : str or path-like
        `digits` (part of the package); `mnist`, `fashion-mnist` or `cifar10`, found in
        `$SPARSENN_DATA` or else downloaded; `cifar10-jpeg`, `japanese-vowels` or
        `tinyshakespeare`, found there alone; or a path: a directory of IDX files,
        `.csv[.gz]`, `.npz` with `x_train, y_train` and optionally `x_test, y_test`, a
        sparse `.npz` of SciPy with `labels`, `.svm` or `.svmlight[.gz]`, `.mat` with
        `X, Y`, `.ts[.gz]` of sequences, `.txt[.gz]` of text to predict by
        character. A name goes before a path: write ``./mnist`` for a directory of that
        name.
    label : str, optional
        Name of the label column of a `.csv`; the last one without it.
    labels : str or path-like, optional
        File with the labels of a sparse `.npz`: text with one a line, `.npy`, `.npz`.
    test_fraction : float
        Share of the samples held out for testing where the data have no test part; of
        a text its end.
    seed : int
        Decides which samples those are.
    classes : sequence of str, optional
        Classes of a model trained before, in its order (`Dataset.classes`). Without it
        the distinct labels are numbered in sorted order.
    context : int, optional
        Characters of a sample of text; 128 without it.

    Returns
    -------
    Dataset

    Raises
    ------
    DataError
        If the name is unknown, or the data are missing, damaged or not usable.
    """
    with reading(data):
        kind = _kind(data)
        _check_options(data, kind, label, labels, context)
        if kind == "text":
            text = load_text(data, val_fraction=0.0, test_fraction=test_fraction)
            return text.dataset(_CONTEXT if context is None else context, classes)
        parts = _read(data, kind, label, labels)
    return assemble(
        os.fspath(data),
        parts,
        test_fraction=test_fraction,
        seed=seed,
        classes=classes,
    )


def _kind(data: str | os.PathLike[str]) -> str:
    """What says how to read it: "name", "directory", "text" or a suffix."""
    if isinstance(data, str) and data in names():
        return "text" if data in TEXTS else "name"
    path = Path(os.path.expanduser(data))
    if not path.exists():
        raise DataError(_unknown(os.fspath(data)))
    if path.is_dir():
        return "directory"
    suffix = _suffix(path)
    return "text" if suffix == ".txt" else suffix


def _check_options(
    data: str | os.PathLike[str],
    kind: str,
    label: str | None,
    labels: str | os.PathLike[str] | None,
    context: int | None,
) -> None:
    if label is not None and kind != ".csv":
        raise DataError(
            f"{data}: label names a column of a .csv file, which this is not"
        )
    if labels is not None and kind != ".npz":
        raise DataError(
            f"{data}: labels belong to a sparse .npz file, which this is not"
        )
    if context is not None and kind != "text":
        raise DataError(f"{data}: context is of a text, which this is not")


def _read(
    data: str | os.PathLike[str],
    kind: str,
    label: str | None,
    labels: str | os.PathLike[str] | None,
) -> Parts:
    path = Path(os.path.expanduser(data))
    match kind:
        case "name":
            return read_named(str(data))
        case "directory":
            return read_idx_directory(path)
        case ".csv":
            return read_csv(path, label)
        case ".npz":
            return read_npz(path, labels)
        case ".svm" | ".svmlight":
            return read_svmlight(path)
        case ".mat":
            return read_mat(path)
        case ".ts":
            return read_ts(path)
    raise DataError(f"{data}: is of no known kind; read are {_KINDS}")


def _suffix(path: Path) -> str:
    """Last suffix in lower case, looking through .gz where the format allows it."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes[-1:] == [".gz"] and suffixes[-2:-1] in (
        [".csv"],
        [".svm"],
        [".svmlight"],
        [".ts"],
        [".txt"],
    ):
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def _unknown(data: str) -> str:
    if os.sep in data or "/" in data or Path(data).suffix:
        return f"{data}: no such file or directory"
    near = difflib.get_close_matches(data.lower(), names(), 2, 0.5)
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    return (
        f"{data}: no data set of this name, and no such directory.{hint} Names are "
        f"{', '.join(names())}; paths are {_KINDS}"
    )
