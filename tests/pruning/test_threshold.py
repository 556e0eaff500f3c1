"""Exact thresholds of scores that come in tiles."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from strategies import generators

from sparsenn.pruning import threshold


def floats(rng, n, kind, dtype):
    if kind == "ties":
        return rng.integers(-2, 3, n).astype(dtype)
    if kind == "close":  # one bin of the upper sixteen bits
        return (1 + rng.integers(0, 50, n) * np.finfo(dtype).eps).astype(dtype)
    return rng.standard_normal(n).astype(dtype) * 10.0 ** rng.integers(-9, 9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_keys_are_ordered_as_floats(dtype):
    x = np.array([-np.inf, -2, -1e-30, -0.0, 0.0, 1e-40, 1, np.inf], dtype)
    keys = threshold.as_keys(x)
    assert keys[3] == keys[4]
    assert (np.diff(np.delete(keys, 3).astype(object)) > 0).all()


@given(
    generators(),
    st.integers(1, 200),
    st.sampled_from(("ties", "close", "any")),
    st.sampled_from((np.float32, np.float64)),
    st.sampled_from((0, 3, 1 << 24)),
    st.booleans(),
)
def test_the_kth_largest_is_exact(rng, n, kind, dtype, collect, known):
    x = floats(rng, n, kind, dtype)
    k = int(rng.integers(1, n + 1))
    keys = threshold.as_keys(x)
    parts = np.array_split(keys, 3)
    bits = 8 * x.itemsize
    counts = threshold.histogram(keys, bits - 16) if known else None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threshold, "_COLLECT", collect)
        key, ties = threshold.kth_largest(lambda: parts, bits, k, counts)
    kth = np.sort(x)[::-1][k - 1]
    assert key == threshold.as_keys(np.array([kth]))[0]
    assert ties == k - np.count_nonzero(x > kth)
