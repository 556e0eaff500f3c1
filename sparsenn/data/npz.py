"""NumPy archives: dense arrays by name, and sparse matrices as SciPy saves them."""

from __future__ import annotations

import os
import zipfile
from math import prod
from typing import Any, BinaryIO, cast

import numpy as np
import numpy.typing as npt

from sparsenn.data.errors import DataError
from sparsenn.data.parts import Parts
from sparsenn.data.streams import packed_capacity, read_exactly, reading

__all__ = ["read_npy", "read_npz", "read_npz_arrays", "sparse_from_arrays"]


def read_npz(
    path: str | os.PathLike[str], labels: str | os.PathLike[str] | None = None
) -> Parts:
    """Read `x_train`, `y_train` (`x_test`, `y_test`), or a sparse matrix of SciPy.

    Parameters
    ----------
    path : str or path-like
    labels : str or path-like, optional
        The file of the labels; needed for a sparse matrix, and only for it.

    Returns
    -------
    Parts

    Raises
    ------
    DataError
        If the archive is damaged, holds pickled objects or lacks an array.
    """
    from sparsenn.data.labelfile import read_labels

    arrays = read_npz_arrays(path)
    if "format" in arrays and "shape" in arrays:
        if labels is None:
            raise DataError(
                f"{path}: is a sparse matrix without labels; name their file as well "
                "(labels=, --labels)"
            )
        return Parts(sparse_from_arrays(arrays, path), read_labels(labels))
    if labels is not None:
        raise DataError(
            f"{path}: is no sparse matrix of scipy.sparse.save_npz, so it takes no "
            "labels file"
        )
    test = [key for key in ("x_test", "y_test") if key in arrays]
    if not {"x_train", "y_train"} <= arrays.keys() or len(test) == 1:
        raise DataError(
            f"{path}: holds {', '.join(sorted(arrays)) or 'nothing'}; needed are "
            "x_train, y_train and, for a test part, x_test, y_test, or a sparse matrix "
            "of scipy.sparse.save_npz"
        )
    return Parts(**{k: arrays[k] for k in ("x_train", "y_train", *test)})


def read_npz_arrays(path: str | os.PathLike[str]) -> dict[str, npt.NDArray[Any]]:
    """Read every array of an archive; sizes are checked before memory is taken.

    Parameters
    ----------
    path : str or path-like

    Returns
    -------
    dict of str to ndarray

    Raises
    ------
    DataError
        If the archive is damaged or holds anything but plain arrays.
    """
    arrays: dict[str, npt.NDArray[Any]] = {}
    with reading(path), zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            name = info.filename.removesuffix(".npy")
            where = f"{path}, array {name!r}"
            if name in arrays or name == info.filename:
                raise DataError(f"{where}: needed are .npy members, each name once")
            if (
                info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
                or info.flag_bits & 1
            ):
                raise DataError(f"{where}: is encrypted or not packed by DEFLATE")
            if info.file_size > packed_capacity(os.path.getsize(path)):
                raise DataError(
                    f"{where}: claims {info.file_size} bytes; the file is cut"
                )
            with archive.open(info) as member:
                arrays[name] = _read_array(
                    cast(BinaryIO, member), info.file_size, where
                )
    return arrays


def read_npy(path: str | os.PathLike[str]) -> npt.NDArray[Any]:
    """Read a .npy file of numbers or words.

    Parameters
    ----------
    path : str or path-like

    Returns
    -------
    ndarray

    Raises
    ------
    DataError
        If the file is damaged or holds pickled objects.
    """
    with reading(path), open(path, "rb") as file:
        return _read_array(file, os.path.getsize(path), str(path))


def sparse_from_arrays(
    arrays: dict[str, npt.NDArray[Any]], path: str | os.PathLike[str]
) -> Any:
    """Build the matrix that scipy.sparse.save_npz saved, checking every index.

    Parameters
    ----------
    arrays : dict of str to ndarray
        Members of the archive.
    path : str or path-like
        Begins the message of an error.

    Returns
    -------
    scipy.sparse.csr_array

    Raises
    ------
    DataError
        If an array is missing or an index is out of range.
    """
    from scipy import sparse

    kind = "".join(arrays["format"].reshape(-1)[:1].astype("U").tolist())
    needed = {
        "csr": ("data", "indices", "indptr"),
        "csc": ("data", "indices", "indptr"),
        "coo": ("data", "row", "col"),
    }.get(kind)
    if needed is None:
        raise DataError(f"{path}: sparse format is {kind!r:.20}; read: csr, csc, coo")
    missing = [key for key in needed if key not in arrays]
    shape = arrays["shape"].reshape(-1)
    if missing or shape.dtype.kind not in "iu" or shape.size != 2:
        raise DataError(
            f"{path}: a sparse {kind} matrix needs a shape of two integers and "
            f"{', '.join(needed)}; found: {', '.join(sorted(arrays))}"
        )
    a, b, c = (arrays[key] for key in needed)
    size = (int(shape[0]), int(shape[1]))
    if (
        min(size) < 0
        or max(size) >= 2**31
        or b.dtype.kind + c.dtype.kind
        not in (
            "ii",
            "iu",
            "ui",
            "uu",
        )
    ):
        raise DataError(f"{path}: has shape {size} and {b.dtype}, {c.dtype} indices")
    if kind != "csr" and size[0] > 1_000_000 + 100 * a.size:
        # Turning it into CSR takes memory for each row, whatever the file holds.
        raise DataError(
            f"{path}: has {size[0]} rows, nearly all empty: {a.size} entries"
        )
    try:
        if kind == "coo":
            return sparse.csr_array(sparse.coo_array((a, (b, c)), shape=size))
        make = sparse.csr_array if kind == "csr" else sparse.csc_array
        matrix = make((a, b, c), shape=size)
        matrix.check_format(full_check=True)
        return sparse.csr_array(matrix)
    except (ValueError, TypeError, IndexError) as error:
        raise DataError(f"{path}: is not a sound {kind} matrix: {error}") from error


def _read_array(file: BinaryIO, available: int, where: str) -> npt.NDArray[Any]:
    try:
        version = np.lib.format.read_magic(file)
        if version == (1, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
        else:
            shape, fortran, dtype = np.lib.format.read_array_header_2_0(file)
    except Exception as error:  # a damaged header fails in many ways within NumPy
        raise DataError(f"{where}: has no sound .npy header: {error}") from error
    if dtype.hasobject:
        raise DataError(
            f"{where}: holds pickled Python objects, which are never loaded"
        )
    if dtype.kind not in "biufUS":
        raise DataError(f"{where}: has dtype {dtype}; needed are numbers or words")
    n_bytes = prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or n_bytes != available - file.tell():
        raise DataError(
            f"{where}: has {available - file.tell()} bytes for shape {shape} of "
            f"{dtype}, which takes {n_bytes}"
        )
    buffer = np.empty(n_bytes, np.uint8)
    # The last read lets the archive compare its checksum.
    if not read_exactly(file, memoryview(buffer)) or file.read(1):
        raise DataError(f"{where}: is not as long as its header says")
    if dtype.itemsize == 0:
        return np.zeros(shape, dtype)
    return np.ndarray(shape, dtype, buffer, order="F" if fortran else "C")
