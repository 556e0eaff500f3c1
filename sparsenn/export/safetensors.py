"""The safetensors file layout: named arrays and text, and nothing that can run.

A file is an 8-byte little-endian header length, a JSON object that gives each array
its dtype, shape and byte range, and the bytes of the arrays back to back. Files
written here carry a checksum over names, shapes, metadata and bytes, so that a flipped
bit anywhere is found; files of other writers are read without one. NumPy has no
bfloat16: it is read as float32, which holds each of its values, and never written.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BufferedReader
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from sparsenn.files import atomic_write

__all__ = [
    "FormatError", "TensorInfo", "read", "read_lazily", "write",
]  # fmt: skip

# Metadata entries that `write` adds and `read` takes away again. The second marks the
# file as ours, so that damage to the name of the first is noticed too.
_CHECKSUM = "sparsenn.checksum"
_MARK = "sparsenn.file"

_DTYPES = {
    "BOOL": np.dtype("?"),
    "U8": np.dtype("u1"),
    "I8": np.dtype("i1"),
    "U16": np.dtype("<u2"),
    "I16": np.dtype("<i2"),
    "F16": np.dtype("<f2"),
    "U32": np.dtype("<u4"),
    "I32": np.dtype("<i4"),
    "F32": np.dtype("<f4"),
    "U64": np.dtype("<u8"),
    "I64": np.dtype("<i8"),
    "F64": np.dtype("<f8"),
}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}
_DTYPES["BF16"] = np.dtype("<u2")  # the upper half of a float32
_MAX_HEADER = 100_000_000  # the format's own bound
_MAX_DIMS = 32
_ALIGNMENT = 8
_BLOCK = 1 << 20  # bytes


class FormatError(ValueError):
    """A file is not what its format demands; the message names file and fault."""


@dataclass(frozen=True)
class TensorInfo:
    """What a header says about one array.

    Attributes
    ----------
    kind : str
        What the format calls the element type.
    dtype : numpy.dtype
        Little-endian element type as it is stored; of ``BF16`` uint16, its bits.
    shape : tuple of int
    begin, end : int
        Byte range within the part after the header.
    """

    kind: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    begin: int
    end: int


def write(
    path: str | os.PathLike[str],
    arrays: Mapping[str, npt.ArrayLike],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write named arrays and metadata; the same content always gives the same bytes.

    The file appears under its name only when it is complete. Arrays lie in order of
    falling element size, then name, so that each is aligned to its element size.

    Parameters
    ----------
    path : str or path-like
    arrays : mapping of str to array
        Booleans, integers and floats of 1 to 8 bytes (float16 included), any layout.
    metadata : mapping of str to str, optional

    Raises
    ------
    TypeError
        If a name or a metadata value is not a string.
    ValueError
        If a dtype cannot be stored, or a name is reserved by the format.
    """
    stored = {name: _storable(name, array) for name, array in arrays.items()}
    text = _checked_metadata(metadata or {})
    order = sorted(stored, key=lambda name: (-stored[name].itemsize, name))
    infos: dict[str, TensorInfo] = {}
    end = 0
    for name in order:
        array = stored[name]
        begin, end = end, end + array.nbytes
        kind = _NAMES[array.dtype]
        infos[name] = TensorInfo(kind, array.dtype, array.shape, begin, end)
    text[_MARK] = "1"
    digest = _header_digest(infos, text)
    for name in order:
        digest.update(_bytes(stored[name]))
    text[_CHECKSUM] = f"sha256:{digest.hexdigest()}"
    header: dict[str, Any] = {"__metadata__": dict(sorted(text.items()))}
    header.update((name, _entry(infos[name])) for name in order)
    encoded = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    encoded += b" " * (-len(encoded) % _ALIGNMENT)
    if len(encoded) > _MAX_HEADER:
        raise ValueError(
            f"names and metadata take {len(encoded)} bytes; the format allows "
            f"{_MAX_HEADER}"
        )
    with atomic_write(path) as file:
        file.write(len(encoded).to_bytes(8, "little"))
        file.write(encoded)
        for name in order:
            file.write(_bytes(stored[name]))


def read(
    path: str | os.PathLike[str], *, require_checksum: bool = False
) -> tuple[dict[str, npt.NDArray[Any]], dict[str, str]]:
    """Read all arrays and the metadata of a file, checking everything.

    Parameters
    ----------
    path : str or path-like
    require_checksum : bool
        Also refuse files of other writers, which carry no checksum.

    Returns
    -------
    arrays : dict of str to ndarray
        In the order of the file; writable, with memory of their own.
    metadata : dict of str to str
        Without the entries that `write` added.

    Raises
    ------
    FormatError
        If any byte breaks the format or the checksum.
    OSError
        If the file cannot be opened or read.
    """
    raw: dict[str, npt.NDArray[np.uint8]] = {}
    with open(path, "rb") as file:
        infos, metadata = _read_header(path, file)
        expected = _expected(path, metadata, require_checksum)
        digest = _header_digest(infos, metadata)
        for name, info in infos.items():
            # The sum of all sizes was checked against the length of the file.
            raw[name] = _read_raw(path, file, name, info)
            if expected is not None:
                digest.update(memoryview(raw[name]))
    _compare(path, expected, digest)
    arrays = {name: _typed(path, name, raw[name], infos[name]) for name in infos}
    return arrays, _without_own_entries(metadata)


