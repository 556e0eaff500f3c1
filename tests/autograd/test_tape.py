"""The tape: what it keeps, what it refuses, how deep it goes."""

from __future__ import annotations

import gc
import threading
import weakref

import numpy as np
import pytest

from sparsenn import ops
from sparsenn.autograd import (
    Tensor,
    enable_grad,
    grad,
    hvp,
    is_recording,
    no_grad,
    primitive,
)
from sparsenn.autograd.registry import REGISTRY, apply1


def variable(*values):
    return Tensor(np.array(values, dtype=np.float64), requires_grad=True)


# --- what is computed -----------------------------------------------------------------


def test_gradient_accumulates_over_uses_and_calls():
    x = variable(2.0, 3.0)
    (x * x + x * 4 + x).sum().backward()
    np.testing.assert_array_equal(x.grad.data, 2 * x.data + 5)
    (x * 10).sum().backward()
    np.testing.assert_array_equal(x.grad.data, 2 * x.data + 15)
    x.grad = None
    assert x.grad is None


def test_grad_leaves_variables_alone_and_reaches_intermediate_results():
    x, y = variable(2.0), variable(5.0)
    h = x * y
    z = (h * h).sum()
    gx, gh = grad(z, [x, h])
    assert gh.item() == 20.0
    assert gx.item() == 100.0
    assert x.grad is None
    assert y.grad is None


def test_derivatives_of_derivatives():
    x = variable(0.7)
    y = ops.sin(x).sum()
    expected = [np.cos, lambda v: -np.sin(v), lambda v: -np.cos(v), np.sin]
    for f in expected:
        y = grad(y, x, create_graph=True)
        np.testing.assert_allclose(y.data, f(x.data), rtol=1e-15)
        y = y.sum()


def test_gradient_of_an_intermediate_seed():
    x = variable(1.0, 2.0)
    y = x * x
    seed = Tensor([3.0, 5.0], requires_grad=True, dtype=np.float64)
    g = grad(y, x, create_graph=True, gradient=seed)
    np.testing.assert_array_equal(g.data, [6.0, 20.0])
    np.testing.assert_array_equal(grad(g.sum(), seed).data, 2 * x.data)


def test_unused():
    x, y = variable(1.0), variable(1.0)
    z = (x * 2).sum()
    with pytest.raises(RuntimeError, match=r"does not depend on wrt\[1\]"):
        grad(z, [x, y], retain_graph=True)
    gx, gy = grad(z, [x, y], allow_unused=True)
    assert gx.item() == 2
    assert gy is None
    with pytest.raises(RuntimeError, match="constant"):
        grad(z, Tensor(1.0))


def test_equal_results_do_not_share_memory():
    x, y = variable(1.0, 2.0), variable(3.0, 4.0)
    seed = np.ones(2)
    (x + y).backward(seed)
    assert not np.shares_memory(x.grad.data, y.grad.data)
    assert not np.shares_memory(x.grad.data, seed)
    gx, gy = grad(x + y, [x, y], gradient=seed)
    assert not np.shares_memory(gx.data, gy.data)
    assert not np.shares_memory(gx.data, seed)


# --- what raises ----------------------------------------------------------------------


def test_backward_twice():
    x = variable(2.0)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.item() == 8
    with pytest.raises(RuntimeError, match="freed"):
        y.backward()
    with pytest.raises(RuntimeError, match="freed"):
        grad(y, x)


@pytest.mark.parametrize(
    "op",
    [
        lambda x, w: x * w,
        lambda x, w: x @ w,
        lambda x, w: ops.maximum(x, w),
        lambda x, w: x / w,
    ],
)
def test_changed_input_raises(op):
    x = Tensor(np.eye(2), requires_grad=True)
    w = Tensor(np.ones((2, 2)), requires_grad=True)
    y = op(x, w).sum()
    w.assign_(np.full((2, 2), 2.0))
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward()


def test_changed_result_raises():
    x = variable(1.0, 2.0)
    y = ops.exp(x)
    z = y.sum()
    y.data[0] = 0
    y.touch()
    with pytest.raises(RuntimeError, match="exp"):
        z.backward()


def test_change_of_a_value_that_nothing_saved_is_fine():
    x, w = variable(1.0), variable(2.0)
    y = (x + w).sum()
    w.assign_([5.0])
    y.backward()
    assert x.grad.item() == 1


