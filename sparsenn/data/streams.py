"""Opening data files, compressed or not, with one kind of error."""

from __future__ import annotations

import contextlib
import gzip
import os
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from sparsenn.data.errors import DataError

__all__ = ["capacity", "open_data", "read_exactly", "reading"]

# DEFLATE cannot pack more than 1032 bytes into one, so that a length claimed by a
# file is refused before any memory is asked for it.
_DEFLATE_RATIO = 1032


@contextlib.contextmanager
def reading(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn whatever fails while a file is read into a DataError that names it."""
    try:
        yield
    except DataError:
        raise
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not text in UTF-8 ({error})") from error
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path}: cannot be read: {reason}") from error


def is_gzip(path: str | os.PathLike[str]) -> bool:
    """Whether the content (not the name) is gzip-compressed."""
    with open(path, "rb") as file:
        return file.read(2) == b"\x1f\x8b"


def open_data(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a file for reading bytes, unpacking gzip on the way."""
    if is_gzip(path):
        return cast(BinaryIO, gzip.open(path, "rb"))
    return open(path, "rb")


def capacity(path: str | os.PathLike[str]) -> int:
    """The most bytes that `open_data` can deliver from this file."""
    size = Path(path).stat().st_size
    return size * _DEFLATE_RATIO if is_gzip(path) else size


def packed_capacity(packed: int) -> int:
    """The most bytes that `packed` bytes of DEFLATE can hold."""
    return packed * _DEFLATE_RATIO


def read_exactly(file: BinaryIO, view: memoryview) -> bool:
    """Fill `view` from the file; False if the file ends before."""
    done = 0
    while done < len(view):
        block = file.read(min(len(view) - done, 1 << 24))
        if not block:
            return False
        view[done : done + len(block)] = block
        done += len(block)
    return True