def read_lazily(
    path: str | os.PathLike[str],
) -> tuple[dict[str, TensorInfo], Callable[[str], npt.NDArray[Any]]]:
    """Check a file block by block, and read its arrays when they are asked for.

    Parameters
    ----------
    path : str or path-like

    Returns
    -------
    infos : dict of str to TensorInfo
        In the order of the file.
    read_one : callable
        From a name to that array, which nothing else keeps.

    Raises
    ------
    FormatError
        If the header breaks the format, or any byte the checksum of a file that has
        one.
    OSError
        If the file cannot be opened or read.
    """
    with open(path, "rb") as file:
        infos, metadata = _read_header(path, file)
        start = file.tell()
        expected = _expected(path, metadata, False)
        if expected is not None:
            digest = _header_digest(infos, metadata)
            while block := file.read(_BLOCK):
                digest.update(block)
            _compare(path, expected, digest)

    def read_one(name: str) -> npt.NDArray[Any]:
        with open(path, "rb") as file:
            file.seek(start + infos[name].begin)
            raw = _read_raw(path, file, name, infos[name])
        return _typed(path, name, raw, infos[name])

    return infos, read_one


# ------------------------------------------------------------------------ writing


def _storable(name: str, value: npt.ArrayLike) -> npt.NDArray[Any]:
    if not isinstance(name, str):
        raise TypeError(f"array name {name!r} is not a string")
    if name == "__metadata__":
        raise ValueError("the array name '__metadata__' is reserved by the format")
    array = np.asarray(value)
    dtype = array.dtype.newbyteorder("<")
    if dtype not in _NAMES:
        raise ValueError(
            f"array {name!r} has dtype {array.dtype}; the format stores "
            + ", ".join(str(known) for known in _NAMES)
        )
    if array.ndim > _MAX_DIMS:
        raise ValueError(f"array {name!r} has {array.ndim} axes, more than {_MAX_DIMS}")
    return np.asarray(array, dtype=dtype, order="C")


def _checked_metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    for key, value in metadata.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise TypeError(f"metadata {key!r}: {value!r}; both must be strings")
        if key in (_CHECKSUM, _MARK):
            raise ValueError(f"the metadata key {key!r} is set by this function")
    return dict(metadata)


def _bytes(array: npt.NDArray[Any]) -> memoryview:
    return memoryview(array.reshape(-1).view(np.uint8))


def _entry(info: TensorInfo) -> dict[str, Any]:
    return {
        "dtype": info.kind,
        "shape": list(info.shape),
        "data_offsets": [info.begin, info.end],
    }


def _header_digest(infos: Mapping[str, TensorInfo], metadata: Mapping[str, str]) -> Any:
    """SHA-256 begun with what the header means, however its JSON is spelled."""
    content = {
        "arrays": [[name, _entry(info)] for name, info in infos.items()],
        "metadata": {k: v for k, v in metadata.items() if k != _CHECKSUM},
    }
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii"))


# ------------------------------------------------------------------------ reading


def _fail(path: str | os.PathLike[str], what: str) -> NoReturn:
    raise FormatError(f"{os.fspath(path)}: {what}")


def _expected(
    path: str | os.PathLike[str], metadata: Mapping[str, str], required: bool
) -> str | None:
    """The checksum that a file says it has."""
    expected = metadata.get(_CHECKSUM)
    if expected is None and (required or _MARK in metadata):
        _fail(
            path,
            f"has no {_CHECKSUM!r} in its metadata: damaged, edited, or written "
            "by another program",
        )
    return expected


def _compare(path: str | os.PathLike[str], expected: str | None, digest: Any) -> None:
    if expected is not None and expected != f"sha256:{digest.hexdigest()}":
        _fail(
            path,
            "does not match its checksum: it was damaged or changed after it was "
            "written; use another copy",
        )


def _read_raw(
    path: str | os.PathLike[str], file: BufferedReader, name: str, info: TensorInfo
) -> npt.NDArray[np.uint8]:
    """The bytes of an array, at whose begin the file stands."""
    raw = np.empty(info.end - info.begin, np.uint8)
    if file.readinto(memoryview(raw)) != raw.size:
        _fail(path, f"ends within array {name!r}: the file was cut")
    return raw


