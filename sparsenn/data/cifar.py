"""CIFAR-10: the original binary archive, and a copy of JPEG images."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sparsenn.data.errors import DataError
from sparsenn.data.npz import read_npz_arrays
from sparsenn.data.parts import Parts
from sparsenn.data.streams import reading

__all__ = ["read_cifar_binary", "read_cifar_jpeg"]

_TRAIN = tuple(f"data_batch_{k}.bin" for k in range(1, 6))
_TEST = ("test_batch.bin",)
_RECORD = 1 + 3 * 32 * 32  # the label, then a plane for each of red, green, blue


def read_cifar_binary(folder: Path) -> Parts:
    """Read `cifar-10-binary.tar.gz` without unpacking it to disk.

    Parameters
    ----------
    folder : Path
        Holds the archive.

    Returns
    -------
    Parts
        Images are uint8 (samples, 32, 32, 3).

    Raises
    ------
    DataError
        If the archive is damaged or lacks a part.
    """
    path = folder / "cifar-10-binary.tar.gz"
    blocks: dict[str, bytes] = {}
    try:
        with reading(path), tarfile.open(path, "r:gz") as archive:
            for member in archive:
                name = Path(member.name).name
                if member.isfile() and name in _TRAIN + _TEST:
                    file = archive.extractfile(member)
                    # One batch has 10,000 records; more is not read.
                    blocks[name] = file.read(20_000 * _RECORD) if file else b""
    except tarfile.TarError as error:
        raise DataError(f"{path}: is not a sound archive: {error}") from error
    return Parts(*_records(path, blocks, _TRAIN), *_records(path, blocks, _TEST))


def _records(
    path: Path, blocks: dict[str, bytes], names: Sequence[str]
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    for name in names:
        size = len(blocks.get(name, b""))
        if not size or size % _RECORD:
            raise DataError(
                f"{path}: {name} has {size} bytes; needed are records of {_RECORD}"
            )
    whole = np.frombuffer(b"".join(blocks[name] for name in names), np.uint8)
    records = whole.reshape(-1, _RECORD)
    planes = records[:, 1:].reshape(-1, 3, 32, 32)
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), records[:, 0].copy()


def read_cifar_jpeg(folder: Path) -> Parts:
    """Decode `cifar10_jpeg_train.npz` and `cifar10_jpeg_test.npz` (some seconds).

    Parameters
    ----------
    folder : Path
        Holds both.

    Returns
    -------
    Parts
        Images are uint8 (samples, 32, 32, 3).

    Raises
    ------
    DataError
        If Pillow is missing or a file is damaged.
    """
    train = _decode(folder / "cifar10_jpeg_train.npz")
    return Parts(*train, *_decode(folder / "cifar10_jpeg_test.npz"))


def _decode(path: Path) -> tuple[npt.NDArray[np.uint8], npt.NDArray[Any]]:
    try:
        from PIL import Image
    except ImportError as error:
        raise DataError(
            "cifar10-jpeg holds JPEG images, which Pillow decodes: pip install pillow"
        ) from error
    arrays = read_npz_arrays(path)
    try:
        data, ends, labels = arrays["jpeg"], arrays["offset"], arrays["label"]
    except KeyError as error:
        raise DataError(f"{path}: lacks the array {error}") from error
    if len(ends) != len(labels) + 1 or int(ends[-1]) != data.size:
        raise DataError(f"{path}: offsets, labels and data do not fit together")
    images = np.empty((len(labels), 32, 32, 3), np.uint8)
    view = memoryview(data)
    for k in range(len(labels)):
        try:
            with Image.open(io.BytesIO(view[ends[k] : ends[k + 1]])) as image:
                images[k] = np.asarray(image)
        except (OSError, ValueError) as error:
            raise DataError(f"{path}: image {k} is damaged: {error}") from error
    return images, labels
