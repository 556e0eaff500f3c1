"""Batch normalisation: the fused kernel against NumPy and against its operations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsenn import ops
from sparsenn.autograd import Tensor, grad

CASES = st.tuples(
    st.integers(1, 5), st.integers(1, 6), st.lists(st.integers(1, 4), max_size=2)
)


@given(CASES, st.integers(0, 9), st.sampled_from([np.float32, np.float64]))
def test_values_moments_and_both_gradients(case, seed: int, dtype) -> None:
    batch, channels, places = case
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((batch, channels, *places)) + 3
    weight, bias = rng.standard_normal((2, channels))
    axes = tuple(i for i in range(x.ndim) if i != 1)
    column = (-1, *(1,) * len(places))
    mean, var = x.mean(axes), x.var(axes)
    normed = (x - mean.reshape(column)) / np.sqrt(var.reshape(column) + 0.1)
    expected = normed * weight.reshape(column) + bias.reshape(column)
    variables = [Tensor(a.astype(dtype), requires_grad=True) for a in (x, weight, bias)]
    y, got_mean, got_var = ops.batch_norm(*variables, eps=0.1)
    assert y.dtype == got_mean.dtype == dtype
    tolerance = 1e-4 if dtype == np.float32 else 1e-12
    for got, wanted in ((y.data, expected), (got_mean, mean), (got_var, var)):
        np.testing.assert_allclose(got, wanted, rtol=tolerance, atol=tolerance)
    g = rng.standard_normal(y.shape).astype(dtype)
    options = {"gradient": g, "retain_graph": True}
    fused = grad(y, variables, False, **options)
    recorded = grad(y, variables, True, **options)
    for a, b in zip(fused, recorded, strict=True):
        np.testing.assert_allclose(
            a.data, b.data, rtol=10 * tolerance, atol=20 * tolerance
        )


def test_large_channels_far_from_zero() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((64, 5, 40, 40)).astype(np.float32) * 2 + 100
    y, mean, var = ops.batch_norm(x, np.ones(5, np.float32), np.zeros(5, np.float32))
    exact = x.astype(np.float64)
    np.testing.assert_allclose(mean, exact.mean((0, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(var, exact.var((0, 2, 3)), rtol=1e-4)
    np.testing.assert_allclose(y.data.mean((0, 2, 3), np.float64), 0, atol=1e-5)
    np.testing.assert_allclose(y.data.var((0, 2, 3), np.float64), 1, rtol=1e-4)


@pytest.mark.parametrize("shape", [(3,), (0, 2), (2, 3, 0)])
def test_shapes_without_numbers_are_refused(shape: tuple[int, ...]) -> None:
    channels = shape[1] if len(shape) > 1 else 1
    with pytest.raises(ValueError, match="at least one number"):
        ops.batch_norm(np.zeros(shape), np.ones(channels), np.ones(channels))


def test_parameters_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match="one number a channel"):
        ops.batch_norm(np.zeros((2, 3)), np.ones(2), np.ones(3))
