"""Arrays carried through a change, against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from sparsenn import _core


@pytest.mark.parametrize("dtype", ["?", "u1", "i2", "i4", "f4", "i8", "f8"])
@pytest.mark.parametrize(("n_in", "n"), [(0, 5), (7, 0), (1, 1), (1000, 200_000)])
def test_remap(dtype, n_in, n):
    rng = np.random.default_rng(n)
    array = rng.integers(0, 100, n_in).astype(dtype)
    source = rng.integers(-1, n_in, n).astype(np.int32)
    expected = np.append(array, np.array([1], dtype))[source]
    former = _core.get_num_threads()
    try:
        for threads in (1, 3):
            _core.set_num_threads(threads)
            result = _core.remap(source, array, 1)
            assert result.dtype == array.dtype
            np.testing.assert_array_equal(result, expected)
    finally:
        _core.set_num_threads(former)


@pytest.mark.parametrize("wrong", [-2, 3, -(2**31), 2**31 - 1])
def test_sources_outside_the_array_are_refused(wrong):
    source = np.array([0, 1, wrong, 2], np.int32)
    with pytest.raises(ValueError, match=rf"source holds {wrong}, .* in -1\.\.2"):
        _core.remap(source, np.zeros(3, np.float32), 0)


def test_what_cannot_be_carried_is_refused():
    source = np.zeros(2, np.int32)
    for array in (np.zeros((2, 2)), np.zeros(2, complex), np.array([None, None])):
        with pytest.raises(TypeError, match="one-dimensional with items of"):
            _core.remap(source, array, 0)
    with pytest.raises(ValueError, match="contiguous"):
        _core.remap(source, np.zeros(4)[::2], 0)
    askew = np.zeros(9, np.float32)[1:].view(np.complex64)
    with pytest.raises(ValueError, match="aligned to its items of 8 bytes"):
        _core.remap(source, askew, 0)
    with pytest.raises(TypeError, match="source has dtype int64"):
        _core.remap(np.zeros(2, np.int64), np.zeros(2), 0)
