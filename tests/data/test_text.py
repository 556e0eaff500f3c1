"""Texts by character, their parts, and windows of them."""

from __future__ import annotations

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
