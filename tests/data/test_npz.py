"""NumPy archives: dense, sparse, and hostile ones."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest

from sparsenn.data import DataError, load, read_labels, read_npz

sparse = pytest.importorskip("scipy.sparse")


def dense(n=10, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "x_train": rng.normal(size=(n, 3)).astype(np.float32),
        "y_train": np.arange(n) % 2,
        "x_test": rng.normal(size=(4, 3)).astype(np.float32),
        "y_test": np.array([0, 1, 0, 1]),
    }


def archive(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


def npy(array):
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.asarray(array))
    return buffer.getvalue()


def npy_header(text, version=1):
    text = text.encode()
    return b"\x93NUMPY" + bytes([version, 0]) + len(text).to_bytes(2, "little") + text


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_dense(tmp_path, save):
    arrays = dense()
    save(tmp_path / "a.npz", **arrays)
    data = load(tmp_path / "a.npz")
    for name, array in arrays.items():
        np.testing.assert_array_equal(getattr(data, name), array)
    assert data.x_train.dtype == np.float32
    assert data.y_train.dtype == np.int64


def test_dense_without_test_part(tmp_path):
    arrays = dense(50)
    np.savez(tmp_path / "a.npz", x_train=arrays["x_train"], y_train=arrays["y_train"])
    data = load(tmp_path / "a.npz", test_fraction=0.3, seed=5)
    assert data.x_train.shape == (35, 3)
    assert data.x_test.shape == (15, 3)
    rows = np.concatenate([data.x_train, data.x_test])
    np.testing.assert_array_equal(np.sort(rows, 0), np.sort(arrays["x_train"], 0))
    again = load(tmp_path / "a.npz", test_fraction=0.3, seed=5)
    other = load(tmp_path / "a.npz", test_fraction=0.3, seed=6)
    np.testing.assert_array_equal(data.x_test, again.x_test)
    assert not np.array_equal(data.x_test, other.x_test)


def test_fortran_order_and_other_types(tmp_path):
    x = np.asfortranarray(np.arange(12).reshape(4, 3) % 2 == 0)
    np.savez(tmp_path / "a.npz", x_train=x, y_train=np.array(["b", "a", "b", "c"]))
    parts = read_npz(tmp_path / "a.npz")
    np.testing.assert_array_equal(parts.x_train, x)
    data = load(tmp_path / "a.npz")
    assert data.classes == ("a", "b", "c")
    assert data.x_train.dtype == np.uint8
    assert data.x_train.flags.c_contiguous


@pytest.mark.parametrize("kind", ["csr", "csc", "coo"])
def test_sparse(tmp_path, kind):
    matrix = sparse.random_array((20, 50), density=0.1, rng=0, format=kind)
    sparse.save_npz(tmp_path / "x.npz", matrix)
    (tmp_path / "y.txt").write_text("\n".join("ab"[k % 2] for k in range(20)))
    data = load(tmp_path / "x.npz", labels=tmp_path / "y.txt", seed=1)
    assert data.is_sparse
    assert data.x_train.format == "csr"
    assert data.x_train.indices.dtype == np.int32
    assert data.classes == ("a", "b")
    assert data.x_train.shape == (16, 50)
    total = data.x_train.sum() + data.x_test.sum()
    assert total == pytest.approx(matrix.sum())
    assert "sparse" in data.describe()


def test_label_files(tmp_path):
    y = np.array([2, 0, 1, 2])
    np.save(tmp_path / "y.npy", y)
    np.savez(tmp_path / "one.npz", anything=y)
    np.savez(tmp_path / "y.npz", x=np.zeros(3), y=y)
    sparse.save_npz(tmp_path / "s.npz", sparse.csr_array(np.eye(3)[y]))
    (tmp_path / "y.txt").write_text("2\n0\n1\n2\n\n")
    for name in ("y.npy", "one.npz", "y.npz", "s.npz", "y.txt"):
        read = read_labels(tmp_path / name)
        np.testing.assert_array_equal(read.astype(int), y)


def test_bad_label_files(tmp_path):
    sparse.save_npz(tmp_path / "s.npz", sparse.csr_array([[1, 0], [1, 1], [0, 0]]))
    with pytest.raises(DataError, match="sample 1 has 2 labels, and 2 samples"):
        read_labels(tmp_path / "s.npz")
    np.savez(tmp_path / "two.npz", a=np.zeros(3), b=np.zeros(3))
    with pytest.raises(DataError, match="holds a, b; needed"):
        read_labels(tmp_path / "two.npz")
    (tmp_path / "gap.txt").write_text("1\n\n2\n")
    with pytest.raises(DataError, match="line 2 is empty"):
        read_labels(tmp_path / "gap.txt")
    (tmp_path / "none.txt").write_text("")
    with pytest.raises(DataError, match="line 1 is empty"):
        read_labels(tmp_path / "none.txt")
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="UTF-8"):
        read_labels(tmp_path / "bytes.txt")
    with pytest.raises(DataError, match="no such file"):
        read_labels(tmp_path / "missing.npy")


def test_labels_only_where_they_belong(tmp_path):
    np.savez(tmp_path / "a.npz", **dense())
    with pytest.raises(DataError, match="takes no"):
        load(tmp_path / "a.npz", labels="y.txt")
    sparse.save_npz(tmp_path / "x.npz", sparse.csr_array(np.eye(3)))
    with pytest.raises(DataError, match="without labels"):
        load(tmp_path / "x.npz")
    (tmp_path / "y.txt").write_text("1\n2\n")
    with pytest.raises(DataError, match="3 samples and 2 labels"):
        load(tmp_path / "x.npz", labels=tmp_path / "y.txt")


def test_missing_arrays(tmp_path):
    arrays = dense()
    for drop, match in (("x_train", "x_test, y_test, y_train; needed"), ("y_test", "")):
        rest = {k: v for k, v in arrays.items() if k != drop}
        np.savez(tmp_path / "a.npz", **rest)
        with pytest.raises(DataError, match=f"holds {match}"):
            load(tmp_path / "a.npz")


def test_pickles_are_never_loaded(tmp_path):
    np.savez(tmp_path / "a.npz", x_train=np.array([[{}]]), y_train=np.zeros(1))
    with pytest.raises(DataError, match="pickled"):
        load(tmp_path / "a.npz")
    np.save(tmp_path / "y.npy", np.array([{}]))
    with pytest.raises(DataError, match="pickled"):
        read_labels(tmp_path / "y.npy")


HEADER = "{{'descr': '{}', 'fortran_order': False, 'shape': {}, }}"


@pytest.mark.parametrize(
    ("members", "match"),
    [
        ({"x.txt": b"hello"}, ".npy members"),
        ({"x.npy": b""}, "no sound .npy header"),
        ({"x.npy": b"\x93NUMPY\x01\x00"}, "no sound .npy header"),
        ({"x.npy": npy_header("{")}, "no sound .npy header"),
        ({"x.npy": npy_header(HEADER.format("<f4", "(2**40,)"))}, "no sound"),
        ({"x.npy": npy_header(HEADER.format("<f4", "(1099511627776,)"))}, "takes"),
        ({"x.npy": npy_header(HEADER.format("<f4", "(-1,)"))}, "bytes for shape"),
        ({"x.npy": npy(np.zeros(4)) + b"\0"}, "33 bytes for shape"),
        ({"x.npy": npy(np.zeros(4))[:-1]}, "31 bytes for shape"),
        ({"x.npy": npy(np.zeros(4, "c8"))}, "dtype complex64"),
        ({"x.npy": npy(np.zeros(4, "M8[s]"))}, "dtype datetime64"),
    ],
)
def test_hostile_members(tmp_path, members, match):
    path = archive(tmp_path / "a.npz", members)
    with pytest.raises(DataError, match=match):
        read_npz(path)


def test_every_truncation_and_damage(tmp_path):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, x_train=np.arange(6.0).reshape(3, 2), y_train=np.ones(3))
    whole = path.read_bytes()
    good = read_npz(path)
    for length in range(0, len(whole), 3):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError):
            read_npz(path)
    for position in range(len(whole)):
        data = bytearray(whole)
        data[position] ^= 0x04
        path.write_bytes(data)
        try:
            read = read_npz(path)
        except DataError:
            continue
        np.testing.assert_array_equal(read.x_train, good.x_train)
        np.testing.assert_array_equal(read.y_train, good.y_train)


def sparse_members(**changes):
    matrix = sparse.csr_array(np.eye(3))
    arrays = {
        "format": np.array(b"csr"),
        "shape": np.array([3, 3]),
        "data": matrix.data,
        "indices": matrix.indices,
        "indptr": matrix.indptr,
    }
    arrays.update(changes)
    return {f"{k}.npy": npy(v) for k, v in arrays.items() if v is not None}


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"format": np.array(b"dia")}, "sparse format is 'dia'"),
        ({"data": None}, "found: format, indices, indptr, shape"),
        ({"shape": np.array([3.0, 3.0])}, "shape of two integers"),
        ({"shape": np.array([3])}, "shape of two integers"),
        ({"shape": np.array([-3, 3])}, "has shape"),
        ({"shape": np.array([3, 2**40])}, "has shape"),
        ({"indices": np.array([0, 1, 3])}, "not a sound csr"),
        ({"indices": np.array([0, 1, -1])}, "not a sound csr"),
        ({"indices": np.array([0.0, 1.0, 2.0])}, "float64, int32 indices"),
        ({"indptr": np.array([0, 2, 1, 3])}, "not a sound csr"),
        ({"indptr": np.array([0, 3])}, "not a sound csr"),
        ({"data": np.array([1.0, np.nan, 1.0])}, "sample 1, feature 1 is nan"),
        ({"data": np.array(["a", "b", "c"])}, "features are <U1|not a sound"),
    ],
)
def test_hostile_sparse(tmp_path, changes, match):
    path = archive(tmp_path / "x.npz", sparse_members(**changes))
    (tmp_path / "y.txt").write_text("1\n2\n1\n")
    with pytest.raises(DataError, match=match):
        load(path, labels=tmp_path / "y.txt")


def test_not_an_archive(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"")
    with pytest.raises(DataError, match="cannot be read"):
        load(tmp_path / "a.npz")
    (tmp_path / "a.npz").write_bytes(b"not a zip" * 100)
    with pytest.raises(DataError, match="cannot be read"):
        load(tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"x_train": np.full((10, 3), np.nan)}, "sample 0, feature 0 is nan"),
        ({"x_test": np.full((4, 3), np.inf)}, "test part: sample 0, feature 0 is inf"),
        ({"x_train": np.full((10, 3), 1e300)}, "range of float32"),
        ({"x_train": np.zeros(10)}, r"features have shape \(10,\)"),
        ({"x_train": np.zeros((10, 0))}, r"x has shape \(10, 0\)"),
        ({"x_train": np.zeros((10, 4))}, "must agree"),
        ({"y_train": np.full(10, 0.5)}, "label of sample 0 is 0.5"),
        ({"y_train": np.full(10, np.nan)}, "label of sample 0 is nan"),
        ({"y_train": np.zeros((10, 2))}, "labels have shape"),
        ({"y_train": np.zeros(9)}, "10 samples have labels of shape"),
        ({"x_train": np.array([["a", "b", "c"]] * 10)}, "features are <U1"),
    ],
)
def test_unusable_content(tmp_path, change, match):
    np.savez(tmp_path / "a.npz", **{**dense(), **change})
    with pytest.raises(DataError, match=match):
        load(tmp_path / "a.npz")
