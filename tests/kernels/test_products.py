"""Products of every instruction set against dense float64, within the error bound."""

from __future__ import annotations

from typing import NamedTuple

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import example, given
from kernels.cases import (
    BATCHES,
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

IDENTITY, RELU = 0, 1


class Problem(NamedTuple):
    """A pattern and a batch; `gap` elements lie between features."""

    case: Case
    batch: int
    seed: int
    gap: int

    def arrays(self, dtype: DTypeLike) -> tuple[np.ndarray, ...]:
        """values, x, dy, bias; some values are stored zeros."""
        rng = np.random.default_rng(self.seed)
        n_out, n_in = self.case.layout.shape
        values = rng.standard_normal(self.case.nnz).astype(dtype)
        values[rng.random(self.case.nnz) < 0.1] = 0
        x = rng.standard_normal((self.batch, n_in)).astype(dtype)
        dy = rng.standard_normal((self.batch, n_out)).astype(dtype)
        bias = rng.standard_normal(n_out).astype(dtype)
        return (
            values,
            feature_major(x, self.gap),
            feature_major(dy, 2 * self.gap),
            bias,
        )


def problem(
    shape: tuple[int, int],
    density: float,
    width: int,
    index_bytes: int,
    batch: int,
    seed: int = 0,
    gap: int = 0,
) -> Problem:
    rng = np.random.default_rng(seed)
    mask = rng.random(shape) < density
    if mask.size and seed % 3 == 1:  # an empty row and a full column
        mask[:, rng.integers(shape[1])] = True
        mask[rng.integers(shape[0])] = False
    return Problem(case(mask, width, index_bytes), batch, seed, gap)


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    size = st.sampled_from((0, 1, 2, 5, 16, 17, 33, 64, 130))
    width = draw(st.sampled_from((1, 3, 8, 32, 64, 200)))
    return problem(
        (draw(size), draw(size)),
        draw(st.sampled_from((0.0, 0.02, 0.1, 0.4, 1.0))),
        width,
        draw(st.sampled_from((1, 2, 4))),
        draw(st.sampled_from(BATCHES)),
        draw(st.integers(0, 2**16)),
        draw(st.sampled_from((0, 1, 3))),
    )


everywhere = pytest.mark.parametrize(
    ("isa", "dtype"), [(isa, dtype) for isa in ISAS for dtype in REALS]
)
wide = problem((70, 300), 0.2, 128, 1, 257)
tall = problem((2100, 12), 0.6, 5, 1, 130)  # several chunks of rows
one_column = problem((40, 1), 1.0, 128, 1, 33)


@everywhere
@given(p=problems(), activation=st.sampled_from((IDENTITY, RELU)), bias=st.booleans())
@example(p=wide, activation=RELU, bias=True)
@example(p=one_column, activation=IDENTITY, bias=False)
@example(p=tall, activation=IDENTITY, bias=True)
def test_spmm(
    isa: str, dtype: DTypeLike, p: Problem, activation: int, bias: bool
) -> None:
    values, x, _, b = p.arrays(dtype)
    w = p.case.dense(values)
    with running(isa):
        y = _core.spmm(p.case.layout, values, x, b if bias else None, activation)
    exact = x.astype(np.float64) @ w.T + bias * b.astype(np.float64)
    magnitude = np.abs(x).astype(np.float64) @ np.abs(w).T + bias * np.abs(b)
    if activation == RELU:
        exact = np.maximum(exact, 0)
    assert_near(y, exact, magnitude, w.shape[1] + 1)
    assert y.dtype == dtype and (y.T.flags.c_contiguous or y.size == 0)


@everywhere
@given(p=problems())
@example(p=wide)
@example(p=tall)
@example(p=one_column)
def test_backward(isa: str, dtype: DTypeLike, p: Problem) -> None:
    values, x, dy, _ = p.arrays(dtype)
    w = p.case.dense(values)
    rows, cols = p.case.rows, p.case.cols
    with running(isa):
        dx = _core.spmm_t(p.case.layout, values, dy)
        dw = _core.sddmm(p.case.layout, dy, x)
        both = _core.spmm_backward(p.case.layout, values, dy, x)
    x, dy = x.astype(np.float64), dy.astype(np.float64)
    assert_near(dx, dy @ w, np.abs(dy) @ np.abs(w), w.shape[0])
    exact, magnitude = dy.T @ x, np.abs(dy).T @ np.abs(x)
    assert_near(dw, exact[rows, cols], magnitude[rows, cols], p.batch)
    assert same_bits(dx, both[0]) and same_bits(dw, both[1])


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", REALS)
@pytest.mark.parametrize("batch", [1, 5, 16, 64, 129])
def test_bits_do_not_depend_on_threads(isa: str, dtype: DTypeLike, batch: int) -> None:
    """Enough work for every region to be parallel, in many and in few blocks."""
    for width in (40, 700):
        p = problem((600, 700), 0.3, width, 2, batch, seed=width)
        values, x, dy, b = p.arrays(dtype)
        results = []
        for threads in (1, 2, 3, 5):
            with running(isa, threads):
                results.append(
                    [
                        _core.spmm(p.case.layout, values, x, b, RELU),
                        _core.spmm_t(p.case.layout, values, dy),
                        _core.sddmm(p.case.layout, dy, x),
                        *_core.spmm_backward(p.case.layout, values, dy, x),
                        *_core.activation_backward(RELU, dy, dy),
                    ]
                )
        for other in results[1:]:
            for a, b in zip(results[0], other, strict=True):
                assert same_bits(a, b)


@everywhere
@pytest.mark.parametrize("batch", [1, 3, 40])
def test_bits_do_not_depend_on_memory(isa: str, dtype: DTypeLike, batch: int) -> None:
    """Gaps between features and unaligned arrays take other paths to the same bits."""
    p = problem((50, 90), 0.3, 32, 1, batch)
    values, x, dy, b = p.arrays(dtype)
    results = []
    for gap in (0, 1, 16):
        xg, dyg = feature_major(x, gap), feature_major(dy, gap)
        with running(isa):
            results.append(
                [
                    _core.spmm(p.case.layout, values, xg, b),
                    *_core.spmm_backward(p.case.layout, values, dyg, xg),
                ]
            )
    for other in results[1:]:
        assert all(same_bits(a, b) for a, b in zip(results[0], other, strict=True))


@everywhere
@pytest.mark.parametrize("batch", [1, 9, 64])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_non_finite_reach_exactly_what_uses_them(
    isa: str, dtype: DTypeLike, batch: int, bad: float
) -> None:
    """A NaN or infinity of one sample spoils that sample of what reads it, no more."""
    p = problem((20, 30), 0.4, 16, 1, batch)
    values, x, dy, b = p.arrays(dtype)
    values[values == 0] = 1
    x[-1, 7] = bad
    dy[0, 3] = bad
    uses_x, uses_dy = p.case.cols == 7, p.case.rows == 3
    with running(isa):
        y = _core.spmm(p.case.layout, values, x, b)
        relu = _core.spmm(p.case.layout, values, x, b, RELU)
        dx, dw = _core.spmm_backward(p.case.layout, values, dy, x)
    expected = np.zeros(y.shape, bool)
    expected[-1, p.case.rows[uses_x]] = True
    assert np.array_equal(~np.isfinite(y), expected)
    assert np.array_equal(np.isnan(relu), np.isnan(y))
    expected = np.zeros(dx.shape, bool)
    expected[0, p.case.cols[uses_dy]] = True
    assert np.array_equal(~np.isfinite(dx), expected)
    assert np.array_equal(~np.isfinite(dw), uses_x | uses_dy)


@everywhere
def test_stored_zeros_are_connections(isa: str, dtype: DTypeLike) -> None:
    """0 * inf is NaN, as IEEE arithmetic on the stored connection has it."""
    p = problem((3, 4), 1.0, 4, 1, 5)
    x = feature_major(np.full((5, 4), np.inf, dtype))
    with running(isa):
        y = _core.spmm(p.case.layout, np.zeros(12, dtype), x)
    assert np.isnan(y).all()
