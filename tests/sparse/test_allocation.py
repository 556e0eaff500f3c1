"""Exact budgets: known answers and invariants."""

from __future__ import annotations

import math
from fractions import Fraction

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from sparsenn.sparse import allocate, apportion, erdos_renyi_nnz

MLP = [(300, 784), (100, 300), (10, 100)]
# A LeNet: two 3 x 3 convolutions and three fully connected layers.
LENET = [(6, 1, 3, 3), (16, 6, 3, 3), (120, 400), (84, 120), (10, 84)]


@pytest.mark.parametrize(
    ("density", "expected"),
    [
        # ERK's real shares (Evci et al. 2020), rounded by largest remainder.
        (0.2, [38159, 14081, 1000]),
        (0.1, [18714, 6906, 1000]),
        (0.05, [9051, 3340, 919]),
        (0.02, [3621, 1336, 367]),
    ],
)
def test_erk_known_answers(density, expected):
    counts = allocate(MLP, density, "erk")
    assert counts == expected
    assert sum(counts) == round(density * 266_200)


def test_erk_of_convolutions():
    counts = allocate(LENET, 0.1, "erk")
    reals = [54, 0.2272 * 864, 0.07595 * 48000, 0.14188 * 10080, 0.78452 * 840]
    assert sum(counts) == round(0.1 * 59838)
    assert np.abs(np.subtract(counts, reals)).max() < 1.5


@pytest.mark.parametrize(
    ("density", "expected"),
    [
        (0.2, [0.148532, 0.577636, 0.976207]),
        (0.1, [0.064447, 0.350677, 0.941867]),
        (0.05, [0.028807, 0.188669, 0.874628]),
        (0.01, [0.004620, 0.035113, 0.521926]),
    ],
)
def test_ideal_gas_quotas_known_answers(density, expected):
    counts = allocate(MLP, density, "igq")
    assert sum(counts) == round(density * 266_200)
    for count, share, (n_out, n_in) in zip(counts, expected, MLP, strict=True):
        assert abs(count - share * n_out * n_in) < 1 + 1e-6 * n_out * n_in


def test_ideal_gas_quotas_of_convolutions():
    shapes = [(64, 3, 3, 3), (128, 64, 3, 3), (256, 128, 3, 3), (512, 256), (10, 512)]
    expected = [0.90817, 0.18818, 0.05478, 0.11535, 0.76947]
    sizes = [math.prod(shape) for shape in shapes]
    densities = np.divide(allocate(shapes, 0.1, "igq"), sizes)
    assert np.abs(densities - expected).max() < 1e-3
    assert np.abs(densities - expected)[1:4].max() < 1e-5


@given(st.lists(st.integers(1, 400), min_size=1, max_size=6), st.floats(0, 1))
def test_ideal_gas_quotas_fall_with_size(sizes, density):
    counts = allocate([(1, n) for n in sizes], density, "igq")
    for n, a in zip(sizes, counts, strict=True):
        for m, b in zip(sizes, counts, strict=True):
            if n >= m:  # more connections at a lower density, up to rounding
                assert a + 1 >= b
                assert (a - 1) * m <= (b + 1) * n
    reverse = allocate([(1, n) for n in sizes[::-1]], density, "igq")
    assert np.abs(np.subtract(counts, reverse[::-1])).max() <= 1


def test_capacities_limit_layers_that_are_sparse_already():
    most = [20000, 6000, 500]
    assert allocate(MLP, 0.09, "erk", capacities=most) == [17458, 6000, 500]
    assert allocate(MLP, 26500 / 266_200, "igq", capacities=most) == most
    assert allocate(MLP, 0.01, "uniform", [2], most) == [1917, 245, 500]
    with pytest.raises(ValueError, match=r"capacities are \[1, 2\], they must be one"):
        allocate(MLP, 0.1, capacities=[1, 2])
    with pytest.raises(ValueError, match=r"in 0\.\.its positions"):
        allocate([(2, 2)], 0.1, capacities=[5])


