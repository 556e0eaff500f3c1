"""Candidates for growth: entries outside a pattern and above a threshold."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from kernels.cases import ISAS, REALS, case, running
from numpy.typing import DTypeLike

from sparsenn import _core

everywhere = pytest.mark.parametrize(
    ("isa", "dtype"), [(isa, dtype) for isa in ISAS for dtype in REALS]
)


@everywhere
@given(
    shape=st.tuples(st.integers(1, 9), st.sampled_from((1, 7, 16, 33, 100))),
    width=st.sampled_from((5, 16, 64, 128)),
    index_bytes=st.sampled_from((1, 2, 4)),
    threshold=st.sampled_from((-1.0, 0.0, 1.0, 2.0, 9.0)),
    first=st.integers(0, 3),
    seed=st.integers(0, 2**16),
)
def test_what_is_found(
    isa: str,
    dtype: DTypeLike,
    shape: tuple[int, int],
    width: int,
    index_bytes: int,
    threshold: float,
    first: int,
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.random(shape) < 0.3
    stored = case(mask, width, index_bytes)
    dense = rng.integers(-3, 4, shape).astype(dtype)
    dense[rng.random(shape) < 0.1] = np.nan
    rows = slice(min(first, shape[0] - 1), shape[0])
    with running(isa):
        counts, columns, magnitudes = _core.above_outside(
            stored.layout, rows.start, dense[rows].copy(), threshold
        )
    wanted = (np.abs(dense[rows]) > threshold) & ~mask[rows]
    np.testing.assert_array_equal(counts, wanted.sum(axis=1))
    np.testing.assert_array_equal(columns, np.nonzero(wanted)[1])
    np.testing.assert_array_equal(magnitudes, np.abs(dense[rows])[wanted])


@everywhere
def test_threads_share_the_rows(isa: str, dtype: DTypeLike) -> None:
    rng = np.random.default_rng(1)
    stored = case(rng.random((300, 500)) < 0.1, 128, 1)
    dense = rng.standard_normal((300, 500)).astype(dtype)
    results = []
    for threads in (1, 3):
        with running(isa, threads):
            results.append(_core.above_outside(stored.layout, 0, dense.copy(), 1.5))
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)


def test_bad_arguments() -> None:
    layout = case(np.eye(3, 4, dtype=bool), 4, 1).layout
    with pytest.raises(ValueError, match=r"expected \(n, 4\)"):
        _core.above_outside(layout, 0, np.zeros((3, 3)), 0)
    with pytest.raises(ValueError, match=r"rows 2\.\.3 do not all lie in 0\.\.2"):
        _core.above_outside(layout, 2, np.zeros((2, 4)), 0)
    with pytest.raises(ValueError, match="writeable, contiguous"):
        _core.above_outside(layout, 0, np.zeros((3, 4), order="F"), 0)
    with pytest.raises(TypeError, match="expected float32 or float64"):
        _core.above_outside(layout, 0, np.zeros((3, 4), int), 0)
    i = np.array([0, 1], np.int32)
    assert _core.layout_find(layout, i, i[::-1].copy()).tolist() == [False, False]
    assert _core.layout_find(layout, i, i).tolist() == [True, True]
    for rows, cols in ((i + 2, i), (i - 1, i), (i, i + 3), (i, i - 1)):
        with pytest.raises(ValueError, match=r"must lie in 0\.\."):
            _core.layout_find(layout, rows, cols)
    with pytest.raises(ValueError, match="rows has length 2, cols has 1"):
        _core.layout_find(layout, i, i[:1])
