"""`gradcheck` finds wrong derivatives; the tape costs little."""

from __future__ import annotations

import time

import numpy as np
import pytest

from sparsenn import ops
from sparsenn.autograd import (
    GradcheckError,
    Tensor,
    gradcheck,
    primitive,
    value_and_grad,
)
from sparsenn.autograd.registry import REGISTRY
from sparsenn.autograd.tensor import wrap


@pytest.fixture
def made():
    names = set(REGISTRY)
    yield
    for name in set(REGISTRY) - names:
        del REGISTRY[name]


def wrong_first(g, out, inputs, needs):
    return (ops.mul(g, ops.mul(inputs[0], 2 + 1e-6)),)


def wrong_second(g, out, inputs, needs):
    return (ops.mul(g, wrap(2 * inputs[0].data)),)  # constant: drops the graph


def test_wrong_derivatives_are_found(made):
    x = np.array([0.5, -1.5])
    right = primitive(
        "right", np.square, lambda g, o, i, n: (ops.mul(g, i[0] * 2),), saves=("0",)
    )
    first = primitive("first", np.square, wrong_first, saves=("0",))
    second = primitive("second", np.square, wrong_second, saves=("0",))
    assert gradcheck(right, [x], order=3)
    with pytest.raises(GradcheckError, match="order 1"):
        gradcheck(first, [x])
    assert gradcheck(second, [x], order=1)
    with pytest.raises(GradcheckError, match="order 2"):
        gradcheck(second, [x])


def test_a_missing_gradient_is_found(made):
    none = primitive("none", np.square, lambda g, o, i, n: (None,))
    with pytest.raises(GradcheckError):
        gradcheck(none, [np.array([1.0])])
    nan = primitive("nan", np.square, lambda g, o, i, n: (ops.mul(g, np.nan),))
    with pytest.raises(GradcheckError):
        gradcheck(nan, [np.array([1.0])])


def test_several_inputs_and_outputs():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 3)), rng.standard_normal(3)
    assert gradcheck(lambda a, b: [a * b, ops.sin(b)], [x, y], order=3)
    assert gradcheck(lambda a, b: a @ b, [Tensor(x, dtype=np.float32), y])
    with pytest.raises(ValueError, match="order is 0"):
        gradcheck(ops.sin, [x], order=0)


def test_value_and_grad():
    value, (gx, gy) = value_and_grad(lambda x, y: (x * x).sum(), [[1.0, 2.0], [3.0]])
    assert value.item() == 5
    assert not value.requires_grad
    np.testing.assert_array_equal(gx.data, [2, 4])
    np.testing.assert_array_equal(gy.data, [0])


def test_overhead_of_a_node():
    nodes, times = 1000, []
    factor = Tensor(1.0001)
    for _ in range(20):
        y = Tensor(1.0, requires_grad=True)
        start = time.process_time()
        for _ in range(nodes):
            y = y * factor
        y.backward()
        times.append(time.process_time() - start)
    assert min(times) / nodes < 15e-6
