"""GELU and layer norms of every instruction set against float64."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from kernels.cases import BATCHES, ISAS, REALS, feature_major, running, same_bits
from numpy.typing import DTypeLike

from sparsenn import _core

everywhere = pytest.mark.parametrize(
    ("isa", "dtype"), [(isa, dtype) for isa in ISAS for dtype in REALS]
)


@everywhere
@pytest.mark.parametrize("n", [0, 1, 7, 17, 20_001])
def test_gelu(isa: str, dtype: DTypeLike, n: int) -> None:
    from scipy.special import ndtr

    x = np.linspace(-12, 12, n).astype(dtype)
    dy = np.random.default_rng(0).standard_normal(n).astype(dtype)
    with running(isa):
        y, dx = _core.gelu(x), _core.gelu(x, dy)
    exact = x.astype(np.float64)
    slope = ndtr(exact) + exact * np.exp(-(exact**2) / 2) / np.sqrt(2 * np.pi)
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(y, exact * ndtr(exact), rtol=4 * eps, atol=4 * eps)
    np.testing.assert_allclose(dx, dy * slope, rtol=4 * eps, atol=16 * eps)


@everywhere
def test_gelu_of_what_is_not_a_number_or_infinite(isa: str, dtype: DTypeLike) -> None:
    x = np.array([np.nan, np.inf, -1e30, 1e30], dtype)
    with running(isa):
        y = _core.gelu(x)
    assert np.isnan(y[0])
    np.testing.assert_array_equal(y[1:], np.maximum(x[1:], 0))


@everywhere
@given(
    n=st.sampled_from((1, 2, 5, 33)),
    batch=st.sampled_from(BATCHES),
    gap=st.sampled_from((0, 1, 3)),
    centre=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_layer_norm(
    isa: str, dtype: DTypeLike, n: int, batch: int, gap: int, centre: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    x, dy = rng.standard_normal((2, batch, n)).astype(dtype)
    weight, bias = rng.standard_normal((2, n)).astype(dtype)
    eps = 0.01
    shifted = bias if centre else None
    with running(isa):
        a, g = feature_major(x, gap), feature_major(dy, 2 * gap)
        y = _core.layer_norm(a, weight, shifted, eps, centre)
        dx, dweight, dbias = _core.layer_norm_backward(a, weight, g, eps, centre)
    x, dy, weight, bias = (v.astype(np.float64) for v in (x, dy, weight, bias))
    mean = x.mean(1, keepdims=True) if centre else 0.0
    spread = np.sqrt(((x - mean) ** 2).mean(1, keepdims=True) + eps)
    normal = (x - mean) / spread
    h = dy * weight
    exact = h - normal * (h * normal).mean(1, keepdims=True)
    if centre:
        exact -= h.mean(1, keepdims=True)
    # Differences of numbers of size 1 / sqrt(eps) at most, summed over n or the batch.
    near = {"rtol": 0, "atol": 100 * (n + batch + 8) * np.finfo(dtype).eps}
    np.testing.assert_allclose(y, normal * weight + (bias if centre else 0), **near)
    np.testing.assert_allclose(dx, exact / spread, **near)
    np.testing.assert_allclose(dweight, (dy * normal).sum(0), **near)
    np.testing.assert_allclose(dbias, dy.sum(0), **near)


@pytest.mark.parametrize("isa", ISAS)
def test_layer_norm_of_many_features(isa: str) -> None:
    n = 1 << 20  # added up one by one in float32, y is wrong by 1e-3
    x = 10 + np.random.default_rng(0).standard_normal((2, n)).astype(np.float32)
    weight, bias = np.ones(n, np.float32), np.zeros(n, np.float32)
    with running(isa):
        y = _core.layer_norm(feature_major(x), weight, bias, 0.0, True)
        parts = feature_major(x), weight, feature_major(y)
        dx = _core.layer_norm_backward(*parts, 0.0, True)[0]
    wide = x.astype(np.float64)
    exact = (wide - wide.mean(1, keepdims=True)) / wide.std(1, keepdims=True)
    # Sums of runs of 256 and of their 4,096 sums, at mean 10.
    near = {"rtol": 0, "atol": 10 * (256 + 4096) * np.finfo(np.float32).eps}
    np.testing.assert_allclose(y, exact, **near)
    assert np.abs(dx).max() < near["atol"]  # y is orthogonal to all that x may do


@pytest.mark.parametrize("dtype", REALS)
def test_same_bits_for_any_number_of_threads(dtype: DTypeLike) -> None:
    rng = np.random.default_rng(0)
    x, dy = (feature_major(v) for v in rng.standard_normal((2, 500, 300)).astype(dtype))
    weight = rng.standard_normal(300).astype(dtype)
    found = []
    for threads in (1, 2, 5):
        with running(threads=threads):
            found.append(
                [
                    _core.gelu(np.ravel(x, "K")),
                    _core.layer_norm(x, weight, None, 0.1, True),
                    *_core.layer_norm_backward(x, weight, dy, 0.1, True),
                ]
            )
    for others in found[1:]:
        assert all(same_bits(a, b) for a, b in zip(found[0], others, strict=True))


def test_bad_arguments_are_refused() -> None:
    x = np.ones((3, 4), np.float32)
    with pytest.raises(ValueError, match="feature-major"):
        _core.layer_norm(x, np.ones(4, np.float32), None, 0.1, True)
    with pytest.raises(ValueError, match="at least 1"):
        _core.layer_norm(x[:, :0], np.ones(0, np.float32), None, 0.1, True)
    with pytest.raises(ValueError, match="weight"):
        _core.layer_norm(x.T.copy().T, np.ones(3, np.float32), None, 0.1, True)
    with pytest.raises(ValueError, match=r"\(3,\)"):
        _core.gelu(np.ones(3, np.float32), np.ones(4, np.float32))
    with pytest.raises(TypeError, match="int64"):
        _core.gelu(np.ones(3, np.int64))
