"""Texts by character, their parts, and windows of them."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsenn import data
from sparsenn.random import Purpose, Stream


def stream(step: int = 0) -> Stream:
    return Stream(0, Purpose.TEST, step=step)


@given(st.text(min_size=1, max_size=60), st.floats(0, 0.4), st.floats(0, 0.4))
def test_parts_follow_one_another(tmp_path_factory, text: str, val, test) -> None:
    path = tmp_path_factory.mktemp("text") / "a.txt"
    path.write_bytes(text.encode("utf-8", "ignore"))
    text = path.read_bytes().decode()
    if not text:
        return
    got = data.load_text(path, val_fraction=val, test_fraction=test)
    assert got.vocabulary == tuple(sorted(set(text)))
    tokens = np.concatenate([got.train, got.val, got.test])
    assert got.decode(tokens) == text
    assert np.array_equal(got.encode(text), tokens)
    assert len(got.test) == round(len(text) * test)


def test_windows_are_followed_by_their_targets() -> None:
    tokens = np.arange(50)
    x, y = data.windows(tokens, 8, 1000, stream())
    assert x.shape == y.shape == (1000, 8)
    assert np.array_equal(y, x + 1)
    assert np.array_equal(x, x[:, :1] + np.arange(8))
    assert set(x[:, 0]) == set(range(42))  # the last has targets too
    again, _ = data.windows(tokens, 8, 1000, stream())
    other, _ = data.windows(tokens, 8, 1000, stream(1))
    assert np.array_equal(again, x) and not np.array_equal(other, x)


@given(st.integers(2, 40), st.integers(1, 39), st.integers(1, 5))
def test_blocks_predict_each_token_once(length: int, context: int, n: int) -> None:
    if context >= length:
        with pytest.raises(ValueError, match="context"):
            next(data.blocks(np.arange(length), context, n))
        return
    targets = np.concatenate([y for _, y in data.blocks(np.arange(length), context, n)])
    count = (length - 1) // context
    assert np.array_equal(targets.reshape(-1), np.arange(1, count * context + 1))


def test_bad_input_is_explained(tmp_path: Path) -> None:
    with pytest.raises(data.DataError, match="nowhere"):
        data.load_text(tmp_path / "nowhere.txt")
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(data.DataError, match="UTF-8"):
        data.load_text(tmp_path / "a.txt")
    (tmp_path / "b.txt").write_bytes(b"")
    with pytest.raises(data.DataError, match="empty"):
        data.load_text(tmp_path / "b.txt")
    (tmp_path / "c.txt").write_text("abc")
    with pytest.raises(ValueError, match="fraction"):
        data.load_text(tmp_path / "c.txt", val_fraction=0.6, test_fraction=0.4)
    with pytest.raises(ValueError, match="no character 'x'"):
        data.load_text(tmp_path / "c.txt").encode("ax")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPARSENN_DATA", str(tmp_path))
        with pytest.raises(data.DataError, match="DATA"):
            data.load_text("tinyshakespeare")


def test_a_dataset_of_windows(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("hello world " * 20)
    found = data.load(path, context=7)
    assert found.is_text and found.kind == "text" and found.image is None
    assert found.x_train.shape == found.y_train.shape == (27, 7)
    assert found.x_test.shape == (6, 7)  # of the last 48 characters
    assert np.array_equal(found.x_train.values[:, 1:], found.y_train[:, :-1])
    assert found.classes == tuple(" dehlorw") and "27 training" in found.describe()
    with gzip.open(tmp_path / "b.txt.gz", "wt") as file:
        file.write("hello world " * 20)
    packed = data.load(tmp_path / "b.txt.gz", context=7)
    assert np.array_equal(packed.y_train, found.y_train)
    # In the order of a model's vocabulary.
    other = data.load(path, context=7, classes=list("wrolhed xyz"))
    assert other.n_classes == 11
    known = np.array([*"wrolhed xyz"])
    assert "".join(known[other.x_train.values[0]]) == "hello w"
    with pytest.raises(data.DataError, match="has the character 'd'"):
        data.load(path, context=7, classes=list("wrolhe "))
    with pytest.raises(data.DataError, match=r"1\.\.47: the test part has 48"):
        data.load(path, context=100)


def test_only_tokens_are_a_text() -> None:
    numbers = np.arange(12).reshape(3, 4)
    made = data.Dataset(
        "made", data.Tokens(numbers), numbers, data.Tokens(numbers), numbers, 12
    )
    assert made.validate().is_text
    with pytest.raises(data.DataError, match="one label for each sample"):
        data.Dataset("made", numbers, numbers, numbers, numbers, 12).validate()
    with pytest.raises(data.DataError, match="one label for each token"):
        labels = numbers[:, 0]
        data.Dataset(
            "made", data.Tokens(numbers), labels, data.Tokens(numbers), labels, 12
        ).validate()
    with pytest.raises(
        data.DataError, match="tokens from 0 to 12; allowed are 0 to 11"
    ):
        wrong = data.Tokens(np.where(numbers == 11, 12, numbers))
        data.Dataset("made", wrong, numbers, wrong, numbers, 12).validate()
    for values in (np.ones((2, 3)), np.arange(3)):
        with pytest.raises(ValueError, match="tokens are integers"):
            data.Tokens(values)
    with pytest.raises(ValueError, match="are not scaled"):
        scaling = data.Scaling.fit(np.ones((2, 4)), "none")
        data.batches(data.Tokens(numbers), numbers, 2, shuffle=False, scaling=scaling)