def test_er_leaves_kernels_out():
    # With 3 x 3 taps, ER counts 9 layers of 6 + 16 where ERK counts 6 + 16 + 3 + 3.
    shapes = [(16, 6, 3, 3), (40, 40)]
    total = round(0.2 * (864 + 1600))
    assert allocate(shapes, 0.2, "er") == apportion(total, [9 * 22, 80], [864, 1600])
    assert allocate(shapes, 0.2, "erk") == apportion(total, [28, 80], [864, 1600])


def test_uniform():
    assert allocate(MLP, 0.1, "uniform") == [23520, 3000, 100]
    assert allocate([(1, 3)] * 3, 0.5, "uniform") == [2, 1, 1]
    assert allocate([(1, 1), (1, 9)], 0.1, "uniform") == [0, 1]


def test_layers_kept_dense_count():
    assert allocate(MLP, 0.1, "uniform", keep_dense=(2,)) == [22722, 2898, 1000]
    counts = allocate(MLP, 0.1, "erk", keep_dense=[-1])
    assert counts == allocate(MLP, 0.1, "erk")
    assert allocate(MLP, 1000 / 266_200, keep_dense=(2,)) == [0, 0, 1000]
    with pytest.raises(ValueError, match="dense have 1000 connections"):
        allocate(MLP, 0.003, keep_dense=(2,))


def test_allocate_refuses():
    with pytest.raises(ValueError, match=r"density is 1\.5"):
        allocate(MLP, 1.5)
    with pytest.raises(ValueError, match="density is nan"):
        allocate(MLP, math.nan)
    with pytest.raises(ValueError, match="method is 'ERK'"):
        allocate(MLP, 0.1, "ERK")
    with pytest.raises(ValueError, match="keep_dense holds 3, there are 3 layers"):
        allocate(MLP, 0.1, keep_dense=(3,))
    with pytest.raises(ValueError, match=r"shapes\[1\] is \(5,\)"):
        allocate([(3, 4), (5,)], 0.1)
    assert allocate([], 0.5) == []


@given(
    st.lists(
        st.lists(st.integers(1, 40), min_size=2, max_size=2)
        | st.lists(st.integers(1, 9), min_size=4, max_size=4),
        min_size=1,
        max_size=6,
    ),
    st.floats(0, 1),
    st.sampled_from(("erk", "er", "uniform", "igq")),
    st.sets(st.integers(0, 5), max_size=2),
)
def test_the_total_is_exact(shapes, density, method, dense):
    dense = {i for i in dense if i < len(shapes)}
    sizes = [math.prod(shape) for shape in shapes]
    total = round(density * sum(sizes))
    n_dense = sum(sizes[i] for i in dense)
    if n_dense > total:
        with pytest.raises(ValueError, match="kept dense"):
            allocate(shapes, density, method, tuple(dense))
        return
    counts = allocate(shapes, density, method, tuple(dense))
    assert sum(counts) == total
    assert all(type(count) is int for count in counts)
    assert all(0 <= count <= size for count, size in zip(counts, sizes, strict=True))
    assert all(counts[i] == sizes[i] for i in dense)


@pytest.mark.parametrize(
    ("total", "weights", "capacities", "expected"),
    [
        # Sparse momentum's redistribution, case A, with its real-valued capacities.
        (80, (0.25, 0.5, 0.25), (940, 74, 15), [22, 43, 15]),
        # Dynamic sparse reparameterization: 4 over survivors 7, 4, 1.
        (4, (7, 4, 1), (100, 100, 100), [3, 1, 0]),
        (7, (0, 0, 0), (9, 9, 9), [3, 2, 2]),
        (5, (1, 0, 0), (2, 9, 9), [2, 2, 1]),
        (10, (1, 1, 1), (1, 3, 99), [1, 3, 6]),
        (6, (1, 2, 3), (1, 2, 3), [1, 2, 3]),
        (0, (1, 2), (5, 5), [0, 0]),
        (0, (), (), []),
        (1, (1e-300, 1e300), (5, 5), [0, 1]),
        (3, (1, 1), (0, 3), [0, 3]),
    ],
)
def test_apportion_known_answers(total, weights, capacities, expected):
    assert apportion(total, weights, capacities) == expected


