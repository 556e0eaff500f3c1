"""Writing a file so that its name never shows a half-written state."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

__all__ = ["atomic_write"]


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str], mode: str = "wb") -> Iterator[IO[Any]]:
    """Open a file that takes its name only when all of it is on disk.

    What is written goes to a temporary file in the same directory. When the block
    ends, the data are flushed to disk and the file is renamed over `path` in one
    step; when it raises (a full disk and Ctrl-C included), the temporary file is
    removed and an older file at `path` stays as it was.

    Parameters
    ----------
    path : str or path-like
        The name to write. A symbolic link is followed; the permissions of an
        existing file are kept.
    mode : {"wb", "w"}
        Bytes, or UTF-8 text with "\\n" line ends on every system.

    Yields
    ------
    file object
        Open for writing.

    Raises
    ------
    ValueError
        If `mode` is another one, or `path` exists and is not a regular file.
    OSError
        If the directory is missing or cannot be written, or the disk is full.
    """
    if mode not in ("wb", "w"):
        raise ValueError(f"mode is {mode!r}; allowed are 'wb' (bytes) and 'w' (text)")
    target = Path(os.path.realpath(path))
    permissions = _permissions(target)
    temporary = target.with_name(f".{target.name[:200]}.{secrets.token_hex(8)}.tmp")
    # os.open instead of tempfile: the umask then decides on the permissions.
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    descriptor = os.open(temporary, flags, 0o666)
    try:
        with _open(descriptor, mode) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if permissions is not None:
            os.chmod(temporary, permissions)
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    _sync_directory(target.parent)


def _open(descriptor: int, mode: str) -> IO[Any]:
    if mode == "wb":
        return os.fdopen(descriptor, "wb")
    return os.fdopen(descriptor, "w", encoding="utf-8", newline="\n")


def _permissions(target: Path) -> int | None:
    """Permission bits of an existing regular file, None if there is no file."""
    try:
        status = os.stat(target)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(status.st_mode):
        # Renaming over a device or a pipe would replace it by a plain file.
        raise ValueError(f"{target} exists and is not a regular file; choose another")
    return stat.S_IMODE(status.st_mode)


def _sync_directory(directory: Path) -> None:
    """Make the rename itself survive a power cut, where directories can be synced."""
    with contextlib.suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
