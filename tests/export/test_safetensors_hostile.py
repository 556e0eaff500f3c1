"""Damaged and hostile safetensors files: one FormatError each, and no surprise."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsenn.export.safetensors import FormatError, read, read_lazily, write

ARRAYS = {
    "w.values": np.arange(5, dtype=np.float32),
    "w.columns": np.array([1, 4, 2, 0, 3], np.uint8),
    "mask": np.array([True, False, True]),
}
METADATA = {"arch": "4-2", "sparsenn.version": "1"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "model.safetensors"
    write(path, ARRAYS, METADATA)
    return path.read_bytes()


def header_length(data):
    return int.from_bytes(data[:8], "little")


def check_same_or_format_error(path, data):
    """Whether the bytes were refused; content that differs fails the test."""
    path.write_bytes(data)
    try:
        arrays, metadata = read(path)
    except FormatError as error:
        assert str(path) in str(error)
        return True
    assert metadata == METADATA
    assert arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(arrays[name], array)
    return False


def test_every_bit_of_header_and_body(tmp_path, whole):
    path = tmp_path / "m"
    accepted = 0
    for position in range(len(whole)):
        for bit in range(8):
            data = bytearray(whole)
            data[position] ^= 1 << bit
            accepted += not check_same_or_format_error(path, data)
    # Only the padding after the JSON object may change, to other white space.
    assert accepted <= 8 * 8


@pytest.mark.parametrize("value", [0x00, 0x20, 0x22, 0x2C, 0x30, 0x7D, 0xFF])
def test_every_byte_replaced(tmp_path, whole, value):
    path = tmp_path / "m"
    for position in range(8 + header_length(whole)):
        data = bytearray(whole)
        data[position] = value
        check_same_or_format_error(path, data)


def test_every_truncation_and_some_excess(tmp_path, whole):
    path = tmp_path / "m"
    for length in range(len(whole)):
        assert check_same_or_format_error(path, whole[:length])
    for excess in (b"\0", b"\0" * 8, whole):
        assert check_same_or_format_error(path, whole + excess)


@settings(deadline=None, max_examples=100)
@given(edits=st.dictionaries(st.integers(0, 10_000), st.integers(0, 255), max_size=6))
def test_random_damage(tmp_path_factory, whole, edits):
    data = bytearray(whole)
    for position, value in edits.items():
        data[position % len(data)] = value
    check_same_or_format_error(tmp_path_factory.getbasetemp() / "damaged", data)


@settings(deadline=None, max_examples=100)
@given(data=st.binary(max_size=200))
def test_random_files(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "random"
    path.write_bytes(data)
    with pytest.raises(FormatError):
        read(path)


def raw(path, header, body=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    length = len(text) if length is None else length
    path.write_bytes(length.to_bytes(8, "little") + text + body)
    return path


def entry(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


HOSTILE = [
    (b"", b"", "begins with 8"),
    (b"[]", b"", "must begin with"),
    (b"{]", b"", "not a JSON object"),
    (b"{}  x", b"", "not a JSON object"),
    (b'{"a":"\xff"}', b"", "not a JSON object"),
    (b'{"a":' * 100_000, b"", "not a JSON object"),
    (b'{"a":' + b"1" * 5000 + b"}", b"", "not a JSON object"),
    (b'{"a":{"dtype":"F32","shape":[NaN],"data_offsets":[0,0]}}', b"", "NaN"),
    ({"__metadata__": {"a": 1}}, b"", "object of strings"),
    ({"__metadata__": None}, b"", "object of strings"),
    ({"a": []}, b"", "exactly dtype, shape"),
    ({"a": {"dtype": "F32", "shape": []}}, b"", "exactly dtype, shape"),
    ({"a": {**entry(), "more": 1}}, bytes(8), "exactly dtype, shape"),
    ({"a": entry("F8_E5M2")}, bytes(8), "dtype 'F8_E5M2'; allowed"),
    ({"a": entry(["F32"])}, bytes(8), "dtype"),
    ({"a": entry(shape=(-2,))}, bytes(8), "none negative"),
    ({"a": entry(shape=(True, 2))}, bytes(8), "shape"),
    ({"a": entry(shape=(2.0,))}, bytes(8), "shape"),
    ({"a": entry(shape=("2",))}, bytes(8), "shape"),
    ({"a": {**entry(), "shape": 2}}, bytes(8), "shape"),
    ({"a": entry(shape=(1,) * 40)}, bytes(8), "at most 32"),
    ({"a": entry(shape=(2**62, 4))}, bytes(8), "takes"),
    ({"a": entry(shape=(2**61, 2**61, 2**61, 8))}, bytes(8), "takes"),
    ({"a": entry(shape=(0, 2**62, 2**62), offsets=(0, 0))}, b"", "takes 0"),
    ({"a": entry(shape=(2**64,))}, bytes(8), "shape"),
    ({"a": entry(offsets=(0, 9))}, bytes(9), "takes 8"),
    ({"a": entry(offsets=(8, 0))}, bytes(8), "begin <= end"),
    ({"a": entry(offsets=(-8, 0))}, bytes(8), "begin <= end"),
    ({"a": entry(offsets=(0, 8, 16))}, bytes(8), "begin <= end"),
    ({"a": entry(offsets=(0.0, 8.0))}, bytes(8), "begin <= end"),
    ({"a": entry(offsets=(4, 12))}, bytes(12), "must be 0"),
    ({"a": entry(), "b": entry()}, bytes(8), "must be 8"),
    ({"a": entry(), "b": entry(offsets=(12, 20))}, bytes(20), "must be 8"),
    ({"a": entry()}, bytes(7), "7 bytes of data; its header describes 8"),
    ({"a": entry()}, bytes(9), "9 bytes of data"),
    ({"a": entry("BOOL", (2,), (0, 2))}, b"\x01\x02", "other than 0 and 1"),
    (
        b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},'
        b'"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}',
        b"\0",
        "'a' twice",
    ),
    ({"__metadata__": {"sparsenn.file": "1"}}, b"", "has no 'sparsenn.checksum'"),
    ({"__metadata__": {"sparsenn.checksum": "sha256:0"}}, b"", "not match its check"),
]


@pytest.mark.parametrize(("header", "body", "match"), HOSTILE)
def test_hostile_headers(tmp_path, header, body, match):
    path = raw(tmp_path / "m", header, body)
    if header == b"":
        path.write_bytes(b"")
    with pytest.raises(FormatError, match=match) as caught:
        read(path)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("length", [0, 1, 3, 2**31, 2**63, 2**64 - 1])
def test_hostile_header_lengths(tmp_path, length):
    path = raw(tmp_path / "m", b"{}", length=length)
    for function in (read, read_lazily):
        with pytest.raises(FormatError, match="header length"):
            function(path)


def test_claimed_sizes_are_not_allocated(tmp_path):
    """A header may claim 2 GB of data; refusing it must not need the memory."""
    resource = pytest.importorskip("resource")
    huge = {"a": entry(shape=(2**29,), offsets=(0, 2**31))}
    path = raw(tmp_path / "m", huge, bytes(8))
    code = f"""
        import resource
        from sparsenn.export.safetensors import FormatError, read
        resource.setrlimit(resource.RLIMIT_AS, ({2**30}, {2**30}))
        try:
            read({str(path)!r})
        except FormatError:
            print("refused")
    """
    assert resource is not None
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": ":".join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"},
    )
    assert done.stdout.strip() == "refused", done.stderr


def test_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "missing")