def water_level_shares(total, weights, capacities):
    """min(capacity, t * weight) with the exact t that spends the total."""
    shares = [Fraction(w) for w in weights]
    breaks = sorted(
        Fraction(c) / s for s, c in zip(shares, capacities, strict=True) if s
    )
    low = Fraction(0)
    for high in [*breaks, None]:
        # Between two breaks the spent total is linear in the level.
        fixed = sum(
            Fraction(c)
            for s, c in zip(shares, capacities, strict=True)
            if s and Fraction(c) / s <= low
        )
        slope = sum(
            s
            for s, c in zip(shares, capacities, strict=True)
            if s and Fraction(c) / s > low
        )
        level = low if not slope else (total - fixed) / slope
        if high is None or level <= high:
            break
        low = high
    return [
        min(Fraction(c), level * s) for s, c in zip(shares, capacities, strict=True)
    ]


receivers = st.lists(
    st.tuples(st.integers(1, 50) | st.floats(0.01, 50), st.integers(0, 40)),
    min_size=1,
    max_size=8,
)


@given(receivers, st.floats(0, 1))
def test_apportion_is_within_one_of_the_real_shares(pairs, fraction):
    weights, capacities = zip(*pairs, strict=True)
    total = math.floor(fraction * sum(capacities))
    counts = apportion(total, weights, capacities)
    assert sum(counts) == total
    exact = water_level_shares(Fraction(total), weights, capacities)
    for count, capacity, share in zip(counts, capacities, exact, strict=True):
        assert 0 <= count <= capacity
        assert abs(count - share) < 1
    # Largest remainder: nobody was rounded down beyond one who was rounded up.
    up = [share - c for c, share in zip(counts, exact, strict=True) if c > share]
    down = [share - c for c, share in zip(counts, exact, strict=True) if c < share]
    if up and down:
        assert min(up) + 1 >= max(down)


@given(receivers, st.floats(0, 1), st.integers(1, 9))
def test_apportion_depends_on_the_ratio_of_weights_only(pairs, fraction, factor):
    weights, capacities = zip(*pairs, strict=True)
    total = math.floor(fraction * sum(capacities))
    scaled = [Fraction(weight) * factor for weight in weights]
    assert apportion(total, scaled, capacities) == apportion(total, weights, capacities)


def test_apportion_is_exact_where_floats_are_not():
    big = 2**53
    assert apportion(2 * big + 1, [1, 1], [2 * big, 2 * big]) == [big + 1, big]
    weights = np.array([2**62, 2**62], np.int64)
    assert apportion(4, weights, np.array([3, 3])) == [2, 2]
    assert apportion(3, np.array([1, 2], np.float32), [9, 9]) == [1, 2]


def test_apportion_refuses():
    with pytest.raises(ValueError, match=r"total is 5, it must lie in 0\.\.4"):
        apportion(5, [1, 1], [2, 2])
    with pytest.raises(ValueError, match="total is -1"):
        apportion(-1, [1], [2])
    with pytest.raises(ValueError, match=r"weights\[1\] is -1"):
        apportion(1, [1, -1], [2, 2])
    with pytest.raises(ValueError, match=r"weights\[0\] is nan"):
        apportion(1, [math.nan], [2])
    with pytest.raises(ValueError, match=r"weights\[0\] is inf"):
        apportion(1, [math.inf], [2])
    with pytest.raises(ValueError, match=r"capacities\[0\] is -2"):
        apportion(0, [1], [-2])
    with pytest.raises(ValueError, match="weights has length 1, capacities has 2"):
        apportion(0, [1], [2, 2])
    with pytest.raises(TypeError):
        apportion(1.0, [1], [2])


def test_erdos_renyi_nnz():
    assert erdos_renyi_nnz((300, 100), 20) == 8000
    assert erdos_renyi_nnz((10, 10), 11) == 100
    assert erdos_renyi_nnz((300, 100), 0.5) == 200
    assert erdos_renyi_nnz((16, 6, 3, 3), 2) == 2 * 9 * 22
    with pytest.raises(ValueError, match="epsilon is inf"):
        erdos_renyi_nnz((3, 4), math.inf)
