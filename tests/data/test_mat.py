"""MATLAB files."""

from __future__ import annotations

import numpy as np
import pytest

from sparsenn.data import DataError, load, read_mat

scipy_io = pytest.importorskip("scipy.io")
sparse = pytest.importorskip("scipy.sparse")


def write(tmp_path, **arrays):
    scipy_io.savemat(tmp_path / "a.mat", arrays)
    return tmp_path / "a.mat"


def test_dense(tmp_path):
    x = np.arange(40, dtype=np.int16).reshape(10, 4)
    y = np.where(np.arange(10) % 2, 1, -1).astype(np.int16)
    for labels in (y[:, None], y[None, :]):
        data = load(write(tmp_path, X=x, Y=labels), seed=1)
        assert data.x_train.dtype == np.int16
        assert data.x_train.shape == (8, 4)
        assert data.classes == ("-1", "1")
        rows = data.x_train[:, 0] // 4
        np.testing.assert_array_equal(data.y_train, rows % 2)
        assert data.x_train.flags.c_contiguous


def test_sparse(tmp_path):
    x = sparse.csc_array(np.diag(np.arange(1.0, 11.0)))
    data = load(write(tmp_path, X=x, Y=np.arange(10)[:, None] % 2))
    assert data.is_sparse
    assert data.x_train.format == "csr"
    assert data.x_train.sum() + data.x_test.sum() == 55


@pytest.mark.parametrize(
    ("arrays", "match"),
    [
        ({"X": np.zeros((3, 2))}, "has no Y"),
        ({"Z": np.zeros((3, 2))}, "has no X and no Y"),
        ({"X": np.zeros((3, 2)), "Y": np.zeros((3, 2))}, "labels have shape"),
        ({"X": np.zeros((3, 2)), "Y": np.zeros((4, 1))}, "3 samples and 4 labels"),
        ({"X": np.full((3, 2), np.nan), "Y": np.zeros((3, 1))}, "is nan"),
        ({"X": np.array([["a"]], object), "Y": np.zeros((1, 1))}, "X is text, a cell"),
        ({"X": {"a": 1}, "Y": np.zeros((1, 1))}, "X is text, a cell"),
        ({"X": np.ones((3, 2)) * 1j, "Y": np.zeros((3, 1))}, "X is complex"),
    ],
)
def test_unusable(tmp_path, arrays, match):
    with pytest.raises(DataError, match=match):
        load(write(tmp_path, **arrays))


def test_other_versions(tmp_path):
    path = write(tmp_path, X=np.zeros((3, 2)), Y=np.zeros((3, 1)))
    content = path.read_bytes()
    path.write_bytes(b"MATLAB 7.3" + content[10:])
    with pytest.raises(DataError, match="save it with -v7"):
        load(path)
    scipy_io.savemat(path, {"X": np.zeros((3, 2))}, format="4")
    with pytest.raises(DataError, match="no header of MATLAB 5"):
        load(path)


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize(
    "dtype", [kind + n for kind in "iu" for n in "1248"] + ["f4", "f8"]
)
def test_agrees_with_scipy(tmp_path, dtype, compress):
    rng = np.random.default_rng(0)
    arrays = {
        "A": np.zeros((2, 2)),
        "cell": np.array([["a", 1]], object),
        "text": "words",
        "X": rng.integers(0, 100, (7, 3, 2)).astype(dtype),
        "Y": np.arange(7.0)[:, None],
        "S": {"a": 1},
    }
    scipy_io.savemat(tmp_path / "a.mat", arrays, do_compression=compress)
    expected = scipy_io.loadmat(tmp_path / "a.mat")
    parts = read_mat(tmp_path / "a.mat")
    assert parts.x_train.dtype == expected["X"].dtype
    np.testing.assert_array_equal(parts.x_train, expected["X"])
    np.testing.assert_array_equal(parts.y_train, expected["Y"])
    arrays["X"] = sparse.random_array((7, 9), density=0.3, rng=rng, format="csc")
    scipy_io.savemat(tmp_path / "a.mat", arrays, do_compression=compress)
    parts = read_mat(tmp_path / "a.mat")
    np.testing.assert_array_equal(parts.x_train.toarray(), arrays["X"].toarray())


@pytest.mark.parametrize("kind", ["dense", "sparse"])
@pytest.mark.parametrize("compress", [False, True])
def test_damage_gives_one_kind_of_error(tmp_path, kind, compress):
    x = np.arange(12.0).reshape(6, 2)
    if kind == "sparse":
        x = sparse.csc_array(x)
    path = tmp_path / "a.mat"
    arrays = {"X": x, "Y": np.arange(6)[:, None] % 2}
    scipy_io.savemat(path, arrays, do_compression=compress)
    whole = path.read_bytes()
    for length in range(0, len(whole) - 8, 7):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError):
            load(path)
    rng = np.random.default_rng(0)
    for _ in range(300):
        data = bytearray(whole)
        data[int(rng.integers(len(data)))] = int(rng.integers(256))
        path.write_bytes(data)
        try:
            load(path)
        except DataError as error:
            assert str(path) in str(error) or "split" in str(error)
