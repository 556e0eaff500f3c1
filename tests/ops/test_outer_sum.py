"""OuterSum against the dense matrix that it stands for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsenn import nn
from sparsenn.ops import OuterSum, largest, outer_sum
from sparsenn.sparse import SparsePattern


@st.composite
def sums(draw: st.DrawFn) -> tuple[list, np.ndarray, SparsePattern]:
    """Integer factors (so that sums are exact), their dense sum, and a pattern."""
    m, n = draw(st.integers(1, 20)), draw(st.integers(1, 20))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    factors = []
    for _ in range(draw(st.integers(1, 3))):
        batch = draw(st.integers(1, 5))
        a = rng.integers(-3, 4, (batch, m)).astype(np.float64)
        factors.append((a, rng.integers(-3, 4, (batch, n)).astype(np.float64)))
    total = sum(a.T @ b for a, b in factors)
    mask = rng.random((m, n)) < draw(st.sampled_from([0.0, 0.3, 0.9, 1.1]))
    return factors, total, SparsePattern.from_mask(mask)


@given(sums())
def test_entries_on_a_pattern(case: tuple) -> None:
    factors, total, pattern = case
    assert np.array_equal(OuterSum(factors).on(pattern), total[pattern.positions()])


@given(sums(), st.floats(0, 1), st.sampled_from([1, 200, 4 << 20]))
def test_largest_outside_equals_the_dense_sort(
    case: tuple, share: float, tile_bytes: int
) -> None:
    factors, total, pattern = case
    m, n = total.shape
    k = int(share * (m * n - pattern.nnz))
    magnitude = np.abs(total)
    magnitude[pattern.positions()] = -1
    order = np.lexsort((np.arange(m * n), -magnitude.ravel()))
    expected = np.sort(order[:k])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(outer_sum, "_TILE_BYTES", tile_bytes)
        indptr, indices = OuterSum(factors).largest_outside(pattern, k)
    rows = np.repeat(np.arange(m), np.diff(indptr))
    assert np.array_equal(rows * n + indices, expected)


def expected_growth(total: np.ndarray, pattern: SparsePattern, k: int) -> np.ndarray:
    magnitude = np.abs(total)
    magnitude[pattern.positions()] = -1
    return np.sort(np.lexsort((np.arange(total.size), -magnitude.ravel()))[:k])


@pytest.mark.parametrize("by_column", [False, True])
@pytest.mark.parametrize("k", [1, 3_000, 30_000, 170_000])
def test_a_sample_sets_the_threshold_and_decides_nothing(
    k: int, by_column: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(3)
    a, b = rng.integers(-9, 10, (2, 8, 450)).astype(np.float32)
    pattern = SparsePattern.random((450, 450), 20_000, seed=0)
    if by_column:
        pattern = pattern.stored_by_column()
    expected = expected_growth(a.T @ b, pattern, k)
    monkeypatch.setattr(largest, "_FEW", 1000)
    for admitted in (None, 1e9, -1.0):  # its own, too high, none
        if admitted is not None:
            monkeypatch.setattr(OuterSum, "_admit", lambda *_, t=admitted: t)
        indptr, indices = OuterSum([(a, b)]).largest_outside(pattern, k)
        rows = np.repeat(np.arange(450), np.diff(indptr))
        assert np.array_equal(rows * 450 + indices, expected)


def test_nan_does_not_grow() -> None:
    a, b = np.ones((1, 40), np.float32), np.ones((1, 50), np.float32)
    a[0, 3] = np.nan
    pattern = SparsePattern.random((40, 50), 100, seed=0)
    indptr, _ = OuterSum([(a, b)]).largest_outside(pattern, 1000)
    assert indptr[3] == indptr[4]
    with pytest.raises(ValueError, match="NaN where connections could grow"):
        OuterSum([(a, b)]).largest_outside(pattern, 1900)


@given(sums())
def test_addition_and_scaling(case: tuple) -> None:
    factors, total, _ = case
    doubled = OuterSum(factors) + OuterSum(factors).scaled(2.0)
    dense = np.concatenate([tile for _, tile in doubled.tiles()])
    assert np.array_equal(dense, 3 * total)


@pytest.mark.parametrize("density", [0.3, 1.0])
def test_a_parameter_collects_its_factors(density: float) -> None:
    layer = nn.Linear(6, 5, density, seed=0, dtype=np.float64)
    layer.weight.factors = []
    x = np.random.default_rng(0).standard_normal((4, 6))
    for _ in range(2):
        (layer(x) ** 2).sum().backward()
    gradient = OuterSum(layer.weight.factors)
    assert len(gradient.factors) == 2
    np.testing.assert_allclose(
        gradient.on(layer.weight.pattern), layer.weight.grad.data, rtol=1e-12
    )


@pytest.mark.parametrize(
    ("factors", "message"),
    [
        ([], "at least one pair"),
        ([(np.zeros((2, 3)), np.zeros((3, 4)))], "one batch"),
        (
            [
                (np.zeros((2, 3)), np.zeros((2, 4))),
                (np.zeros((2, 3)), np.zeros((2, 5))),
            ],
            "all factors",
        ),
    ],
)
def test_bad_factors_are_refused(factors: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        OuterSum(factors)


def test_too_many_positions_are_refused() -> None:
    total = OuterSum([(np.ones((2, 3)), np.ones((2, 4)))])
    with pytest.raises(ValueError, match=r"k must be in \[0, 12\]"):
        total.largest_outside(SparsePattern.empty((3, 4)), 13)
    with pytest.raises(ValueError, match="shape"):
        total.on(SparsePattern.empty((4, 3)))