def test_only_values_that_a_wanted_gradient_uses_are_saved():
    x, constant = variable(1.0), Tensor(np.array([2.0]))
    y = x * constant
    constant_free = weakref.ref(constant)
    x.assign_([7.0])  # d(x c)/dx does not use x
    y.sum().backward()
    assert x.grad.item() == 2
    del constant, y
    assert constant_free() is None


@pytest.mark.parametrize(
    "view",
    [
        lambda x: x.reshape(4),
        lambda x: x.T,
        lambda x: x[0],
        lambda x: x[:, ::-1],
        lambda x: x.detach(),
    ],
)
def test_change_is_seen_through_views(view):
    x = Tensor(np.ones((2, 2)), requires_grad=True)
    w = Tensor(np.ones(view(x).shape), requires_grad=True)
    y = (view(x) * w).sum()
    x.assign_(np.zeros((2, 2)))
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward()


def test_replaced_values_raise_and_new_ones_work():
    x = variable(1.0, 2.0)
    y = (x * x).sum()
    x.replace_(np.arange(3.0))
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward()
    (x * x).sum().backward()
    np.testing.assert_array_equal(x.grad.data, [0.0, 2.0, 4.0])


def test_unrecorded_gradient_is_not_a_constant():
    x = variable(2.0)
    g = grad((x * x * x).sum(), x)
    with pytest.raises(RuntimeError, match="create_graph"):
        (g * x).sum().backward()
    with pytest.raises(RuntimeError, match="create_graph"):
        grad((g * x).sum(), x)
    np.testing.assert_allclose(grad((g.detach() * x).sum(), x).data, 12.0)
    (x * x).sum().backward()
    with pytest.raises(RuntimeError, match="create_graph"):
        (x.grad * x).sum().backward()


def test_gradient_with_respect_to_an_unrecorded_gradient_is_allowed():
    x = variable(2.0)
    g = grad((x * x).sum(), x)
    assert grad((g * g).sum(), g).item() == 8.0


def test_nothing_recorded():
    with pytest.raises(RuntimeError, match="nothing was recorded"):
        Tensor(1.0).backward()
    x = variable(1.0)
    with no_grad():
        y = x * 2
    with pytest.raises(RuntimeError, match="no_grad"):
        y.backward()
    with pytest.raises(RuntimeError, match="does not depend"):
        grad(y, x)


def test_only_scalars_have_a_gradient_of_their_own():
    x = variable(1.0, 2.0)
    with pytest.raises(ValueError, match=r"\(2,\)"):
        (x * 2).backward()
    with pytest.raises(ValueError, match="must agree"):
        (x * 2).backward(np.ones(3))


def test_vjp_must_declare_what_it_uses():
    bad = primitive(
        "bad_square",
        np.square,
        lambda g, out, inputs, needs: (ops.mul(g, inputs[0]),),
    )
    try:
        with pytest.raises(TypeError, match="saves"):
            apply1(bad, variable(2.0)).sum().backward()
        with pytest.raises(ValueError, match="registered already"):
            primitive("bad_square", np.square, None)
    finally:
        del REGISTRY["bad_square"]


def test_missing_vjp_raises():
    rounded = primitive("rounded", np.round, None)
    try:
        with pytest.raises(RuntimeError, match="rounded has no derivative"):
            rounded(variable(2.0)).sum().backward()
    finally:
        del REGISTRY["rounded"]


# --- recording ------------------------------------------------------------------------


def test_modes_nest_and_belong_to_a_thread():
    assert is_recording()
    seen = []
    with no_grad():
        assert not is_recording()
        with enable_grad():
            assert is_recording()
        assert not is_recording()
        thread = threading.Thread(target=lambda: seen.append(is_recording()))
        thread.start()
        thread.join()
    assert is_recording()
    assert seen == [True]

    @no_grad()
    def quiet(x):
        return x * 2

    assert not quiet(variable(1.0)).requires_grad


def test_vjp_sees_whether_the_backward_pass_is_recorded():
    seen = []

    def vjp(g, out, inputs, needs):
        seen.append(is_recording())
        return (g,)

    same = primitive("same", np.copy, vjp)
    try:
        x = variable(1.0)
        grad(same(x).sum(), x)
        grad(same(x).sum(), x, create_graph=True)
        with no_grad():
            assert not is_recording()
    finally:
        del REGISTRY["same"]
    assert seen == [False, True]
    assert is_recording()


def test_mode_is_restored_after_an_error():
    x = variable(1.0)
    y = (x * x).sum()
    x.touch()
    with pytest.raises(RuntimeError):
        y.backward()
    assert is_recording()


