"""Scaling: what is fitted, what is applied, what is stored."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sparsenn.data import Scaling, load

EPS = np.finfo(np.float32).eps


def test_unit_of_integers_is_one_number():
    data = load("digits")
    scaling = Scaling.fit(data.x_train)
    assert scaling.divisor.tolist() == [16]
    out = scaling.apply(data.x_test[:5])
    expected = data.x_test[:5].reshape(5, 64) / np.float32(16)
    np.testing.assert_array_equal(out, expected)
    images = np.arange(256, dtype=np.uint8).reshape(4, 8, 8)
    out = Scaling.fit(images).apply(images)
    np.testing.assert_array_equal(out.ravel(), np.arange(256, dtype=np.float32) / 255)
    extreme = np.array([[-128, 127]], np.int8)
    np.testing.assert_array_equal(
        Scaling.fit(extreme).apply(extreme), np.float32([[-1, 127 / 128]])
    )
    nothing = np.zeros((3, 2), np.int64)
    assert Scaling.fit(nothing).apply(nothing).tolist() == [[0, 0]] * 3


def test_unit_of_floats_is_by_feature():
    x = np.array([[1.0, -50, 0], [-4, 25, 0]])
    out = Scaling.fit(x).apply(x, np.float64)
    np.testing.assert_array_equal(out, [[0.25, -1, 0], [-1, 0.5, 0]])


@settings(deadline=None, max_examples=100)
@given(
    x=hnp.arrays(
        st.sampled_from([np.float64, np.float32, np.uint8, np.int32]),
        hnp.array_shapes(min_dims=2, max_dims=3, max_side=6),
        elements=st.integers(0, 200),
    ),
    offset=st.sampled_from([0, 1000]),
)
def test_standard(x, offset):
    if x.dtype != np.uint8:
        x = x + x.dtype.type(offset)
    scaling = Scaling.fit(x, "standard")
    out = scaling.apply(x, np.float64)
    rows = x.reshape(len(x), -1).astype(np.float64)
    constant = (rows == rows[0]).all(axis=0)
    assert (out[:, constant] == 0).all()
    rows, out = rows[:, ~constant], out[:, ~constant]
    expected = (rows - rows.mean(0)) / rows.std(0)
    # Means of n numbers are off by n eps of their size, and so are the differences.
    bound = 50 * len(x) * np.finfo(float).eps * np.abs(rows).max(initial=1)
    np.testing.assert_allclose(out, expected, rtol=bound, atol=bound / 0.1)


def test_a_constant_feature_with_a_rounded_mean():
    x = np.full((7, 1), 0.1)
    assert Scaling.fit(x, "standard").apply(x).tolist() == [[0.0]] * 7


def test_large_numbers_keep_their_differences():
    x = np.array([[1_600_000_000], [1_600_000_001]])
    for array in (x, x.astype(np.float64)):
        out = Scaling.fit(array, "standard").apply(array)
        assert out.dtype == np.float32
        assert out.ravel().tolist() == [-1, 1]


def test_many_samples_in_chunks():
    rng = np.random.default_rng(0)
    x = rng.normal(3, 2, (10_000, 5)).astype(np.float32)
    scaling = Scaling.fit(x, "standard")
    np.testing.assert_allclose(scaling.shift, x.mean(0, np.float64), rtol=1e-12)
    np.testing.assert_allclose(scaling.divisor, x.std(0, dtype=np.float64), rtol=1e-12)
    unit = Scaling.fit(x)
    np.testing.assert_array_equal(unit.divisor, np.abs(x).max(0))


@pytest.mark.parametrize("kind", ["unit", "standard", "none"])
@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32, np.float64])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("batch", [1, 5])
def test_layout_and_type(kind, dtype, order, batch):
    x = np.asarray(np.arange(batch * 6).reshape(batch, 2, 3), dtype, order=order)
    before = x.copy()
    scaling = Scaling.fit(x, kind)
    for target in (np.float32, np.float64):
        out = scaling.apply(x, target)
        assert out.shape == (batch, 6)
        assert out.dtype == target
        assert out.flags.f_contiguous
        assert out.strides == (out.itemsize, batch * out.itemsize)
        assert not np.shares_memory(out, x)
        out[:] = 7
    np.testing.assert_array_equal(x, before)


def test_none_only_converts():
    x = np.array([[[1, 2], [3, 4]]], np.uint8)
    out = Scaling.fit(x, "none").apply(x)
    assert out.tolist() == [[1, 2, 3, 4]]


@pytest.mark.parametrize("kind", ["unit", "standard", "none"])
def test_sparse_stays_sparse(kind):
    sparse = pytest.importorskip("scipy.sparse")
    x = sparse.random_array((30, 20), density=0.2, rng=0, format="csr")
    x.data[:] = np.round(x.data * 20) - 10
    scaling = Scaling.fit(x, kind)
    out = scaling.apply(x)
    assert out.format == "csr"
    assert out.dtype == np.float32
    assert out.nnz == x.nnz
    dense = x.toarray()
    if kind == "unit":
        expected = dense / np.abs(dense).max()
    elif kind == "standard":
        deviation = dense.std(0)
        expected = dense / np.where(deviation > 0, deviation, 1)
        assert scaling.shift is None
    else:
        expected = dense
    np.testing.assert_allclose(out.toarray(), expected, rtol=8 * EPS)
    empty = sparse.csr_array((3, 20))
    assert Scaling.fit(empty, kind).apply(empty).nnz == 0


@pytest.mark.parametrize("kind", ["unit", "standard", "none"])
def test_stored_exactly(kind):
    x = np.random.default_rng(0).normal(size=(50, 4))
    scaling = Scaling.fit(x, kind)
    expected = scaling.apply(x, np.float64)
    state = json.loads(json.dumps(scaling.to_dict()))
    arrays = scaling.to_arrays()
    for again in (
        Scaling.from_dict(state),
        Scaling.from_arrays(kind, scaling.n_features, arrays),
    ):
        np.testing.assert_array_equal(again.apply(x, np.float64), expected)
        assert again.kind == kind


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"kind": "max"}, "allowed are unit, standard, channels, none"),
        ({"n_features": 0}, "n_features is 0"),
        ({"n_features": 2.0}, "n_features is 2.0"),
        ({"n_features": 3}, "shift has shape"),
        ({"shift": [1.0]}, "shift has shape"),
        ({"shift": [1.0, float("nan")]}, "not finite"),
        ({"divisor": [1.0, 0.0]}, "not positive"),
        ({"divisor": [1.0, -1.0]}, "not positive"),
        ({"divisor": [[1.0, 1.0]]}, "divisor has shape"),
        ({"divisor": "x"}, "damaged"),
        ({"divisor": None}, "divisor has shape"),
    ],
)
def test_damaged_state(change, match):
    x = np.random.default_rng(0).normal(size=(50, 2))
    state = Scaling.fit(x, "standard").to_dict()
    with pytest.raises(ValueError, match=match):
        Scaling.from_dict({**state, **change})
    for key in state:
        with pytest.raises(ValueError, match="damaged"):
            Scaling.from_dict({k: v for k, v in state.items() if k != key})


def test_other_numbers_of_features():
    x = np.zeros((4, 3))
    with pytest.raises(ValueError, match="fitted on 3"):
        Scaling.fit(x).apply(np.zeros((4, 2)))
    with pytest.raises(ValueError, match="at least one sample"):
        Scaling.fit(np.zeros((0, 3)))
    with pytest.raises(ValueError, match="scaling is 'max'; allowed"):
        Scaling.fit(x, "max")
