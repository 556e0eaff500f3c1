"""Data sets, the embedded digits, and finding data by name or path."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from sparsenn.data import DataError, Dataset, load, names, split_indices
from sparsenn.data.labels import encode_labels


def small(**changes):
    arguments = {
        "name": "small",
        "x_train": np.zeros((4, 3), np.float32),
        "y_train": np.array([0, 1, 0, 1]),
        "x_test": np.zeros((2, 3), np.float32),
        "y_test": np.array([0, 1]),
        "n_classes": 2,
    }
    return Dataset(**{**arguments, **changes})


def test_digits():
    data = load("digits")
    assert data.x_train.shape == (3823, 8, 8)
    assert data.x_test.shape == (1797, 8, 8)
    assert data.x_train.dtype == np.uint8
    assert data.y_train.dtype == np.int64
    assert data.shape == (8, 8)
    assert data.n_features == 64
    assert data.n_classes == 10
    assert data.classes == tuple("0123456789")
    assert (data.x_train.min(), data.x_train.max()) == (0, 16)
    # Known counts of the classes, and the first test image's first rows.
    counts = [376, 389, 380, 389, 387, 376, 377, 387, 380, 382]
    assert np.bincount(data.y_train).tolist() == counts
    assert data.x_test[0, :2].tolist() == [
        [0, 0, 5, 13, 9, 1, 0, 0],
        [0, 0, 13, 15, 10, 15, 5, 0],
    ]
    assert data.describe() == (
        "digits: 3823 training and 1797 test samples, 8 x 8 features (uint8), "
        "10 classes"
    )
    assert "digits" in repr(data)


def test_defaults_of_a_dataset():
    data = small().validate()
    assert data.classes == ("0", "1")
    assert not data.is_sparse


@pytest.mark.parametrize("shape", [(1, 12, 12), (3, 12, 12), (4, 8, 6)])
def test_channels_come_last(shape):
    parts = {"x_train": np.zeros((4, *shape)), "x_test": np.zeros((2, *shape))}
    with pytest.raises(DataError, match=r"channels came first.*transpose\(0, 2, 3, 1"):
        small(**parts).validate()
    turned = {name: x.transpose(0, 2, 3, 1) for name, x in parts.items()}
    assert small(**turned).validate().image == shape


@pytest.mark.parametrize("shape", [(3, 12), (3, 12, 4), (5, 12, 12), (12, 12, 3)])
def test_shapes_that_may_be_meant(shape):
    data = small(x_train=np.zeros((4, *shape)), x_test=np.zeros((2, *shape)))
    assert data.validate().shape == shape


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"n_classes": 0}, "n_classes is 0"),
        ({"classes": ("a",)}, "n_classes is 2 and there are 1 class names"),
        (
            {"y_train": np.array([0, 1, 0, 2])},
            "sample 3 has label 2; allowed are 0 to 1",
        ),
        ({"y_test": np.array([0, -1])}, "test part: sample 1 has label -1"),
        ({"y_train": np.array([0, 1, 0])}, "4 samples have labels of shape"),
        ({"y_train": np.array([0.0, 1, 0, 1])}, "labels are float64"),
        ({"x_test": np.zeros((2, 4))}, r"shape \(4,\), a training sample \(3,\)"),
        ({"x_test": np.zeros((0, 3)), "y_test": np.zeros(0, int)}, "at least one"),
        (
            {"x_train": np.full((4, 3), np.nan)},
            "train part: sample 0, feature 0 is nan",
        ),
    ],
)
def test_validate(changes, match):
    with pytest.raises(DataError, match=match):
        small(**changes).validate()


def test_the_place_of_a_bad_value():
    x = np.zeros((3000, 40, 40), np.float32)
    x[2999, 7, 5] = -np.inf
    with pytest.raises(DataError, match="sample 2999, feature 285 is -inf"):
        small(x_train=x, y_train=np.arange(3000) % 2, x_test=x[:2]).validate()


def test_unknown_names():
    with pytest.raises(DataError, match="Did you mean fashion-mnist") as caught:
        load("fasion-mnist")
    for name in (*names(), ".csv", ".npz"):
        assert name in str(caught.value)
    with pytest.raises(DataError, match=r"nope/a\.csv: no such file"):
        load("nope/a.csv")
    with pytest.raises(DataError, match=r"a\.npz: no such file"):
        load("a.npz")
    with pytest.raises(DataError, match="no such file"):
        load("~nobody-of-this-name/a.npz")
    with pytest.raises(DataError, match="cannot be read: File name too long"):
        load("a" * 5000 + ".npz")


def test_a_path_with_the_name_of_a_set(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits").mkdir()
    assert load("digits").n_features == 64
    with pytest.raises(DataError, match="has no train-images"):
        load("./digits")
    (tmp_path / "a.dat").write_text("1,2\n")
    with pytest.raises(DataError, match="of no known kind"):
        load("a.dat")


@pytest.mark.parametrize("option", ["label", "labels"])
def test_options_for_other_formats(option):
    with pytest.raises(DataError, match=f"digits: {option} "):
        load("digits", **{option: "x"})


@pytest.mark.parametrize("fraction", [0, 1, -0.5, 2, float("nan")])
def test_fraction_out_of_range(fraction):
    with pytest.raises(ValueError, match="0 < fraction < 1"):
        split_indices(10, fraction, 0)


def test_split():
    for n, fraction, expected in (
        (10, 0.2, 2),
        (3, 0.01, 1),
        (2, 0.99, 1),
        (7, 0.5, 4),
    ):
        train, test = split_indices(n, fraction, 3)
        assert len(test) == expected
        together = np.concatenate([train, test])
        np.testing.assert_array_equal(np.sort(together), np.arange(n))
        assert (np.diff(train) > 0).all() and (np.diff(test) > 0).all()
    a, b, c = (split_indices(1000, 0.2, seed)[1] for seed in (0, 0, 1))
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)
    with pytest.raises(DataError, match="1 samples"):
        split_indices(1, 0.5, 0)


@pytest.mark.parametrize(
    ("labels", "encoded", "classes"),
    [
        ([3, 1, 3], [1, 0, 1], ("1", "3")),
        ([-1, 1], [0, 1], ("-1", "1")),
        ([2.0, 10.0], [0, 1], ("2", "10")),
        ([True, False], [1, 0], ("0", "1")),
        (["10", "9"], [1, 0], ("9", "10")),
        (["10", "nine"], [0, 1], ("10", "nine")),
        ([b"y", b"x"], [1, 0], ("x", "y")),
        ([[1], [0]], [1, 0], ("0", "1")),
    ],
)
def test_labels(labels, encoded, classes):
    (y,), names = encode_labels([np.array(labels)], "a")
    assert y.tolist() == encoded
    assert y.dtype == np.int64
    assert names == classes


@pytest.mark.parametrize(
    ("labels", "match"),
    [
        (np.array([1, 1.5]), "sample 1 is 1.5"),
        (np.array([1, np.nan]), "sample 1 is nan"),
        (np.array([1, np.inf]), "sample 1 is inf"),
        (np.array(["1", "0.5"]), "sample 1 is 0.5"),
        (np.array([1j]), "labels are complex"),
        (np.array([2**64 - 1], np.uint64), "larger than"),
        (np.zeros((2, 2)), "needed is one label for each"),
    ],
)
def test_unusable_labels(labels, match):
    with pytest.raises(DataError, match=match):
        encode_labels([labels], "a")


def test_reading_digits_needs_numpy_only():
    code = (
        "import sys\nimport sparsenn.data as data\nbefore = set(sys.modules)\n"
        "data.load('digits')\n"
        "for name in ('scipy', 'pooch', 'PIL'): assert name not in sys.modules, name"
    )
    env = {"PYTHONPATH": ":".join(filter(None, sys.path))}
    subprocess.run([sys.executable, "-c", code], check=True, env=env)
