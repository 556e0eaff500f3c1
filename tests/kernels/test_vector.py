"""Products with one sample: rows that begin and end anywhere in a vector."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import example, given
from kernels.cases import (
    ISAS,
    REALS,
    Case,
    assert_near,
    case,
    feature_major,
    running,
    same_bits,
)
from numpy.typing import DTypeLike

from sparsenn import _core

everywhere = pytest.mark.parametrize(
    ("isa", "dtype"), [(isa, dtype) for isa in ISAS for dtype in REALS]
)


def of_counts(counts: list[int], n_cols: int, width: int, seed: int) -> Case:
    """A pattern with so many nonzeros in each row."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((len(counts), n_cols), bool)
    for row, count in enumerate(counts):
        mask[row, rng.permutation(n_cols)[: min(count, n_cols)]] = True
    bytes_ = 1 if width <= 256 else 2 if width <= 65536 else 4
    return case(mask, width, bytes_)


def check(c: Case, isa: str, dtype: DTypeLike, seed: int, relu: int) -> None:
    """Compares all products of one sample with dense ones in float64."""
    rng = np.random.default_rng(seed)
    n_out, n_in = c.layout.shape
    values = rng.standard_normal(c.nnz).astype(dtype)
    x = rng.standard_normal((1, n_in)).astype(dtype)
    dy = rng.standard_normal((1, n_out)).astype(dtype)
    bias = rng.standard_normal(n_out).astype(dtype)
    w = c.dense(values)
    with running(isa):
        y = _core.spmm(c.layout, values, x, bias, relu)
        dx, dw = _core.spmm_backward(c.layout, values, dy, x)
    x64, dy64 = x.astype(np.float64), dy.astype(np.float64)
    exact = x64 @ w.T + bias
    magnitude = np.abs(x64) @ np.abs(w).T + np.abs(bias)
    assert_near(y, np.maximum(exact, 0) if relu else exact, magnitude, n_in + 1)
    assert_near(dx, dy64 @ w, np.abs(dy64) @ np.abs(w), n_out)
    exact = dy64[0, c.rows] * x64[0, c.cols]
    assert_near(dw, exact, np.abs(exact), 1)


counts = st.lists(
    st.one_of(st.integers(0, 4), st.integers(0, 70), st.sampled_from((16, 32, 300))),
    max_size=40,
)


@everywhere
@given(counts=counts, width=st.sampled_from((33, 64, 300)), relu=st.integers(0, 1))
@example(counts=[], width=300, relu=0)
@example(counts=[0, 0, 0], width=300, relu=1)
@example(counts=[300], width=300, relu=0)
@example(counts=[16] * 20, width=300, relu=0)  # rows that end with a vector
@example(counts=[1] * 20 + [300] * 5 + [0] * 20, width=300, relu=0)
@example(counts=[250, 1, 3, 299, 17, 0, 16, 15, 48], width=300, relu=1)
def test_rows_of_any_length(
    isa: str, dtype: DTypeLike, counts: list[int], width: int, relu: int
) -> None:
    c = of_counts(counts, 300, width, seed=len(counts))
    check(c, isa, dtype, sum(counts) % 97, relu)


@everywhere
@pytest.mark.parametrize("n_cols", [1, 70000])
def test_one_column_and_more_than_two_bytes_reach(
    isa: str, dtype: DTypeLike, n_cols: int
) -> None:
    for rows in ([1], [0, 1, 40, 200], [200] * 5):
        c = of_counts(rows, n_cols, n_cols, seed=n_cols)
        assert n_cols == 1 or c.layout.index_bytes == 4
        check(c, isa, dtype, 3, relu=0)


@everywhere
@pytest.mark.parametrize("width", [128, 900])
def test_skewed_rows_have_the_same_bits_on_any_number_of_threads(
    isa: str, dtype: DTypeLike, width: int
) -> None:
    """Cuts by work fall between other rows for every number of threads."""
    long, short = [900] * 700 + [5] * 900, [3] * 500
    for counts in (long, [*short, *long], [*short, 900, *[700] * 1500]):
        c = of_counts(counts, 900, width, seed=1)
        rng = np.random.default_rng(0)
        values = rng.standard_normal(c.nnz).astype(dtype)
        x = rng.standard_normal((1, 900)).astype(dtype)
        dy = rng.standard_normal((1, len(counts))).astype(dtype)
        results = []
        for threads in (1, 2, 3, 7):
            with running(isa, threads):
                y = _core.spmm(c.layout, values, x)
                results.append((y, *_core.spmm_backward(c.layout, values, dy, x)))
        for other in results[1:]:
            assert all(same_bits(a, b) for a, b in zip(results[0], other, strict=True))


@everywhere
@pytest.mark.parametrize("gap", [0, 3])
@pytest.mark.parametrize("n_cols", [40, 900])
def test_two_samples_are_two_times_one(
    isa: str, dtype: DTypeLike, gap: int, n_cols: int
) -> None:
    """Long rows are gone through sample by sample, with the bits of one sample."""
    c = of_counts([n_cols] * 150 + [0, 1, 2], n_cols, n_cols, seed=2)
    rng = np.random.default_rng(0)
    values = rng.standard_normal(c.nnz).astype(dtype)
    bias = rng.standard_normal(c.layout.shape[0]).astype(dtype)
    x = feature_major(rng.standard_normal((2, n_cols)).astype(dtype), gap)
    for threads in (1, 3):
        with running(isa, threads):
            both = _core.spmm(c.layout, values, x, bias, 1)
            each = [_core.spmm(c.layout, values, x[i : i + 1], bias, 1) for i in (0, 1)]
        assert same_bits(np.ascontiguousarray(both), np.concatenate(each))
