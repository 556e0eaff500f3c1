"""Batches: every sample once, in a repeatable order, in the layout of the kernels."""

from __future__ import annotations

import time

import numpy as np
import pytest

from sparsenn.data import Scaling, batches
from sparsenn.random import Purpose, Stream


def epoch(number):
    return Stream(0, Purpose.SHUFFLE, step=number)


def numbered(n=103):
    x = np.zeros((n, 2, 3), np.int32)
    x[:, 1, 2] = np.arange(n)
    return x, np.arange(n) * 10


@pytest.mark.parametrize("batch_size", [1, 8, 103, 1000])
@pytest.mark.parametrize("shuffle", [False, True])
def test_every_sample_once(batch_size, shuffle):
    x, y = numbered()
    seen = []
    for xb, yb in batches(x, y, batch_size, stream=epoch(0), shuffle=shuffle):
        assert xb.shape == (len(yb), 6)
        assert xb.dtype == np.float32
        assert xb.flags.f_contiguous
        np.testing.assert_array_equal(xb[:, 5] * 10, yb)
        assert (xb[:, :5] == 0).all()
        seen.extend(xb[:, 5].astype(int).tolist())
    assert sorted(seen) == list(range(103))
    assert (seen == list(range(103))) is not shuffle


def test_drop_last():
    x, y = numbered()
    sizes = [len(yb) for _, yb in batches(x, y, 10, shuffle=False, drop_last=True)]
    assert sizes == [10] * 10
    sizes = [len(yb) for _, yb in batches(x, y, 10, shuffle=False)]
    assert sizes == [10] * 10 + [3]


def test_order_depends_on_the_stream_alone():
    x, y = numbered()

    def order(seed, size):
        parts = [yb for _, yb in batches(x, y, size, stream=epoch(seed))]
        return np.concatenate(parts).tolist()

    assert order(1, 10) == order(1, 7)
    assert order(1, 10) != order(2, 10)


def test_scaling_and_type():
    x = np.arange(20, dtype=np.uint8).reshape(10, 2)
    scaling = Scaling.fit(x)
    parts = [
        xb
        for xb, _ in batches(
            x, np.arange(10), 4, shuffle=False, scaling=scaling, dtype=np.float64
        )
    ]
    out = np.concatenate(parts)
    assert out.dtype == np.float64
    np.testing.assert_array_equal(out, x / 19)


def test_sparse_batches_stay_sparse():
    sparse = pytest.importorskip("scipy.sparse")
    x = sparse.random_array((50, 30), density=0.1, rng=0, format="csr")
    y = np.arange(50)
    rows = np.zeros((50, 30), np.float32)
    for xb, yb in batches(x, y, 8, stream=epoch(0)):
        assert xb.format == "csr"
        assert xb.dtype == np.float32
        assert xb.indices.dtype == np.int32
        rows[yb] = xb.toarray()
    np.testing.assert_array_equal(rows, x.toarray().astype(np.float32))


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"batch_size": 0}, "batch_size is 0"),
        ({"y": np.zeros(3)}, "x has 103 samples, y has 3"),
        ({"shuffle": True}, "needs a stream"),
        ({"scaling": Scaling.fit(np.zeros((2, 5)))}, "fitted on 5"),
    ],
)
def test_bad_arguments(arguments, match):
    x, y = numbered()
    arguments = {"x": x, "y": y, "batch_size": 4, "shuffle": False, **arguments}
    with pytest.raises(ValueError, match=match):
        next(batches(**arguments))


def test_arguments_are_checked_before_the_first_batch():
    x, y = numbered()
    with pytest.raises(ValueError, match="batch_size"):
        batches(x, y, 0, shuffle=False)


def test_time_of_a_batch():
    """Images as large as Fashion-MNIST's: below 0.25 ms a batch of 128."""
    x = np.zeros((20_000, 28, 28), np.uint8)
    y = np.zeros(20_000, np.int64)
    scaling = Scaling("unit", 784, None, np.array([255.0]))
    times = []
    iterator = batches(x, y, 128, stream=epoch(0), scaling=scaling)
    while True:
        # Time of this thread: the machine may be busy with others.
        start = time.thread_time()
        if next(iterator, None) is None:
            break
        times.append(time.thread_time() - start)
    assert len(times) == 157
    assert np.quantile(times, 0.1) < 0.25e-3
