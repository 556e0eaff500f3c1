"""Batch norms of every instruction set against float64."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import example, given
from kernels.cases import ISAS, REALS, feature_major, running, same_bits
from numpy.typing import DTypeLike

from sparsenn import _core


@pytest.mark.parametrize(
    ("isa", "dtype"), [(isa, dtype) for isa in ISAS for dtype in REALS]
)
@given(
    n=st.sampled_from((1, 2, 7, 15, 16, 17, 63, 64, 65, 1023, 4095, 4097)),
    channels=st.integers(0, 4),
    shift=st.sampled_from((0.0, 30.0)),
    seed=st.integers(0, 2**16),
)
@example(n=20_001, channels=2, shift=100.0, seed=0)
def test_both_passes(
    isa: str, dtype: DTypeLike, n: int, channels: int, shift: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    x, dy = rng.standard_normal((2, n, channels))
    x, dy = (x + shift).astype(dtype), dy.astype(dtype)
    weight, bias = rng.standard_normal((2, channels)).astype(dtype)
    eps = 0.125
    with running(isa):
        a, g = feature_major(x), feature_major(dy)
        y, mean, var = _core.batch_norm(a, weight, bias, eps)
        dx, dweight, dbias = _core.batch_norm_backward(
            a, weight, mean, var, g, eps, True
        )
        nothing, *same = _core.batch_norm_backward(a, weight, mean, var, g, eps, False)
    assert nothing is None
    assert same_bits(same[0], dweight) and same_bits(same[1], dbias)
    x, dy, weight, bias = (v.astype(np.float64) for v in (x, dy, weight, bias))
    # A run's sum: 64 additions, then a tree; runs are added in double. A rounding each
    # for the difference and the product.
    u = np.finfo(dtype).eps
    centred = x - x.mean(0)
    mean_bound = 80 * u * np.abs(x).mean(0)
    var_bound = 80 * u * (centred**2).mean(0) + mean_bound**2
    var_bound += 4 * u * (np.abs(x) * np.abs(centred)).mean(0)
    assert np.all(np.abs(mean - x.mean(0)) <= mean_bound)
    assert np.all(np.abs(var - x.var(0)) <= var_bound)

    # The rest given these moments.
    mean, var = mean.astype(np.float64), var.astype(np.float64)
    spread = np.sqrt(var + eps)
    normal = (x - mean) / spread
    bound = 4 * u * (np.abs(x) + np.abs(mean)) / spread
    assert np.all(
        np.abs(y - (normal * weight + bias))
        <= np.abs(weight) * bound + 2 * u * np.abs(bias)
    )
    sums, products = (
        np.abs(dy).sum(0),
        (np.abs(dy) * (np.abs(normal) + bound / u)).sum(0),
    )
    assert np.all(np.abs(dbias - dy.sum(0)) <= 80 * u * sums)
    assert np.all(np.abs(dweight - (dy * normal).sum(0)) <= 84 * u * products)
    exact = dy - dy.mean(0) - normal * (dy * normal).mean(0)
    size = np.abs(dy) + 80 * sums / n
    size += (np.abs(normal) + bound / u) * 90 * products / n
    assert np.all(
        np.abs(dx - exact * weight / spread) <= 4 * u * size * np.abs(weight) / spread
    )


@pytest.mark.parametrize("dtype", REALS)
def test_same_bits_for_any_number_of_threads(dtype: DTypeLike) -> None:
    rng = np.random.default_rng(0)
    x, dy = (feature_major(v) for v in rng.standard_normal((2, 5000, 30)).astype(dtype))
    weight, bias = rng.standard_normal((2, 30)).astype(dtype)
    found = []
    for threads in (1, 2, 5):
        with running(threads=threads):
            y, mean, var = _core.batch_norm(x, weight, bias, 0.1)
            back = _core.batch_norm_backward(x, weight, mean, var, dy, 0.1, True)
            found.append([y, mean, var, *back])
    for others in found[1:]:
        assert all(same_bits(a, b) for a, b in zip(found[0], others, strict=True))


def test_bad_arguments_are_refused() -> None:
    one = np.ones(4, np.float32)
    x = feature_major(np.ones((3, 4), np.float32))
    with pytest.raises(ValueError, match="feature-major"):
        _core.batch_norm(np.ones((3, 4), np.float32), one, one, 0.1)
    with pytest.raises(ValueError, match="in one piece"):
        _core.batch_norm(feature_major(np.ones((3, 4), np.float32), 2), one, one, 0.1)
    with pytest.raises(ValueError, match="n at least 1"):
        _core.batch_norm(x[:0], one, one, 0.1)
    with pytest.raises(ValueError, match="bias"):
        _core.batch_norm(x, one, one[:3], 0.1)
    with pytest.raises(TypeError, match="float64"):
        _core.batch_norm(x, one, one.astype(np.float64), 0.1)
    dy = feature_major(np.ones((2, 4), np.float32))
    with pytest.raises(ValueError, match="dy"):
        _core.batch_norm_backward(x, one, one, one, dy, 0.1, True)
    with pytest.raises(ValueError, match="var"):
        _core.batch_norm_backward(x, one, one, one[:2], x, 0.1, True)
