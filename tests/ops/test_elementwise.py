"""Elementwise operations: broadcasting, extreme values, conventions at kinks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sparsenn import ops
from sparsenn.autograd import Tensor, grad, gradcheck

BINARY = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "maximum": np.maximum,
    "minimum": np.minimum,
}


@st.composite
def pairs(draw):
    """Two arrays whose shapes broadcast, each in C or activation order, and a seed."""
    shapes = draw(
        hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=3, max_side=3)
    )
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    arrays = []
    for shape in shapes.input_shapes:
        a = rng.choice([-1.0, 1.0], shape) * rng.uniform(0.5, 2, shape)
        arrays.append(np.asarray(a, order=draw(st.sampled_from("CF"))))
    return *arrays, rng.standard_normal(shapes.result_shape)


def adjoint(ufunc, a, b, u):
    """Gradient of sum(u * f(a, b)) by hand, in float64."""
    one, zero = np.ones(u.shape), np.zeros(u.shape)
    slopes = {
        np.add: (one, one),
        np.subtract: (one, -one),
        np.multiply: (b + zero, a + zero),
        np.divide: (1 / b + zero, -a / b**2),
        np.maximum: ((a > b) + zero, (a < b) + zero),
        np.minimum: ((a < b) + zero, (a > b) + zero),
    }[ufunc]
    results = []
    for x, slope in zip((a, b), slopes, strict=True):
        full = u * slope
        full = full.sum(tuple(range(full.ndim - x.ndim)))
        axes = tuple(i for i, n in enumerate(x.shape) if n == 1)
        results.append(full.sum(axes, keepdims=True).reshape(x.shape))
    return results


@pytest.mark.parametrize("name", BINARY)
@given(case=pairs())
def test_broadcasting(name, case):
    a, b, u = case
    if name in ("maximum", "minimum") and np.any(np.equal(a, b)):
        a = a + 0.25
    x, y = Tensor(a, requires_grad=True), Tensor(b, requires_grad=True)
    out = getattr(ops, name)(x, y)
    np.testing.assert_array_equal(out.data, BINARY[name](a, b))
    expected = adjoint(BINARY[name], a, b, u)
    got = grad(out, [x, y], gradient=u)
    for g, e, v in zip(got, expected, (a, b), strict=True):
        assert g.shape == v.shape
        scale = np.finfo(float).eps * 8 * (np.abs(u).sum() * 8 + 1)
        np.testing.assert_allclose(g.data, e, rtol=0, atol=scale)


@given(case=pairs(), seed=st.integers(0, 2**32 - 1))
def test_where(case, seed):
    a, b, u = case
    condition = np.random.default_rng(seed).random(u.shape) < 0.5
    x, y = Tensor(a, requires_grad=True), Tensor(b, requires_grad=True)
    out = ops.where(condition, x, y)
    np.testing.assert_array_equal(out.data, np.where(condition, a, b))
    gx, gy = grad(out, [x, y], gradient=u)
    for g, mask in ((gx, condition), (gy, ~condition)):
        np.testing.assert_allclose(g.data.sum(), (u * mask).sum(), atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "name", ["sigmoid", "softplus", "tanh", "relu", "leaky_relu", "gelu", "silu", "erf"]
)
def test_extreme_values_are_finite_and_exact(name, dtype):
    big = np.array([-1e4, -100, -50, 0, 50, 100, 1e4], dtype)
    x = Tensor(big, requires_grad=True)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        y = getattr(ops, name)(x)
        (g,) = grad(y, [x], gradient=np.ones_like(big))
    assert np.isfinite(y.data).all()
    assert np.isfinite(g.data).all()
    limit = {"sigmoid": 1, "tanh": 1, "erf": 1}.get(name, 1e4)
    assert y.data[-1] == dtype(limit)


def test_sigmoid_keeps_relative_accuracy():
    x = np.array([-80.0, -30.0, -5.0, 0.0, 5.0, 30.0])
    np.testing.assert_allclose(
        ops.sigmoid(x.astype(np.float32)).data, 1 / (1 + np.exp(-x)), rtol=4e-7
    )


def test_conventions_at_kinks():
    x = Tensor(np.zeros(2), requires_grad=True)
    one = np.ones(2)
    slopes = {
        ops.relu: 0.0,
        ops.abs: 0.0,
        ops.sign: None,
        lambda v: ops.maximum(v, 0.0): 0.5,
        lambda v: ops.maximum(v, v): 1.0,
        lambda v: ops.clip(v, 0.0, 1.0): 1.0,
        lambda v: ops.leaky_relu(v, 0.1): 0.1,
    }
    for f, expected in slopes.items():
        (g,) = grad(f(x), [x], gradient=one, allow_unused=True)
        assert (g is None) if expected is None else (g.data == expected).all()


def test_not_a_number_is_passed_on():
    nan = np.array([np.nan, 1.0])
    for f in (ops.relu, ops.leaky_relu, ops.sigmoid, ops.softplus, ops.abs, ops.max):
        assert np.isnan(f(nan).data).any()


@pytest.mark.parametrize("exponent", [0, 1, 2, 3, 0.5, -1, -2.5])
def test_powers(exponent):
    x = np.array([0.3, 1.0, 2.5])
    np.testing.assert_allclose(ops.pow(x, exponent).data, x**exponent, rtol=1e-15)
    assert gradcheck(lambda t: t**exponent + t, [x], order=3)
    if float(exponent).is_integer() and exponent >= 0:
        zero = Tensor(np.zeros(3), requires_grad=True)
        (g,) = grad(zero**exponent + zero, [zero], gradient=np.ones(3))
        np.testing.assert_array_equal(g.data, 1.0 + (exponent == 1))


@pytest.mark.parametrize("slope", [0.01, -0.6, 0.6, 1.0, 3.0])
def test_leaky_relu_for_any_slope(slope):
    x = np.array([-2.0, -0.5, 0.5, 2.0])
    expected = np.where(x > 0, x, slope * x)
    np.testing.assert_allclose(ops.leaky_relu(x, slope).data, expected, rtol=1e-15)
    assert gradcheck(lambda t: ops.leaky_relu(t, slope), [x])


def test_gelu_to_fourth_order():
    x = np.array([-1.5, 0.2, 0.9])
    assert gradcheck(ops.gelu, [x], order=4, rtol=1e-5)


def test_scipy_is_not_imported_before_it_is_needed():
    import subprocess
    import sys

    program = (
        "import sys, sparsenn.autograd, sparsenn.ops as ops; "
        "ops.softmax([1.0, 2.0]); print(any(m.split('.')[0] == 'scipy' for m in "
        "sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "False"
