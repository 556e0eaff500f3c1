"""Largest and smallest scores of a pattern's connections."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from strategies import generators, patterns

from sparsenn.sparse import SparsePattern, largest, smallest


@given(patterns(), generators(), st.sampled_from((np.float32, np.float64)))
def test_ties_go_to_the_lower_position(pattern, rng, dtype):
    scores = rng.integers(-2, 2, pattern.nnz).astype(dtype)
    k = int(rng.integers(pattern.nnz + 1))
    for choose, sign in ((largest, -1), (smallest, 1)):
        mask = choose(pattern, scores, k)
        order = np.lexsort((pattern.ranks(), sign * scores))
        np.testing.assert_array_equal(np.flatnonzero(mask), np.sort(order[:k]))


def test_ties_across_blocks():
    pattern = SparsePattern.random((30, 600), 30 * 300, seed=0)
    assert pattern.layout.n_blocks > 1
    mask = largest(pattern, np.zeros(pattern.nnz, np.float32), 450)
    np.testing.assert_array_equal(pattern.to_canonical(mask), np.arange(9000) < 450)


def test_scores_must_be_aligned():
    pattern = SparsePattern.random((5, 6), 7, seed=0)
    with pytest.raises(ValueError, match=r"shape \(6,\), the pattern has nnz=7"):
        largest(pattern, np.zeros(6), 1)
    with pytest.raises(ValueError, match=r"k is 8, it must lie in 0\.\.7"):
        smallest(pattern, np.zeros(7), 8)
    strided = np.arange(14.0)[::2]
    assert largest(pattern, strided, 1).argmax() == 6
