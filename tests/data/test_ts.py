"""Sequences: the text format, scaling by feature, batches with their lengths."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import numpy as np
import pytest

from sparsenn import data
from sparsenn.data import DataError, Dataset, Scaling, Sequences

TEXT = """\
# A comment.
@problemName Two
@timeStamps false
@data
1,2,3:10,20,30:b

4,5:40,50:a
6:-1.5e1:b
"""


def written(folder: Path, text: str, name: str = "a.ts") -> str:
    path = folder / name
    path.write_bytes(gzip.compress(text.encode()) if name[-1] == "z" else text.encode())
    return str(path)


@pytest.mark.parametrize("name", ["a.ts", "a.ts.gz"])
def test_sequences_of_different_lengths(tmp_path: Path, name: str) -> None:
    parts = data.read_ts(written(tmp_path, TEXT, name))
    x = parts.x_train
    assert x.shape == (3, 3, 2)
    assert x.dtype == np.float32
    assert x.lengths.tolist() == [3, 2, 1]
    assert x.values[1].tolist() == [[4, 40], [5, 50], [0, 0]]
    assert parts.y_train.tolist() == ["b", "a", "b"]
    loaded = data.load(written(tmp_path, TEXT, name))
    assert loaded.is_sequence
    assert loaded.n_features == 2
    assert loaded.classes == ("a", "b")
    assert "steps of 2 features" in loaded.describe()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1,2:3:a", "line 5: has features of 2, 1 steps"),
        ("1,?:3,4:a", "line 5: .*none missing"),
        ("1,2:a", "line 6: has 2 features, the first sequence 1"),
        ("a", "line 5: has features of no steps"),
    ],
)
def test_unsound_lines(tmp_path: Path, line: str, message: str) -> None:
    text = TEXT.replace("1,2,3:10,20,30:b\n", line)
    with pytest.raises(DataError, match=message):
        data.read_ts(written(tmp_path, text))


def test_other_kinds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no sequences"):
        data.read_ts(written(tmp_path, "@problemName a\n"))
    with pytest.raises(DataError, match="line 3: steps have time stamps"):
        data.read_ts(written(tmp_path, TEXT.replace("false", "true")))


def test_some_of_the_sequences_are_no_longer_than_their_longest() -> None:
    x = Sequences(np.arange(24.0).reshape(3, 4, 2), [2, 4, 1])
    some = x[np.array([2, 0])]
    assert some.shape == (2, 2, 2)
    assert some.lengths.tolist() == [1, 2]
    np.testing.assert_array_equal(some.values[1], x.values[0, :2])
    assert x.tokens == x.inside.sum() == 7
    with pytest.raises(ValueError, match="a length must be from 1 to 4"):
        Sequences(x.values, [0, 1, 1])
    with pytest.raises(ValueError, match=r"\(samples, time, features\)"):
        Sequences(np.zeros((3, 4)))


@pytest.mark.parametrize("kind", ["unit", "standard", "none"])
def test_a_feature_has_one_scale_of_what_is_before_the_ends(kind: str) -> None:
    rng = np.random.default_rng(0)
    x = Sequences(rng.standard_normal((5, 6, 3)) * [1, 10, 100], [6, 1, 3, 2, 6])
    tokens = x.values[x.inside]
    x.values[~x.inside] = 1e9
    scaling = Scaling.fit(x, kind)
    twin = Scaling.fit(tokens, kind)
    assert scaling.to_dict() == twin.to_dict()
    scaled = scaling.apply(x, np.float64)
    expected = twin.apply(tokens, np.float64)
    np.testing.assert_array_equal(scaled.values[x.inside], expected)
    assert scaling.rms(x) == twin.rms(tokens)
    with pytest.raises(ValueError, match="fitted on 3"):
        scaling.apply(Sequences(np.zeros((2, 2, 4))))


def test_batches_bring_the_lengths() -> None:
    x = Sequences(np.arange(40.0).reshape(5, 4, 2), [4, 1, 2, 3, 2])
    y = np.arange(5)
    seen = list(data.batches(x, y, 2, shuffle=False))
    assert [b.shape for b, _ in seen] == [(2, 4, 2), (2, 3, 2), (1, 2, 2)]
    assert np.concatenate([b.lengths for b, _ in seen]).tolist() == x.lengths.tolist()


def test_padding_is_zero_and_values_before_the_ends_are_checked() -> None:
    values = np.full((2, 3, 1), np.nan)
    values[0], values[1, :1] = 1, 2
    y = np.array([0, 1])
    parts = data.parts.Parts(Sequences(values, [3, 1]), y, Sequences(values, [3, 1]), y)
    made = data.parts.assemble("a", parts)
    assert made.x_train.values[1].tolist() == [[2], [0], [0]]
    values[0, 1] = np.inf
    with pytest.raises(DataError, match="train part: sample 0, feature 1 is inf"):
        data.parts.assemble("a", parts)


def test_parts_may_differ_in_their_longest_sequence() -> None:
    x, y = Sequences(np.ones((2, 4, 3))), np.array([0, 1])
    longer = Sequences(np.ones((2, 7, 3)))
    assert Dataset("a", x, y, longer, y, 2).validate().n_features == 3
    with pytest.raises(DataError, match="they must agree"):
        Dataset("a", x, y, Sequences(np.ones((2, 4, 2))), y, 2).validate()


def test_japanese_vowels() -> None:
    root = os.environ.get("SPARSENN_DATA")
    if not root or not (Path(root) / "sequence" / "JapaneseVowels").is_dir():
        pytest.skip("SPARSENN_DATA has no sequence/JapaneseVowels")
    loaded = data.load("japanese-vowels")
    assert loaded.x_train.shape == (270, 26, 12)
    assert loaded.x_test.shape == (370, 29, 12)
    assert np.bincount(loaded.y_train).tolist() == [30] * 9
    assert loaded.x_test.lengths.min() == 7
    first = [1.860936, -0.207383, 0.261557]
    np.testing.assert_allclose(loaded.x_train.values[0, 0, :3], first, rtol=1e-6)