def _read_header(
    path: str | os.PathLike[str], file: BufferedReader
) -> tuple[dict[str, TensorInfo], dict[str, str]]:
    size = os.fstat(file.fileno()).st_size
    if size < 8:
        _fail(path, f"has {size} bytes; a safetensors file begins with 8 for a length")
    length = int.from_bytes(file.read(8), "little")
    if not 2 <= length <= min(_MAX_HEADER, size - 8):
        _fail(
            path,
            f"header length is {length}; allowed are 2 to {_MAX_HEADER}, within the "
            f"{size - 8} bytes that follow. Not a safetensors file, or cut short",
        )
    encoded = file.read(length)
    if len(encoded) != length:
        _fail(path, "ends within its header: the file was cut")
    header = _parse(path, encoded)
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(
        isinstance(value, str) for value in metadata.values()
    ):
        _fail(path, "'__metadata__' must be an object of strings")
    infos = {name: _info(path, name, entry) for name, entry in header.items()}
    infos = dict(sorted(infos.items(), key=lambda item: (item[1].begin, item[1].end)))
    end = 0
    for name, info in infos.items():
        if info.begin != end:
            _fail(
                path,
                f"array {name!r} begins at byte {info.begin} of the data; it must be "
                f"{end}, where the one before ends",
            )
        end = info.end
    if size - 8 - length != end:
        _fail(
            path,
            f"has {size - 8 - length} bytes of data; its header describes {end}",
        )
    return infos, metadata


def _parse(path: str | os.PathLike[str], encoded: bytes) -> dict[str, Any]:
    def no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, value in pairs:
            if key in result:
                _fail(path, f"the header has the key {key!r:.80} twice")
            result[key] = value
        return result

    def no_constant(text: str) -> NoReturn:
        _fail(path, f"the header has {text}, which is not JSON")

    if not encoded.startswith(b"{"):
        _fail(path, "the header must begin with '{'. Not a safetensors file")
    try:
        header = json.loads(
            encoded.decode("utf-8"),
            object_pairs_hook=no_duplicates,
            parse_constant=no_constant,
        )
    except FormatError:
        raise
    except (ValueError, RecursionError) as error:
        _fail(path, f"the header is not a JSON object in UTF-8 ({error})")
    return dict(header)


def _info(path: str | os.PathLike[str], name: str, entry: Any) -> TensorInfo:
    fields = {"dtype", "shape", "data_offsets"}
    if not isinstance(entry, dict) or set(entry) != fields:
        _fail(path, f"array {name!r} must have exactly dtype, shape and data_offsets")
    dtype = _DTYPES.get(entry["dtype"]) if isinstance(entry["dtype"], str) else None
    if dtype is None:
        allowed = ", ".join(_DTYPES)
        _fail(
            path,
            f"array {name!r} has dtype {entry['dtype']!r:.40}; allowed are {allowed}",
        )
    shape, offsets = entry["shape"], entry["data_offsets"]
    if not _naturals(shape) or len(shape) > _MAX_DIMS:
        _fail(
            path,
            f"array {name!r} has shape {shape!r:.80}; allowed are at most {_MAX_DIMS} "
            "integers, none negative",
        )
    if not _naturals(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        _fail(
            path,
            f"array {name!r} has data_offsets {offsets!r:.80}; allowed are two "
            "integers, begin <= end",
        )
    size = extent = dtype.itemsize
    for n in shape:
        size *= n
        extent *= max(n, 1)  # NumPy bounds this product even when some axis is 0
    begin, end = offsets
    if end - begin != size or extent >= 2**63:
        _fail(
            path,
            f"array {name!r} has {end - begin} bytes; shape {shape!r:.80} of "
            f"{entry['dtype']} takes {size}",
        )
    return TensorInfo(entry["dtype"], dtype, tuple(shape), begin, end)


def _naturals(value: Any) -> bool:
    """Whether value is a list of integers in 0 .. 2**63 - 1 (`true` is not one)."""
    return isinstance(value, list) and all(
        type(n) is int and 0 <= n < 2**63 for n in value
    )


def _without_own_entries(metadata: Mapping[str, str]) -> dict[str, str]:
    return {k: v for k, v in metadata.items() if k not in (_CHECKSUM, _MARK)}


def _typed(
    path: str | os.PathLike[str],
    name: str,
    raw: npt.NDArray[np.uint8],
    info: TensorInfo,
) -> npt.NDArray[Any]:
    if info.dtype == np.bool_ and raw.size and raw.max() > 1:
        _fail(path, f"array {name!r} is BOOL and has bytes other than 0 and 1")
    array = raw.view(info.dtype).reshape(info.shape)
    if info.kind != "BF16":
        return array
    wide = array.astype("<u4")
    wide <<= 16
    return wide.view("<f4")
