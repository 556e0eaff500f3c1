"""Products: values, memory order, and the same bits for any number of threads."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import numpy as np
import pytest

import sparsenn
from sparsenn import blas
from sparsenn.autograd import matmul as module
from sparsenn.autograd.array import as_order, is_activation
from sparsenn.autograd.matmul import matmul

SHAPES = [
    (1, 1, 1),
    (3, 4, 5),
    (1, 2000, 60),
    (64, 1, 300),
    (128, 784, 300),
    (300, 128, 784),
    (7, 5000, 700),
    (700, 3, 5000),
    (90, 4000, 90),
]


@pytest.fixture(autouse=True)
def threads():
    former = sparsenn.get_num_threads()
    yield
    sparsenn.set_num_threads(former)


def operands(m, k, n, dtype, seed=0):
    rng = np.random.default_rng(seed)
    a = np.asfortranarray(rng.standard_normal((m, k)).astype(dtype))
    return a, rng.standard_normal((n, k)).astype(dtype).T


def assert_product(out, a, b):
    """Within the error bound of sums of as many products as there are."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    bound = np.finfo(out.dtype).eps * (a.shape[1] + 2) * (abs(a) @ abs(b))
    assert (abs(out - a @ b) <= bound).all()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("activation", [True, False])
def test_value_and_order(shape, dtype, activation):
    a, b = operands(*shape, dtype)
    out = matmul(a, b, activation)
    assert out.dtype == dtype
    assert as_order(out, activation) is out
    wide_a, wide_b = a.astype(np.float64), b.astype(np.float64)
    # k * eps times the sum of the magnitudes of the terms, for either side
    bound = 2 * shape[1] * np.finfo(dtype).eps * (np.abs(wide_a) @ np.abs(wide_b))
    assert (np.abs(out - wide_a @ wide_b) <= bound).all()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_same_bits_for_any_number_of_threads(shape):
    a, b = operands(*shape, np.float32)
    sparsenn.set_num_threads(1)
    expected = matmul(a, b).tobytes()
    for n in (2, 3, 8):
        sparsenn.set_num_threads(n)
        assert matmul(a, b).tobytes() == expected


def test_large_products_are_shared(monkeypatch):
    a, b = operands(300, 300, 300, np.float32)
    names = set()
    real = np.matmul
    ready = threading.Barrier(2, timeout=10)

    def watched(*args, **kwargs):
        name = threading.current_thread().name
        if name not in names:
            names.add(name)
            ready.wait()  # only passes if two threads take tiles
        return real(*args, **kwargs)

    sparsenn.set_num_threads(2)
    monkeypatch.setattr(module.np, "matmul", watched)
    out = matmul(a, b)
    monkeypatch.undo()
    assert len(names) == 2
    assert_product(out, a, b)


def test_tiles_cover_the_result_once():
    for m, n, k in (
        (96, 1000, 1000),
        (5000, 10, 1000),
        (4096, 4096, 64),
        (40, 50, 10**5),
    ):
        seen = np.zeros((m, n), int)
        tiles = module._tiles(m, n, m * n * k)
        for rows, columns in tiles:
            seen[rows, columns] += 1
        assert (seen == 1).all()
        assert 1 <= len(tiles) <= 16


def test_an_error_in_a_tile_reaches_the_caller(monkeypatch):
    a, b = operands(300, 300, 300, np.float32)

    def failing(*args, **kwargs):
        raise FloatingPointError("tile")

    sparsenn.set_num_threads(2)
    monkeypatch.setattr(module.np, "matmul", failing)
    with pytest.raises(FloatingPointError, match="tile"):
        matmul(a, b)
    monkeypatch.undo()
    assert_product(matmul(a, b), a, b)


def test_strides_that_blas_does_not_take():
    rng = np.random.default_rng(0)
    a = rng.standard_normal((80, 90))[::2, ::3]
    b = np.broadcast_to(rng.standard_normal(30)[:, None], (30, 40))
    np.testing.assert_allclose(matmul(a, b), a @ b, rtol=1e-12)
    np.testing.assert_allclose(matmul(a[::-1], b), (a @ b)[::-1], rtol=1e-12)


