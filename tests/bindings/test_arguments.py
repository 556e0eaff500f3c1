"""The compiled core believes nothing that an argument says about itself."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import sparsenn
from sparsenn import _core
from sparsenn.random import Purpose, Stream
from sparsenn.sparse import SparsePattern


class Boaster(np.ndarray):
    """Claims to be larger than its memory."""

    @property
    def shape(self):
        return (1000, 1000)

    @property
    def size(self):
        return 1_000_000


class Deaf(np.ndarray):
    """Answers every NumPy function with an array of one element."""

    def __array_ufunc__(self, *args, **kwargs):
        return np.zeros(1, np.bool_)


class Impostor:
    """Says that it is an array."""

    __class__ = np.ndarray
    dtype = np.dtype(np.float32)
    shape = (5,)
    ndim = 1


PATTERN = SparsePattern.random((7, 300), 200, seed=0)
ONES = np.ones(200, np.float32)


def activations(n: int) -> np.ndarray:
    return np.asfortranarray(np.ones((3, n), np.float32))


@pytest.mark.parametrize("kind", [Boaster, Deaf])
def test_an_array_of_a_subclass_is_taken_by_its_memory(kind):
    values, x, dy = ONES.view(kind), activations(300).view(kind), activations(7)
    layout = PATTERN.layout
    y = _core.spmm(layout, values, x)
    np.testing.assert_array_equal(y, _core.spmm(layout, ONES, activations(300)))
    dx, dvalues = _core.spmm_backward(layout, values, dy.view(kind), x)
    assert dx.shape == (3, 300) and dvalues.shape == (200,)
    assert _core.sddmm(layout, dy.view(kind), x).shape == (200,)
    assert _core.activation_backward(1, dy.view(kind), dy.view(kind))[0].shape == (3, 7)
    index = _core.ColumnIndex(layout)
    indptr, indices = np.arange(4, dtype=np.int32), np.array([5, 0, 299], np.int32)
    batch = _core.BatchColumns((3, 300), indptr.view(kind), indices.view(kind))
    three, bias = np.ones(3, np.float32).view(kind), np.ones(7, np.float32).view(kind)
    assert _core.sparse_input(index, values, batch, three, bias).shape == (3, 7)
    gradient = _core.sparse_input_grad(index, batch, three, dy.view(kind))
    assert gradient.shape == (200,)
    scores = np.arange(50, dtype=np.float32)
    np.testing.assert_array_equal(
        _core.select(scores.view(kind), 5), _core.select(scores, 5)
    )
    held = ONES.copy()
    _core.sgd(held.view(kind), ONES.view(kind), None, 0.5)
    np.testing.assert_array_equal(held, np.full(200, 0.5))
    elements = np.arange(10).view(kind)
    assert _core.random_bits(Stream(0, Purpose.TEST), elements=elements).shape == (10,)


def test_what_only_says_that_it_is_an_array_is_refused():
    with pytest.raises(TypeError, match="expected a numpy"):
        _core.sgd(Impostor(), Impostor(), None, 0.1)
    with pytest.raises(TypeError, match="must be a NumPy array"):
        _core.select(Impostor(), 1)


@pytest.mark.parametrize(
    ("indptr", "indices"),
    [
        ([0, 1, 2, 4], [5, 0, 299]),  # past the end
        ([0, 2, 1, 3], [5, 0, 299]),  # decreases
        ([1, 1, 2, 3], [5, 0, 299]),
        ([0, 1, 2, 3], [5, 0, 300]),
        ([0, 1, 2, 3], [5, -1, 299]),
        ([0, 1, 2], [5, 0]),  # of another length
    ],
)
def test_a_batch_that_is_not_csr_is_refused(indptr, indices):
    with pytest.raises(ValueError, match="ind"):
        _core.BatchColumns(
            (3, 300), np.array(indptr, np.int32), np.array(indices, np.int32)
        )


def test_a_batch_is_of_the_weights_features_and_samples():
    batch = _core.BatchColumns((3, 301), np.zeros(4, np.int32), np.zeros(0, np.int32))
    index = _core.ColumnIndex(PATTERN.layout)
    none = np.zeros(0, np.float32)
    with pytest.raises(ValueError, match="the batch has 301 features"):
        _core.sparse_input(index, ONES, batch, none)
    batch = _core.BatchColumns((4, 300), np.zeros(5, np.int32), np.zeros(0, np.int32))
    with pytest.raises(ValueError, match="the batch has 4 samples"):
        _core.sparse_input_grad(index, batch, none, activations(7))
    with pytest.raises(ValueError, match="shape"):
        _core.sparse_input(index, ONES, batch, np.zeros(1, np.float32))
    wide = _core.Layout.__new__(_core.Layout)  # its __init__ never ran
    assert _core.ColumnIndex(wide).nnz == 0
    assert _core.ColumnIndex(wide, transposed=True).nnz == 0


def test_an_optimiser_step_refuses_shared_memory():
    flat = np.ones(10, np.float32)
    with pytest.raises(ValueError, match="share memory"):
        _core.sgd(flat[:5], flat[:5], None, 0.1)
    with pytest.raises(ValueError, match="values and momentum share memory"):
        _core.sgd(flat[:5], np.ones(5, np.float32), flat[2:7], 0.1, 0.9)
    with pytest.raises(ValueError, match="share memory"):
        m = np.ones(5, np.float32)
        _core.adam(flat[:5], flat[5:], m, m, 0.1, 0.9, 0.9, 1e-8, 0.0, False, 1, 1)
    np.testing.assert_array_equal(flat, np.ones(10))
    _core.sgd(flat[:5], flat[5:], None, 0.5)  # neighbours are apart
    np.testing.assert_array_equal(flat, [0.5] * 5 + [1.0] * 5)


def test_an_optimiser_step_refuses_memory_that_may_not_be_written():
    fixed = np.ones(5, np.float32)
    fixed.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        _core.sgd(fixed, np.ones(5, np.float32), None, 0.1)
    with pytest.raises(ValueError, match="read-only"):
        _core.sgd(np.ones(5, np.float32), np.ones(5, np.float32), fixed, 0.1, 0.9)


@pytest.mark.parametrize("n", [0, -1, 4097, 2**31, 2**80])
def test_a_number_of_threads_out_of_range_is_refused(n):
    before = _core.get_num_threads()
    with pytest.raises(ValueError, match="at most 4096"):
        sparsenn.set_num_threads(n)
    assert _core.get_num_threads() == before


@pytest.mark.skipif(sys.platform != "linux", reason="limits address space")
def test_many_threads_do_not_end_the_process():
    # Stacks of 4,000 threads do not fit; the OpenMP run time exits when one is refused.
    program = """
import resource, numpy as np, sparsenn
from sparsenn import _core
from sparsenn.random import Purpose, Stream
from sparsenn.sparse import SparsePattern
pattern = SparsePattern.random((2000, 2000), 400_000, seed=0)
x = np.asfortranarray(np.ones((2000, 2000), np.float32))
sparsenn.set_num_threads(4000)
resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
print(_core.spmm(pattern.layout, np.ones(400_000, np.float32), x).shape)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "(2000, 2000)"


def test_a_layer_without_neurons_has_a_gradient_of_zero():
    layout = _core.csr_to_layout(
        (0, 300), np.zeros(1, np.int32), np.zeros(0, np.int32), 128, 1
    )[0]
    none = np.zeros(0, np.float32)
    dx = _core.spmm_t(layout, none, activations(0))
    np.testing.assert_array_equal(dx, np.zeros((3, 300)))
