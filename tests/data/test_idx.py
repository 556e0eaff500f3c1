"""IDX files: what is read, and what is refused."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from sparsenn.data import DataError, load, read_idx, read_idx_directory

CODES = {"u1": 8, "i1": 9, ">i2": 11, ">i4": 12, ">f4": 13, ">f8": 14}


def idx(array):
    array = np.asarray(array)
    code = CODES[array.dtype.str.lstrip("|")]
    sizes = np.array(array.shape, ">u4").tobytes()
    return bytes([0, 0, code, array.ndim]) + sizes + array.tobytes()


def write_set(folder, n_train=20, n_test=5, gz=False, test=True):
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    for part, n in (("train", n_train), ("t10k", n_test)):
        if part == "t10k" and not test:
            continue
        files = {
            f"{part}-images-idx3-ubyte": rng.integers(0, 256, (n, 4, 3), np.uint8),
            f"{part}-labels-idx1-ubyte": (np.arange(n) % 3).astype(np.uint8),
        }
        for name, array in files.items():
            data = gzip.compress(idx(array)) if gz else idx(array)
            (folder / (name + ".gz" * gz)).write_bytes(data)
    return folder


@pytest.mark.parametrize("dtype", CODES)
@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_every_type(tmp_path, dtype, compress):
    array = np.arange(-3, 3).astype(dtype).reshape(2, 3)
    (tmp_path / "a").write_bytes(compress(idx(array)))
    read = read_idx(tmp_path / "a")
    assert read.dtype == array.dtype.newbyteorder("=")
    assert read.dtype.isnative
    np.testing.assert_array_equal(read, array)


@pytest.mark.parametrize("gz", [False, True])
def test_directory(tmp_path, gz):
    data = load(write_set(tmp_path / "set", gz=gz))
    assert data.x_train.shape == (20, 4, 3)
    assert data.x_test.shape == (5, 4, 3)
    assert data.x_train.dtype == np.uint8
    assert data.shape == (4, 3)
    assert data.n_features == 12
    assert data.n_classes == 3


def test_names_with_a_dot(tmp_path):
    folder = write_set(tmp_path / "set")
    for path in list(folder.iterdir()):
        path.rename(folder / path.name.replace("-idx", ".idx"))
    assert load(folder).n_classes == 3


def test_a_test_part_is_held_out(tmp_path):
    data = load(write_set(tmp_path / "set", test=False), seed=3)
    assert data.x_train.shape[0] == 16
    assert data.x_test.shape[0] == 4


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_every_truncation(tmp_path, compress):
    whole = compress(idx(np.arange(12, dtype=np.uint8).reshape(3, 4)))
    for length in range(len(whole)):
        (tmp_path / "a").write_bytes(whole[:length])
        with pytest.raises(DataError, match=str(tmp_path / "a")):
            read_idx(tmp_path / "a")


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "begins with nothing"),
        (b"\0\0\x07\x01\0\0\0\0", "begins with 00000701"),
        (b"\x89PNG", "begins with 89504e47"),
        (b"\0\0\x08\x00", "0 axes"),
        (b"\0\0\x08\xff" + b"\xff" * 4 * 255, "too short"),
        (b"\0\0\x08\x03" + b"\xff" * 12 + b"1234", "too short"),
        (gzip.compress(b"\0\0\x08\x03" + b"\xff" * 12 + b"1234", mtime=0), "too short"),
        (idx(np.zeros(3, np.uint8)) + b"\0", "too long"),
        (gzip.compress(idx(np.zeros(3, np.uint8)) + b"\0", mtime=0), "too long"),
        (
            gzip.compress(idx(np.zeros(3, np.uint8)), mtime=0) + b"junk",
            "cannot be read",
        ),
    ],
)
def test_hostile(tmp_path, content, match):
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(DataError, match=match):
        read_idx(tmp_path / "a")


def test_damaged_gzip_is_found(tmp_path):
    rng = np.random.default_rng(0)
    array = rng.integers(0, 9, 500, np.uint8)
    whole = bytearray(gzip.compress(idx(array)))
    for position in range(len(whole)):
        data = whole.copy()
        data[position] ^= 0x10
        (tmp_path / "a").write_bytes(data)
        try:
            read = read_idx(tmp_path / "a")
        except DataError:
            continue
        # Some bits of the wrapping mean nothing.
        np.testing.assert_array_equal(read, array)


@pytest.mark.parametrize(
    "missing", ["train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"]
)
def test_missing_files(tmp_path, missing):
    folder = write_set(tmp_path / "set")
    (folder / missing).unlink()
    with pytest.raises(DataError, match=missing):
        read_idx_directory(folder)


def test_parts_that_do_not_fit(tmp_path):
    folder = write_set(tmp_path / "set")
    labels = folder / "train-labels-idx1-ubyte"
    labels.write_bytes(idx(np.zeros(19, np.uint8)))
    with pytest.raises(DataError, match="20 samples have labels of shape"):
        load(folder)
    labels.write_bytes(idx(np.zeros((20, 2), np.uint8)))
    with pytest.raises(DataError, match=r"labels have shape \(20, 2\)"):
        load(folder)
    write_set(folder)
    images = folder / "t10k-images-idx3-ubyte"
    images.write_bytes(idx(np.zeros((5, 4, 4), np.uint8)))
    with pytest.raises(DataError, match=r"\(4, 4\), a training sample \(4, 3\)"):
        load(folder)