def test_empty_extents():
    assert matmul(np.ones((0, 3)), np.ones((3, 2))).shape == (0, 2)
    np.testing.assert_array_equal(
        matmul(np.ones((2, 0)), np.ones((0, 3))), np.zeros((2, 3))
    )
    assert matmul(np.ones((0, 2, 3)), np.ones((3, 2))).shape == (0, 2, 2)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ((5, 3, 4), (5, 4, 2)),
        ((5, 3, 4), (4, 2)),
        ((3, 4), (5, 4, 2)),
        ((2, 1, 3, 4), (5, 4, 2)),
        ((8, 120, 110), (8, 110, 100)),
        ((1, 120, 110), (8, 110, 100)),
    ],
    ids=str,
)
def test_stacks(a, b):
    rng = np.random.default_rng(0)
    x = as_order(rng.standard_normal(a), True)
    y = as_order(rng.standard_normal(b), True)
    results = []
    for n in (1, 3):
        sparsenn.set_num_threads(n)
        results.append(matmul(x, y))
    assert results[0].tobytes() == results[1].tobytes()
    assert is_activation(results[0])
    np.testing.assert_allclose(results[0], np.matmul(x, y), rtol=1e-12, atol=1e-12)


# --- BLAS threads ---------------------------------------------------------------------


def test_one_thread_and_back():
    before = blas.describe()
    for lib in before:
        assert lib["num_threads"] >= 1
        assert os.path.exists(lib["path"])
    with blas.one_thread():
        assert [lib["num_threads"] for lib in blas.describe()] == [1] * len(before)
        with blas.one_thread():
            pass
        assert [lib["num_threads"] for lib in blas.describe()] == [1] * len(before)
    assert blas.describe() == before
    with pytest.raises(KeyError), blas.one_thread():
        raise KeyError
    assert blas.describe() == before


def test_one_thread_is_held_while_any_thread_wants_it():
    before = blas.describe()
    inside, leave = threading.Event(), threading.Event()

    def other():
        with blas.one_thread():
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=other)
    with blas.one_thread():
        thread.start()
        assert inside.wait(10)
    held = [lib["num_threads"] for lib in blas.describe()]
    leave.set()
    thread.join()
    if blas._state.shared:
        assert held == [1] * len(before)
    assert blas.describe() == before


def test_works_without_control(monkeypatch):
    state = blas._State()
    monkeypatch.setattr(blas, "_candidates", list)
    monkeypatch.setattr(blas, "_find_threadpoolctl", list)
    monkeypatch.setattr(blas, "_state", state)
    assert blas.describe() == []
    a, b = operands(300, 300, 300, np.float32)
    assert_product(matmul(a, b), a, b)


PROGRAM = """
import hashlib, numpy as np, sparsenn
from sparsenn.autograd.matmul import matmul
rng = np.random.default_rng(0)
total = hashlib.sha256()
for m, k, n in ((128, 784, 300), (1, 3000, 500), (40, 4000, 30), (300, 128, 784)):
    a = np.asfortranarray(rng.standard_normal((m, k)).astype(np.float32))
    b = rng.standard_normal((n, k)).astype(np.float32).T
    total.update(matmul(a, b).tobytes())
print(total.hexdigest())
"""


def test_same_bits_for_any_number_of_blas_threads():
    digests = set()
    for n in ("1", "2", "5"):
        names = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS")
        env = (
            os.environ
            | dict.fromkeys(names, n)
            | {"PYTHONPATH": os.pathsep.join(sys.path)}
        )
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env=env,
            capture_output=True,
            text=True,
            check=True,
        )
        digests.add(done.stdout.strip())
    assert len(digests) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_fork_after_the_pool_was_used():
    a, b = operands(300, 300, 300, np.float32)
    sparsenn.set_num_threads(2)
    expected = matmul(a, b).tobytes()
    child = os.fork()
    if child == 0:
        same = False
        try:
            sparsenn.set_num_threads(2)
            same = matmul(a, b).tobytes() == expected
        finally:
            os._exit(0 if same else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
