"""Exactly k scores, against a stable sort."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import example, given

from sparsenn import _core

REALS = (np.float32, np.float64)
SPECIAL = (0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, 1e-45, -1e-45, 5e-324, 3e38, -3e38)


def reference(scores, k, largest, rank=None):
    """k first of the scores ordered by (score, rank, index)."""
    rank = np.zeros(len(scores), np.int64) if rank is None else rank
    # -0 and 0 compare equal in lexsort, as they must.
    order = np.lexsort((np.arange(len(scores)), rank, -scores if largest else scores))
    mask = np.zeros(len(scores), np.bool_)
    mask[order[:k]] = True
    return mask


@st.composite
def problems(draw):
    dtype = draw(st.sampled_from(REALS))
    width = 32 if dtype == np.float32 else 64
    number = st.one_of(
        st.sampled_from(SPECIAL),
        st.floats(width=width, allow_nan=False),
        st.integers(-3, 3).map(float),
    )
    scores = np.array(draw(st.lists(number, max_size=60)), dtype)
    return scores, draw(st.integers(0, len(scores))), draw(st.booleans())


@given(problems())
@example((np.zeros(7, np.float32), 3, True))
@example((np.array([0.0, -0.0] * 4), 3, False))
def test_select_by_index(problem):
    scores, k, largest = problem
    mask = _core.select(scores, k, largest)
    assert mask.dtype == np.bool_
    np.testing.assert_array_equal(mask, reference(scores, k, largest))


@given(problems(), st.data())
def test_select_by_rank(problem, data):
    scores, k, largest = problem
    ranks = st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers(0, 3))
    size = len(scores)
    rank = np.array(data.draw(st.lists(ranks, min_size=size, max_size=size)), np.int64)
    mask = _core.select(scores, k, largest, rank)
    np.testing.assert_array_equal(mask, reference(scores, k, largest, rank))
    mask = _core.select(scores, k, largest, lambda: rank)
    np.testing.assert_array_equal(mask, reference(scores, k, largest, rank))


def test_ranks_are_asked_for_only_where_scores_tie():
    scores = np.array([3, 1, 1, 2], np.float32)
    assert _core.select(scores, 2, True, lambda: pytest.fail("asked")).sum() == 2
    assert _core.select(scores, 4, True, lambda: pytest.fail("asked")).sum() == 4
    mask = _core.select(scores, 3, True, lambda: np.array([0, 9, 8, 0]))
    assert mask.tolist() == [True, False, True, True]


@pytest.mark.parametrize("dtype", REALS)
def test_threads_share_the_scores(dtype):
    rng = np.random.default_rng(5)
    scores = rng.integers(-300, 300, 100_001).astype(dtype)
    rank = rng.permutation(len(scores))
    former = _core.get_num_threads()
    try:
        for threads in (1, 2, 3):
            _core.set_num_threads(threads)
            for k in (1, 50_000, 100_000):
                mask = _core.select(scores, k, True, rank)
                expected = reference(scores, k, True, rank)
                np.testing.assert_array_equal(mask, expected)
    finally:
        _core.set_num_threads(former)


@pytest.mark.parametrize("dtype", REALS)
@pytest.mark.parametrize("n_distinct", [1, 3, 1000, 10**6])
def test_many_scores(dtype, n_distinct):
    rng = np.random.default_rng(n_distinct)
    n = 100_000
    scores = (rng.integers(n_distinct, size=n) - n_distinct // 2).astype(dtype)
    scores *= dtype(1.7)
    rank = rng.permutation(n)
    for k in (0, 1, n // 3, n - 1, n):
        mask = _core.select(scores, k, True, rank)
        np.testing.assert_array_equal(mask, reference(scores, k, True, rank))
        mask = _core.select(scores, k, False)
        np.testing.assert_array_equal(mask, reference(scores, k, False))


@pytest.mark.parametrize("dtype", REALS)
@pytest.mark.parametrize("extreme", [-9, 9])
@pytest.mark.parametrize("largest", [False, True])
def test_a_sample_that_misleads(dtype, extreme, largest):
    # Every 64th score is what the sample may see: the bracket misses to either side.
    n = 1 << 17
    scores = np.random.default_rng(5).standard_normal(n).astype(dtype)
    scores[::64] = extreme + np.arange(n // 64) / n
    for k in (n // 2, n // 64 + 1, n - n // 64 - 1):
        mask = _core.select(scores, k, largest)
        np.testing.assert_array_equal(mask, reference(scores, k, largest))


@pytest.mark.parametrize("dtype", REALS)
@pytest.mark.parametrize("k", [0, 7, 5000])
def test_no_nan_escapes(dtype, k):
    scores = np.zeros(5000, dtype)
    scores[4321] = -np.nan
    with pytest.raises(ValueError, match=r"scores\[4321\] is NaN"):
        _core.select(scores, k)


@pytest.mark.parametrize("dtype", REALS)
def test_neighbouring_floats_are_told_apart(dtype):
    scores = [dtype(1.0)]
    for _ in range(20):
        scores.append(np.nextafter(scores[-1], dtype(2)))
    shuffled = np.random.default_rng(0).permutation(np.array(scores))
    for k in range(len(scores)):
        chosen = shuffled[_core.select(shuffled, k)]
        assert sorted(chosen) == scores[len(scores) - k :]


def test_select_refuses():
    scores = np.array([1.0, 2.0, 3.0])
    for k in (-1, 4):
        with pytest.raises(ValueError, match=f"k is {k}, it must lie in 0..3"):
            _core.select(scores, k)
    with pytest.raises(TypeError):
        _core.select(scores, 1.0)
    with pytest.raises(ValueError, match=r"scores\[1\] is NaN"):
        _core.select(np.array([1.0, np.nan], np.float32), 1)
    with pytest.raises(TypeError, match="scores has dtype int64"):
        _core.select(np.arange(3), 1)
    with pytest.raises(ValueError, match="rank has length 2, scores has 3"):
        _core.select(scores, 1, rank=np.arange(2))
    with pytest.raises(TypeError, match="rank has dtype int32"):
        _core.select(scores, 1, rank=np.arange(3, dtype=np.int32))
    assert _core.select(scores[:0], 0).shape == (0,)
