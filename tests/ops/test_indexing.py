"""Indexing and shapes against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sparsenn import ops
from sparsenn.autograd import Tensor, grad, gradcheck
from sparsenn.autograd.array import as_order, is_activation


@st.composite
def indexed(draw):
    """An array in either memory order, and a NumPy index of any kind."""
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=3, max_side=4))
    index = draw(
        hnp.basic_indices(shape, allow_newaxis=True, allow_ellipsis=True)
        | hnp.integer_array_indices(shape)
        | hnp.arrays(np.bool_, shape)
        | hnp.arrays(np.int64, 3, elements=st.integers(-shape[0], shape[0] - 1))
    )
    x = np.random.default_rng(0).standard_normal(shape)
    return as_order(x, draw(st.booleans())), index


@given(indexed())
def test_getitem_and_its_gradient(case):
    x, index = case
    expected = x[index]
    t = Tensor(x, requires_grad=True)
    out = t[index]
    np.testing.assert_array_equal(out.data, expected)
    u = np.random.default_rng(1).standard_normal(np.shape(expected))
    (g,) = grad(out, [t], gradient=u)
    adjoint = np.zeros_like(x)
    np.add.at(adjoint, index, u)
    np.testing.assert_allclose(g.data, adjoint, rtol=0, atol=1e-14 * (1 + x.size))


@given(indexed())
def test_second_order(case):
    x, index = case
    assert gradcheck(lambda t: t[index] * t[index], [x])


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_take(axis):
    x = np.random.default_rng(0).standard_normal((4, 3, 5))
    rows = np.array([[0, 2, 2], [1, -1, 0]])
    np.testing.assert_array_equal(ops.take(x, rows, axis).data, np.take(x, rows, axis))
    assert gradcheck(lambda t: ops.take(t, rows, axis) ** 2, [x])
    with pytest.raises(ValueError, match="axis 3"):
        ops.take(x, rows, 3)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_take_along_axis(axis):
    x = np.random.default_rng(0).standard_normal((4, 3))
    picks = (
        np.argsort(x, axis=axis)[:2, :2] if axis == 0 else np.argsort(x, axis)[:, :2]
    )
    if axis == 0:
        picks = np.argsort(x, axis)[:2]
    expected = np.take_along_axis(x, picks, axis)
    np.testing.assert_array_equal(ops.take_along_axis(x, picks, axis).data, expected)
    assert gradcheck(lambda t: ops.take_along_axis(t, picks, axis) ** 2, [x])


@pytest.mark.parametrize("activation", [True, False])
def test_rows_of_a_matrix_keep_its_order(activation):
    x = as_order(np.random.default_rng(0).standard_normal((6, 5)), activation)
    t = Tensor(x, requires_grad=True)
    out = t[np.array([5, 0, 5])]
    assert is_activation(out.data) == activation
    (g,) = grad(out, [t], gradient=np.ones((3, 5)))
    assert as_order(g.data, activation) is g.data
    np.testing.assert_array_equal(g.data[:, 0], [1, 0, 0, 0, 0, 2])


def test_index_buffer_may_be_reused():
    x = Tensor(np.arange(3.0), requires_grad=True)
    index = np.array([0, 0])
    y = x[index].sum()
    index[:] = 2
    np.testing.assert_array_equal(grad(y, x).data, [2.0, 0.0, 0.0])


def test_bad_indices():
    x = np.ones((2, 3))
    with pytest.raises(IndexError):
        ops.getitem(x, np.array([2]))
    with pytest.raises(TypeError, match="float64"):
        ops.getitem(x, np.array([0.0]))


# --- shapes ---------------------------------------------------------------------------


@given(st.permutations(range(4)), st.booleans())
def test_transpose(axes, activation):
    x = as_order(np.arange(24.0).reshape(2, 3, 1, 4), activation)
    np.testing.assert_array_equal(ops.transpose(x, axes).data, x.transpose(axes))
    assert gradcheck(lambda t: ops.transpose(t, axes) ** 2, [x], order=1)


def test_reshape_of_feature_axes_is_a_view():
    x = as_order(np.arange(24.0).reshape(2, 12), True)
    y = ops.reshape(x, (2, 3, 4))
    assert np.shares_memory(y.data, x)
    assert is_activation(y.data)
    z = ops.flatten(y)
    assert np.shares_memory(z.data, x)
    assert is_activation(z.data)


@pytest.mark.parametrize("shape", [(4, -1), (-1,), (2, 2, 6), (24, 1), 24])
@pytest.mark.parametrize("activation", [True, False])
def test_reshape(shape, activation):
    x = as_order(np.arange(24.0).reshape(2, 3, 4), activation)
    np.testing.assert_array_equal(ops.reshape(x, shape).data, x.reshape(shape))
    assert gradcheck(lambda t: ops.reshape(t, shape) ** 2, [x])


def test_bad_shapes():
    x = np.ones((2, 3))
    for shape in ((4, 2), (-1, 4), (-1, -1), (-1, 0)):
        with pytest.raises(ValueError, match="cannot reshape"):
            ops.reshape(x, shape)
    with pytest.raises(ValueError, match="permutation"):
        ops.transpose(x, (0, 0))
    with pytest.raises(ValueError, match="broadcast"):
        ops.broadcast_to(x, (2, 4))
    with pytest.raises(ValueError, match="broadcast"):
        ops.sum_to(x, (2,))
    with pytest.raises(ValueError, match="more than axis 0"):
        ops.concatenate([x, np.ones((2, 4))])
    with pytest.raises(ValueError, match="at least one"):
        ops.stack([])
    with pytest.raises(ValueError, match="one pair"):
        ops.pad(x, [(1, 1)])


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("activation", [True, False])
def test_joining(axis, activation):
    parts = [as_order(np.full((2, 3), v), activation) for v in (1.0, 2.0, 3.0)]
    for ours, theirs in ((ops.concatenate, np.concatenate), (ops.stack, np.stack)):
        out = ours([Tensor(p) for p in parts], axis)
        np.testing.assert_array_equal(out.data, theirs(parts, axis))
        assert is_activation(out.data) or not activation
        assert gradcheck(lambda *t, f=ours: f(t, axis) ** 2, parts)


def test_joining_variables_with_constants():
    x = Tensor(np.ones((2, 2)), requires_grad=True)
    y = ops.concatenate([np.zeros((2, 1)), x, np.zeros((2, 3))], axis=1)
    np.testing.assert_array_equal(grad((y * y).sum(), x).data, 2 * np.ones((2, 2)))


def test_adding_and_removing_axes():
    x = np.ones((2, 3))
    assert ops.expand_dims(x, -1).shape == (2, 3, 1)
    assert ops.expand_dims(x, 0).shape == (1, 2, 3)
    assert ops.squeeze(np.ones((1, 2, 1))).shape == (2,)
    assert ops.squeeze(np.ones((1, 2, 1)), 0).shape == (2, 1)
    with pytest.raises(ValueError, match="axis 3"):
        ops.expand_dims(x, 3)


# --- products -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("a", "b"),
    [((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 2)), ((2, 3), (3, 4)), ((4, 2, 3), (3,))],
    ids=str,
)
def test_matmul_of_vectors_and_matrices(a, b):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal(a), rng.standard_normal(b)
    np.testing.assert_allclose(ops.matmul(x, y).data, x @ y, rtol=1e-13)
    assert gradcheck(ops.matmul, [x, y])


def test_gradients_of_a_product_have_the_order_of_the_factors():
    x = Tensor(np.asfortranarray(np.ones((5, 4))), requires_grad=True)
    w = Tensor(np.ones((3, 4)), requires_grad=True)
    y = x @ w.T
    assert y.data.flags.f_contiguous
    y.sum().backward()
    assert x.grad.data.flags.f_contiguous
    assert w.grad.data.flags.c_contiguous


def test_bad_products():
    with pytest.raises(ValueError, match="inner extents"):
        ops.matmul(np.ones((2, 3)), np.ones((2, 3)))
    with pytest.raises(ValueError, match="at least one axis"):
        ops.matmul(np.ones((2, 3)), 2.0)
