"""`Tensor`: dtypes, mixing with NumPy, printing, copying, in-place changes."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from sparsenn import ops
from sparsenn.autograd import Tensor


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        (1.5, np.float32),
        ([1, 2], np.float32),
        (np.arange(3), np.float32),
        (np.array([True]), np.float32),
        (np.ones(2, np.uint8), np.float32),
        (np.ones(2, np.float16), np.float32),
        (np.ones(2, np.float64), np.float64),
        (np.float64(2.0), np.float64),
        (np.ones(2, ">f8"), np.float64),
        (np.ones(2, ">f4"), np.float32),
    ],
)
def test_dtype_of_data(data, dtype):
    t = Tensor(data)
    assert t.dtype == dtype
    assert t.data.dtype.isnative
    np.testing.assert_array_equal(t.data, np.asarray(data))


def test_refused_data():
    for bad in (np.array(["a"]), np.ones(2, complex), np.array([None])):
        with pytest.raises(TypeError, match="real numbers"):
            Tensor(bad)
    with pytest.raises(TypeError, match="float32 or float64"):
        Tensor([1.0], dtype=np.float16)


def test_float_arrays_are_not_copied():
    a = np.ones(3)
    assert Tensor(a).data is a
    assert Tensor(a).numpy() is a
    assert np.asarray(Tensor(a)) is a


@pytest.mark.parametrize("scalar", [2, 2.0, np.float64(2), np.float32(2), np.int64(2)])
def test_scalars_take_the_dtype_of_the_tensor(scalar):
    for dtype in (np.float32, np.float64):
        x = Tensor(np.ones((2, 3), dtype))
        for y in (
            x * scalar,
            scalar * x,
            x**scalar,
            scalar / x,
            scalar - x,
            x + scalar,
        ):
            assert type(y) is Tensor
            assert y.dtype == dtype


def test_mixed_dtypes_promote_and_gradients_come_back():
    x = Tensor(np.ones(3, np.float32), requires_grad=True)
    w = Tensor(np.ones(3), requires_grad=True)
    y = x * w
    assert y.dtype == np.float64
    y.sum().backward()
    assert x.grad.dtype == np.float32
    assert w.grad.dtype == np.float64


def test_arrays_on_the_left():
    x = Tensor(np.ones((2, 3)), requires_grad=True)
    a = np.full((2, 3), 2.0)
    for y in (a + x, a - x, a * x, a / x, a**x, a.T @ x, a[:, :1] * x):
        assert type(y) is Tensor
        assert y.requires_grad
    for z in (a > x, a == x, a <= x):
        assert isinstance(z, np.ndarray)
        assert z.dtype == bool


def test_numpy_functions_do_not_drop_the_graph_silently():
    x = Tensor(np.ones(3), requires_grad=True)
    for f in (np.exp, np.asarray, np.sum, lambda t: np.concatenate([t, t])):
        with pytest.raises(TypeError):
            f(x)
    np.testing.assert_array_equal(np.asarray(x.detach()), np.ones(3))
    (x * x).sum().backward()
    np.testing.assert_array_equal(np.asarray(x.grad), 2 * np.ones(3))


def test_comparisons_are_elementwise():
    x = Tensor([1.0, 2.0, 3.0])
    np.testing.assert_array_equal(x > 2, [False, False, True])
    np.testing.assert_array_equal(x == Tensor([1.0, 0.0, 3.0]), [True, False, True])
    np.testing.assert_array_equal(x != 2, [True, False, True])
    assert len({x, Tensor([1.0, 2.0, 3.0])}) == 2


def test_python_protocols():
    x = Tensor([[1.0, 2.0], [3.0, 4.0]])
    assert len(x) == 2
    assert [float(row.sum()) for row in x] == [3.0, 7.0]
    assert float(x[1, 1]) == 4.0
    assert int(x[1, 1]) == 4
    assert x[0, 1].item() == 2.0
    assert f"{x[0, 0]:.2f}" == "1.00"
    assert bool(x[0, 0])
    assert (x.ndim, x.size, x.nbytes, x.shape) == (2, 4, 16, (2, 2))
    assert (x.T.shape, x.reshape(4).shape, x.reshape(-1, 1).shape) == (
        (2, 2),
        (4,),
        (4, 1),
    )
    with pytest.raises(TypeError):
        len(Tensor(1.0))


def test_printing():
    x = Tensor(np.zeros((3, 4), np.float32), requires_grad=True)
    assert repr(ops.relu(x)).startswith("Tensor(shape=(3, 4), float32, op=relu)\n[[0.")
    assert repr(x).startswith("Tensor(shape=(3, 4), float32, requires_grad=True)")
    assert repr(Tensor(1.0)) == "Tensor(shape=(), float32) 1."
    assert len(repr(Tensor(np.zeros((1000, 1000))))) < 400


def test_in_place_changes():
    x = Tensor(np.zeros(3), requires_grad=True)
    array = x.data
    assert x.assign_([1, 2, 3]) is x
    assert x.data is array
    assert x.version == 1
    x.data *= 2
    assert x.version == 2
    np.testing.assert_array_equal(array, [2.0, 4.0, 6.0])
    with pytest.raises(ValueError, match="replace_"):
        x.assign_(np.zeros(2))
    x.grad = np.ones(3)
    x.replace_(np.zeros(5))
    assert x.requires_grad
    assert x.grad is None
    assert x.shape == (5,)
    x.data = np.ones(2)
    assert x.shape == (2,)
    with pytest.raises(ValueError, match="variable or a constant"):
        (x * 2).replace_(np.zeros(2))


def test_setting_grad():
    x = Tensor(np.zeros(3, np.float32), requires_grad=True)
    x.grad = Tensor(np.ones(3, np.float32))
    np.testing.assert_array_equal(x.grad.data, np.ones(3))
    with pytest.raises(ValueError, match=r"\(2,\)"):
        x.grad = np.ones(2, np.float32)
    with pytest.raises(ValueError, match="float64"):
        x.grad = np.ones(3)
    with pytest.raises(ValueError, match="variable"):
        Tensor(1.0).grad = np.ones(())


def test_requires_grad():
    x = Tensor(np.zeros(3))
    x.requires_grad = True
    y = x * 2
    assert y.requires_grad
    assert not y.is_leaf
    assert not y.detach().requires_grad
    with pytest.raises(ValueError, match="result of mul"):
        y.requires_grad = False
    x.requires_grad = False
    assert not (x * 2).requires_grad


def test_copies():
    x = Tensor(np.asfortranarray(np.ones((2, 3))), requires_grad=True)
    for y in (copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        assert y.requires_grad
        assert not np.shares_memory(x.data, y.data)
        assert y.data.flags.f_contiguous
    with pytest.raises(TypeError, match="detach"):
        copy.deepcopy(x * 2)


def test_a_tensor_is_no_index():
    with pytest.raises(TypeError, match="int array"):
        Tensor([1.0, 2.0])[Tensor([0.0])]
