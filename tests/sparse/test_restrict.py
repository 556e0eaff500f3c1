"""Patterns with fewer rows and columns, against dense matrices."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import generators, patterns

from sparsenn.sparse import SparsePattern, restrict


@given(pattern=patterns(), rng=generators(), share=st.sampled_from([0.0, 0.5, 1.0]))
def test_positions_and_sources(
    pattern: SparsePattern, rng: np.random.Generator, share: float
) -> None:
    n_rows, n_cols = pattern.shape
    rows, columns = rng.random(n_rows) < share, rng.random(n_cols) < share
    new, source = restrict(pattern, rows, columns)
    values = np.arange(1, pattern.nnz + 1)
    dense = pattern.to_scipy(values).toarray()[rows][:, columns]
    assert new.shape == dense.shape
    assert np.array_equal(new.to_mask(), dense != 0)
    assert np.array_equal(dense[new.positions()], values[source])
    if pattern.by_column and not new.is_full and new.shape[0]:
        assert new.by_column


def test_masks_of_another_shape_are_refused() -> None:
    pattern = SparsePattern.full((2, 3))
    with pytest.raises(ValueError, match=r"columns has \(2,\); the pattern is 2 x 3"):
        restrict(pattern, np.ones(2, bool), np.ones(2, bool))
