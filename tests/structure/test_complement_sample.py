"""Uniform samples of free positions: what they are, how they are spread, their cost."""

from __future__ import annotations

import hashlib
import itertools
import math

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from scipy import stats
from strategies import Csr, csr_patterns, layouts

from sparsenn import _core
from sparsenn.random import Purpose, Stream
from sparsenn.sparse import SparsePattern


def stream(step: int = 0) -> Stream:
    return Stream(seed=2024, purpose=Purpose.TEST, step=step)


def flat(shape: tuple[int, int], indptr: np.ndarray, indices: np.ndarray) -> np.ndarray:
    return np.repeat(np.arange(shape[0]), np.diff(indptr)) * shape[1] + indices


@given(csr_patterns(), st.floats(0, 1), st.integers(0, 2**32 - 1))
def test_sample_is_canonical_disjoint_and_complete(csr, share, step):
    n_free = csr.mask.size - csr.nnz
    k = round(share * n_free)
    indptr, indices = _core.complement_sample(*csr, k, stream(step))
    _core.csr_check(csr.shape, indptr, indices)
    assert len(indices) == k
    assert not (Csr(csr.shape, indptr, indices).mask & csr.mask).any()


@given(csr_patterns())
def test_all_free_positions(csr):
    k = csr.mask.size - csr.nnz
    sampled = _core.complement_sample(*csr, k, stream())
    np.testing.assert_array_equal(Csr(csr.shape, *sampled).mask, ~csr.mask)
    with pytest.raises(ValueError, match=f"k is {k + 1}, only {k} of"):
        _core.complement_sample(*csr, k + 1, stream())
    with pytest.raises(ValueError, match="k is -1"):
        _core.complement_sample(*csr, -1, stream())


@given(layouts(), st.floats(0, 1), st.sampled_from((None, 0.0, 0.5, 1.0)))
def test_outside_the_kept_slots_of_a_layout(stored, share, kept):
    layout, csr = stored
    keep = None
    if kept is not None:
        keep = np.random.default_rng(layout.nnz).random(layout.nnz) < kept
    taken = np.zeros(csr.shape, np.bool_)
    rows, cols = _core.layout_positions(layout)
    taken[rows, cols] = True if keep is None else keep
    k = round(share * (taken.size - np.count_nonzero(taken)))
    sampled = _core.layout_complement_sample(layout, keep, k, stream())
    expected = _core.complement_sample(*Csr.of(taken), k, stream())
    np.testing.assert_array_equal(sampled[0], expected[0])
    np.testing.assert_array_equal(sampled[1], expected[1])


def test_the_number_of_threads_does_not_show():
    pattern = SparsePattern.random((700, 900), 60_000, seed=3)
    keep = np.random.default_rng(0).random(pattern.nnz) < 0.7
    former, results = _core.get_num_threads(), []
    try:
        for threads in (1, 2, 5):
            _core.set_num_threads(threads)
            results.append(pattern.sample_free(20_000, stream(), keep))
    finally:
        _core.set_num_threads(former)
    for other in results[1:]:
        np.testing.assert_array_equal(results[0][0], other[0])
        np.testing.assert_array_equal(results[0][1], other[1])


def test_only_the_stream_decides():
    csr = Csr.of(np.eye(50, 70, dtype=np.bool_))
    a = _core.complement_sample(*csr, 300, stream(1))
    b = _core.complement_sample(*csr, 300, stream(1))
    c = _core.complement_sample(*csr, 300, stream(2))
    assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))
    assert not np.array_equal(a[1], c[1])


# One example of each way of sampling: the way is named by which k over which rows.
CASES = {
    "rows first, rejection in the row": (2, 40, 2),
    "rows first, rejection of what is taken too": (1, 40, 2),
    "rows first, selection in the row": (5, 6, 3),
    "in order, little stays free": (3, 4, 8),
}


@pytest.mark.parametrize(("n_rows", "n_cols", "k"), CASES.values(), ids=CASES.keys())
def test_all_sets_are_equally_likely(n_rows, n_cols, k):
    mask = np.zeros((n_rows, n_cols), np.bool_)
    mask[0, 1::4] = True  # rows with unequal room
    mask[0, :2] = True
    csr = Csr.of(mask)
    free = np.flatnonzero(~mask).tolist()
    number = {s: i for i, s in enumerate(itertools.combinations(free, k))}
    counts = np.zeros(len(number), np.int64)
    for step in range(max(20_000, 5 * len(number))):
        sampled = _core.complement_sample(*csr, k, stream(step))
        counts[number[tuple(flat(csr.shape, *sampled).tolist())]] += 1
    assert stats.chisquare(counts).pvalue > 1e-3


@pytest.mark.parametrize(("n_cols", "k"), [(4096, 300), (4096, 2500), (70_000, 2000)])
def test_long_rows_are_evenly_filled(n_cols, k):
    # Rows of more than 65,536 columns are sorted by radix.
    mask = np.zeros((1, n_cols), np.bool_)
    mask[0, ::3] = True
    csr = Csr.of(mask)
    counts = np.zeros(n_cols, np.int64)
    n_draws = 200
    for step in range(n_draws):
        _, indices = _core.complement_sample(*csr, k, stream(step))
        counts[indices] += 1
    assert not counts[mask[0]].any()
    free = counts[~mask[0]]
    # Bins of equal width; sampling without replacement shrinks the variance.
    bins = np.add.reduceat(free, np.arange(0, len(free), len(free) // 50))[:50]
    share = (len(free) // 50) / len(free)
    expected = n_draws * k * share
    shrink = (1 - k / len(free)) * len(free) / (len(free) - 1)
    statistic = ((bins - expected) ** 2).sum() / (expected * shrink)
    assert stats.chi2.sf(statistic, 50) > 1e-3
    assert stats.chi2.cdf(statistic, 50) > 1e-3


def test_rows_receive_in_proportion_to_their_room():
    n = 400
    mask = np.arange(n)[None, :] < np.linspace(0, n, 20).astype(int)[:, None]
    csr = Csr.of(mask)
    room = n - np.diff(csr.indptr)
    k = 1000
    counts = sum(
        np.diff(_core.complement_sample(*csr, k, stream(step))[0])
        for step in range(100)
    )
    expected = 100 * k * room / room.sum()
    deviation = np.sqrt(expected * (1 - room / room.sum()) * (1 - k / room.sum()))
    assert counts[room == 0].sum() == 0
    z = (counts - expected)[room > 0] / deviation[room > 0]
    assert np.abs(z).max() < 4


def test_committed_samples():
    """A change here changes every random start and growth for a given seed."""
    csr = Csr.of(np.tri(60, 90, 3, dtype=np.bool_))
    digest = hashlib.sha256()
    for k in (10, 500, 3000):
        for array in _core.complement_sample(*csr, k, stream()):
            digest.update(array.astype("<i4").tobytes())
    assert digest.hexdigest()[:16] == "e49988ea4b3ddcc8"


@pytest.mark.parametrize("shape", [(1, 2**31 - 1), (2**20, 2**31 - 1), (3, 2**31 - 1)])
def test_the_largest_column_counts(shape):
    indptr = np.zeros(shape[0] + 1, np.int32)
    k = 1000
    p, j = _core.complement_sample(shape, indptr, np.zeros(0, np.int32), k, stream())
    _core.csr_check(shape, p, j)
    mean = j.mean(dtype=np.float64) / shape[1]
    assert abs(mean - 0.5) < 5 / math.sqrt(12 * k)
    assert np.unique(j).size > 0.99 * k
