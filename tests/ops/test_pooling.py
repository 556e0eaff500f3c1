"""Pooling against plain NumPy windows, for any sizes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsenn import ops
from sparsenn.autograd import Tensor, grad


@st.composite
def poolings(draw: st.DrawFn):
    """An image batch with kernel, stride and padding that fit it."""
    kernel = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    stride = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    size = tuple(
        draw(st.integers(max(1, k - 2 * p), 9))
        for k, p in zip(kernel, padding, strict=True)
    )
    batch, channels, seed = (draw(st.integers(1, 3)) for _ in range(3))
    x = np.random.default_rng(seed).integers(-3, 4, (batch, channels, *size))
    return x.astype(np.float64), kernel, stride, padding


def windows(x, kernel, stride, padding, fill):
    (p, q), (s, t) = padding, stride
    padded = np.pad(x, ((0, 0), (0, 0), (p, p), (q, q)), constant_values=fill)
    view = np.lib.stride_tricks.sliding_window_view(padded, kernel, (2, 3))
    return view[:, :, ::s, ::t]


@given(poolings())
def test_maxima_and_their_gradient_goes_to_the_first(case) -> None:
    x, kernel, stride, padding = case
    variable = Tensor(x, requires_grad=True)
    y = ops.max_pool2d(variable, kernel, stride, padding)
    expected = windows(x, kernel, stride, padding, -np.inf)
    assert np.array_equal(y.data, expected.max((-2, -1)))
    g = np.random.default_rng(0).integers(1, 5, y.shape).astype(float)
    (dx,) = grad(y, [variable], gradient=g)
    wanted = np.zeros_like(x)
    for n, c, i, j in np.ndindex(*y.shape):
        at = np.argmax(expected[n, c, i, j])
        row = i * stride[0] + at // kernel[1] - padding[0]
        column = j * stride[1] + at % kernel[1] - padding[1]
        wanted[n, c, row, column] += g[n, c, i, j]
    assert np.array_equal(dx.data, wanted)


@given(poolings())
def test_means_count_padding_as_zeros(case) -> None:
    x, kernel, stride, padding = case
    y = ops.avg_pool2d(x, kernel, stride, padding)
    expected = windows(x, kernel, stride, padding, 0).mean((-2, -1))
    np.testing.assert_allclose(y.data, expected, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize(
    ("shape", "arguments", "message"),
    [
        ((2, 3, 4), (2,), "batch, channels, height, width"),
        ((1, 1, 4, 4), (0,), "kernel_size must be an integer of at least 1"),
        ((1, 1, 4, 4), ((2, 2, 2),), "or 2 of them"),
        ((1, 1, 4, 4), (2, 0), "stride must be"),
        ((1, 1, 4, 4), (2, 2, 2), "more than half"),
        ((1, 1, 4, 4), (5,), "smaller than the kernel"),
    ],
)
def test_what_does_not_fit(shape, arguments, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ops.max_pool2d(np.zeros(shape), *arguments)
