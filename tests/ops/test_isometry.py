"""Errors of isometry against dense Gram matrices; descent; orthogonal starts."""

from __future__ import annotations

import itertools
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsenn import nn, ops
from sparsenn.ops import isometry as module
from sparsenn.random import Purpose, Stream
from sparsenn.sparse import SparsePattern


def weight_of(mask: np.ndarray, seed: int = 0) -> tuple[SparsePattern, np.ndarray]:
    pattern = SparsePattern.from_mask(mask)
    return pattern, np.random.default_rng(seed).normal(size=pattern.nnz)


def dense_error(w: np.ndarray) -> float:
    gram = w.T @ w if w.shape[1] <= w.shape[0] else w @ w.T
    return float(np.sum((gram - np.eye(len(gram))) ** 2))


@settings(max_examples=40)
@given(
    shape=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    density=st.sampled_from([0.1, 0.5, 1.0]),
    seed=st.integers(0, 999),
    by_column=st.booleans(),
    tile=st.sampled_from([1, 60, 1 << 21]),
)
def test_error_and_gradient(
    shape: tuple[int, int], density: float, seed: int, by_column: bool, tile: int
) -> None:
    rng = np.random.default_rng(seed)
    pattern, values = weight_of(rng.random(shape) < density, seed)
    if by_column:
        pattern = pattern.stored_by_column()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_TILE", tile)
        error, gradient = ops.isometry_error(values, pattern)
    w = pattern.to_scipy(values).toarray()
    np.testing.assert_allclose(error, dense_error(w), rtol=1e-10)
    if shape[1] <= shape[0]:
        full = 4 * w @ (w.T @ w - np.eye(shape[1]))
    else:
        full = 4 * (w @ w.T - np.eye(shape[0])) @ w
    scale = np.abs(full).max(initial=1)
    np.testing.assert_allclose(gradient, full[pattern.positions()], atol=1e-12 * scale)


def test_the_gradient_is_a_derivative() -> None:
    pattern, values = weight_of(np.random.default_rng(1).random((9, 6)) < 0.5)
    direction = np.random.default_rng(2).normal(size=pattern.nnz)
    _, gradient = ops.isometry_error(values, pattern)
    h = 1e-5
    up, _ = ops.isometry_error(values + h * direction, pattern)
    down, _ = ops.isometry_error(values - h * direction, pattern)
    np.testing.assert_allclose((up - down) / (2 * h), gradient @ direction, rtol=1e-7)


def test_by_hand() -> None:
    pattern = SparsePattern.from_mask(np.eye(2, dtype=bool))
    error, gradient = ops.isometry_error(np.array([1.0, 0.5]), pattern)
    assert np.sqrt(error) == 0.75
    assert (gradient / (2 * np.sqrt(error))).tolist() == [0.0, -1.0]


def test_floors() -> None:
    assert ops.isometry_floor(SparsePattern.full((5, 3))) == 0
    assert ops.isometry_floor(SparsePattern.empty((5, 3))) == 3
    mask = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0]], bool)
    assert ops.isometry_floor(SparsePattern.from_mask(mask)) == 1
    pattern, values = weight_of(mask)
    assert dense_error(pattern.to_scipy(values).toarray()) >= 1
    assert ops.descend_to_isometry(values, pattern, 500)[1][-1] == pytest.approx(1)


@pytest.mark.parametrize("shape", [(60, 30), (30, 60)])
@pytest.mark.parametrize("squared", [True, False])
def test_descent_reaches_an_isometry(shape: tuple[int, int], squared: bool) -> None:
    mask = np.random.default_rng(0).random(shape) < 0.3
    pattern, values = weight_of(mask)
    lr = None if squared else 0.02
    start = values.copy()
    found, errors = ops.descend_to_isometry(
        values, pattern, 400, lr=lr, squared=squared
    )
    assert np.array_equal(values, start)
    assert len(errors) == 401
    assert errors[0] > 100
    error = dense_error(pattern.to_scipy(found).toarray())
    np.testing.assert_allclose(error, min(errors), rtol=1e-6, atol=1e-12)
    assert error < (2e-3 if squared else 0.4)
    if squared:
        assert all(b <= a for a, b in itertools.pairwise(errors))


@pytest.mark.parametrize("shape", [(7, 4), (4, 7), (5, 5), (0, 3), (3, 0)])
def test_a_full_orthogonal_start(shape: tuple[int, int]) -> None:
    init, stream = nn.init.Orthogonal(1.5), Stream(3, Purpose.TEST)
    pattern = SparsePattern.full(shape)
    values = init(pattern, stream, np.dtype(np.float64), None)
    w = values.reshape(shape) / 1.5
    gram = w.T @ w if shape[1] <= shape[0] else w @ w.T
    np.testing.assert_allclose(gram, np.eye(min(shape)), atol=1e-14)
    some = np.arange(pattern.nnz)[::2]
    assert np.array_equal(init(pattern, stream, np.dtype("f8"), some), values[some])


def test_a_sparse_orthogonal_start() -> None:
    layer = nn.Linear(
        50, 80, 0.2, init=nn.init.Orthogonal(2.0), seed=0, dtype=np.float64
    )
    singular = np.linalg.svd(layer.weight.to_scipy().toarray(), compute_uv=False)
    np.testing.assert_allclose(singular, 2.0, atol=0.1)
    assert layer.weight.nnz == 800
    empty = nn.Linear(50, 80, 0.0, init=nn.init.Orthogonal(), seed=0)
    assert empty.weight.nnz == 0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs RLIMIT_AS")
def test_nothing_dense_is_made() -> None:
    code = """
        import resource
        import numpy as np
        from sparsenn import ops
        from sparsenn.sparse import SparsePattern

        pattern = SparsePattern.random((6000, 8000), 12000, seed=0)
        values = np.random.default_rng(0).normal(size=12000).astype(np.float32)
        with open("/proc/self/statm") as file:
            pages = int(file.read().split()[0])
        limit = pages * resource.getpagesize() + 110 * 10**6  # dense: 192 MB
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        found, errors = ops.descend_to_isometry(values, pattern, 1, lr=1e-3)
        assert errors[1] < errors[0]
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
