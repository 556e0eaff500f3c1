"""Memory order of activations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sparsenn.autograd.array import (
    as_order,
    asarray_activation,
    combined_order,
    empty,
    is_activation,
    random_mask,
    sample_last,
)
from sparsenn.random import Purpose, Stream

shapes = hnp.array_shapes(min_dims=0, max_dims=4, max_side=4)


@given(shapes, st.booleans())
def test_empty_and_as_order(shape, activation):
    a = empty(shape, np.float64, activation)
    assert a.shape == shape
    assert (is_activation(a) if activation else a.flags.c_contiguous) or a.size == 0
    values = np.arange(a.size, dtype=np.float64).reshape(shape)
    for order in (True, False):
        b = as_order(values, order)
        np.testing.assert_array_equal(b, values)
        assert as_order(b, order) is b


def test_four_axes_lie_as_features_then_batch():
    a = empty((8, 3, 5, 7), np.float32)
    assert a.strides == (4, 5 * 7 * 8 * 4, 7 * 8 * 4, 8 * 4)
    assert sample_last(a).flags.c_contiguous
    assert sample_last(a).shape == (3, 5, 7, 8)


def test_door():
    a = np.ones((4, 3), np.float32)
    b = asarray_activation(a)
    assert b.flags.f_contiguous
    assert asarray_activation(b) is b
    assert asarray_activation(np.ones((4, 3), np.uint8)).dtype == np.float32
    assert asarray_activation([[1.0, 2.0]]).dtype == np.float32
    assert asarray_activation(np.ones((4, 3))).dtype == np.float64
    assert asarray_activation(np.ones((4, 3)), np.float32).dtype == np.float32
    assert is_activation(asarray_activation(np.ones((4, 3), np.uint8)))


def test_combined_order():
    c = np.ones((3, 4))
    f = np.asfortranarray(c)
    assert combined_order(c * f, c, f).flags.f_contiguous
    assert combined_order(c * c, c, c).flags.c_contiguous
    assert combined_order(c[:, :1] * c[:1], c[:, :1], c[:1]).flags.f_contiguous


@pytest.mark.parametrize("shape", [(50,), (40, 30), (10, 3, 4, 5)])
def test_random_mask(shape):
    stream = Stream(3, Purpose.TEST)
    mask = random_mask(shape, 0.25, stream)
    assert mask.shape == shape
    assert mask.dtype == np.float32
    assert is_activation(mask)
    assert set(np.unique(mask)) == {0.0, 4.0}
    kept = np.count_nonzero(mask)
    sigma = np.sqrt(mask.size * 0.25 * 0.75)
    assert abs(kept - 0.25 * mask.size) < 5 * sigma
    np.testing.assert_array_equal(mask, random_mask(shape, 0.25, stream))
    other = random_mask(shape, 0.25, Stream(4, Purpose.TEST))
    assert not np.array_equal(mask, other)
