"""Reductions against NumPy, in every memory order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sparsenn import ops
from sparsenn.autograd import Tensor, grad, gradcheck
from sparsenn.autograd.array import as_order, is_activation

NAMES = ("sum", "mean", "max", "min", "var")


@st.composite
def cases(draw):
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=4, max_side=3))
    n = len(shape)
    axes = draw(st.none() | st.sets(st.integers(-n, n - 1), min_size=1).map(tuple))
    if axes is not None:
        axes = tuple({a % n for a in axes})
    if axes is not None and len(axes) == 1 and draw(st.booleans()):
        axes = axes[0]
    x = np.random.default_rng(draw(st.integers(0, 2**32 - 1))).permutation(
        int(np.prod(shape))
    )
    x = as_order(x.reshape(shape) / 7.0, draw(st.booleans()))
    return x, axes, draw(st.booleans())


@pytest.mark.parametrize("name", NAMES)
@given(case=cases())
def test_against_numpy(name, case):
    x, axes, keepdims = case
    expected = getattr(np, name)(x, axis=axes, keepdims=keepdims)
    out = getattr(Tensor(x), name)(axes, keepdims)
    assert out.shape == expected.shape
    bound = 8 * np.finfo(float).eps * (np.abs(x).sum() + 1) ** (1 + (name == "var"))
    np.testing.assert_allclose(out.data, expected, rtol=0, atol=bound)
    if is_activation(x):
        assert is_activation(out.data)


@pytest.mark.parametrize("name", NAMES)
@given(case=cases())
def test_gradient(name, case):
    x, axes, keepdims = case
    assert gradcheck(lambda t: getattr(ops, name)(t, axes, keepdims), [x], order=1)


def test_norm_and_logsumexp():
    x = np.random.default_rng(0).standard_normal((3, 4))
    np.testing.assert_allclose(ops.norm(x, 1).data, np.linalg.norm(x, axis=1))
    np.testing.assert_allclose(
        ops.logsumexp(x, 0, keepdims=True).data, np.log(np.exp(x).sum(0, keepdims=True))
    )
    assert gradcheck(ops.norm, [x])


def test_ties_share_the_gradient():
    x = Tensor([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]], requires_grad=True)
    g = grad(ops.max(x, 1).sum(), x)
    np.testing.assert_allclose(g.data, [[0, 0.5, 0.5], [1 / 3] * 3], rtol=1e-7)


def test_variance_with_correction():
    x = np.random.default_rng(0).standard_normal((5, 3))
    np.testing.assert_allclose(ops.var(x, 0, correction=1).data, x.var(0, ddof=1))
    with pytest.raises(ValueError, match="1 elements with correction 1"):
        ops.var(np.ones((1, 3)), 0, correction=1)


def test_bad_axes():
    x = np.ones((2, 3))
    for axis in (2, -3, (0, 0), (0, -2)):
        with pytest.raises(ValueError, match="out of range or repeated"):
            ops.sum(x, axis)
    with pytest.raises(ValueError, match="no elements"):
        ops.mean(np.ones((0, 3)), 0)


@given(case=cases(), seed=st.integers(0, 99))
def test_sum_to_is_the_transpose_of_broadcast_to(case, seed):
    x, _, _ = case
    shape = tuple(np.random.default_rng(seed).choice([1, n]) for n in x.shape)
    small = np.random.default_rng(seed).standard_normal(shape)
    left = (ops.sum_to(x, shape) * small).sum().item()
    right = (x * ops.broadcast_to(small, x.shape)).sum().item()
    bound = 16 * np.finfo(float).eps * np.abs(x * small).sum()
    assert abs(left - right) <= bound