# --- memory ---------------------------------------------------------------------------


def deep(x, n):
    for _ in range(n):
        x = x * 1.0
    return x


def test_deep_chain():
    x = variable(1.5)
    y = deep(x, 100_000)
    y.backward()
    assert x.grad.item() == 1.0


@pytest.mark.parametrize("saving", [True, False])
def test_deep_chain_is_destroyed_without_recursion(saving):
    x = variable(1.5)
    for _ in range(200_000):
        x = ops.tanh(x) if saving else -x
    del x
    y = variable(1.0)
    for _ in range(100_000):
        y = y * y  # saves the tensors of its inputs
    del y


def test_no_reference_cycles():
    gc.collect()
    gc.disable()
    try:
        x = Tensor(np.ones((3, 4)), requires_grad=True)
        w = Tensor(np.ones((4, 4)), requires_grad=True)
        y = ops.softmax(ops.tanh(x @ w) * ops.exp(x), axis=1)
        loss = ops.cross_entropy(y, [0, 1, 2]) + (y.reshape(12)[np.arange(3)]).sum()
        g = grad(loss, [x, w], create_graph=True)
        h = grad(sum((v * v).sum() for v in g), [x, w], retain_graph=True)
        loss.backward()
        watched = [weakref.ref(t) for t in (x, w, y, loss, *g, *h)]
        watched += [weakref.ref(t._node) for t in (x, y, loss, *g)]
        del x, w, y, loss, g, h
        assert [r() for r in watched] == [None] * len(watched)
    finally:
        gc.enable()


def test_backward_frees_saved_values_as_it_goes():
    x = Tensor(np.ones(4), requires_grad=True)
    h = ops.exp(x)
    saved = weakref.ref(h.data)
    y = (h * h).sum()
    del h
    assert saved() is not None
    y.backward()
    assert saved() is None


def test_gradients_of_leaves_are_not_copied_when_fresh():
    x = variable(1.0, 2.0)
    made = []

    def vjp(g, out, inputs, needs):
        made.append(np.array([5.0, 6.0]))
        return (Tensor(made[0]),)

    fresh = primitive("fresh", np.copy, vjp)
    try:
        fresh(x).sum().backward()
    finally:
        del REGISTRY["fresh"]
    assert x.grad.data is made[0]


def test_backward_in_two_threads_on_separate_graphs():
    def work(k, results):
        x = variable(float(k))
        for _ in range(50):
            x.grad = None
            (x * x * x).sum().backward()
        results[k] = x.grad.item()

    results: dict[int, float] = {}
    threads = [threading.Thread(target=work, args=(k, results)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert results == {k: 3.0 * k * k for k in range(4)}


def test_hvp_of_a_quadratic_and_of_a_linear_function():
    rng = np.random.default_rng(0)
    a = rng.standard_normal((4, 4))
    x, v = rng.standard_normal(4), rng.standard_normal(4)

    def quadratic(t):
        return ((t @ a) * t).sum()

    (got,) = hvp(quadratic, [x], [v])
    np.testing.assert_allclose(got.data, (a + a.T) @ v, rtol=1e-13)
    (zero,) = hvp(lambda t: (t * 3).sum(), [x], [v])
    np.testing.assert_array_equal(zero.data, np.zeros(4))
    with pytest.raises(ValueError, match=r"vectors\[0\]"):
        hvp(quadratic, [x], [v[:2]])


def test_hvp_of_a_closure_over_variables():
    x, y = variable(2.0), variable(3.0)

    def f(*_):
        return (x * x * y).sum()

    hx, hy = hvp(f, [x, y], [np.array([1.0]), np.array([0.0])])
    assert (hx.item(), hy.item()) == (6.0, 4.0)


def test_a_tensor_of_a_tensor_shares_its_version():
    x = Tensor(np.ones(2))
    w = Tensor(np.ones(2), requires_grad=True)
    y = (Tensor(x) * w).sum()
    x.assign_([2.0, 2.0])
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward()


def test_no_grad_as_a_decorator_in_several_threads():
    inside = threading.Barrier(2, timeout=10)

    @no_grad()
    def f():
        inside.wait()
        return is_recording()

    def work(recording, results):
        with enable_grad() if recording else no_grad():
            f()
            results[recording] = is_recording()

    results: dict[bool, bool] = {}
    threads = [threading.Thread(target=work, args=(b, results)) for b in (True, False)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert results == {True: True, False: False}
