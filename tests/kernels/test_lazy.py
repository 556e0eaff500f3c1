"""Gradients of single columns and lazy SGD, every instruction set."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from kernels.cases import ISAS, REALS, running, same_bits
from numpy.typing import DTypeLike

from sparsenn import _core
from sparsenn.sparse import SparsePattern

everywhere = pytest.mark.parametrize(
    ("isa", "dtype"), [(isa, dtype) for isa in ISAS for dtype in REALS]
)
SHAPES = ((1, 1), (7, 3), (40, 25), (300, 17))


class Weight:
    """Values by column, momentum, and columns that wait since different steps."""

    def __init__(self, rng: np.random.Generator, shape: tuple[int, int], dtype: Any):
        mask = rng.random(shape) < 0.5
        mask[0, 0], mask[-1, -1] = True, False
        self.pattern = SparsePattern.from_mask(mask).stored_by_column()
        self.index = self.pattern.column_index()
        n, n_cols = self.pattern.nnz, shape[1]
        self.now = int(rng.integers(0, 5))
        self.w, self.m = (rng.standard_normal(n).astype(dtype) for _ in range(2))
        self.last = rng.integers(0, self.now + 1, n_cols).astype(np.int32)
        self.power = rng.standard_normal((self.now + 1, 2, 2))
        self.power[self.now] = np.eye(2)
        self.columns = np.flatnonzero(rng.random(n_cols) < 0.5).astype(np.int32)
        start = _core.column_starts(self.index, self.columns)
        self.grad = rng.standard_normal(start[-1]).astype(dtype)
        self.of_slot = self.pattern.positions()[1]
        self.chosen = np.isin(self.of_slot, self.columns)

    def caught_up(self) -> tuple[np.ndarray, np.ndarray]:
        """Values and momentum of the chosen columns made current, float64."""
        p = self.power.astype(self.w.dtype).astype(float)[self.last[self.of_slot]]
        m, w = self.m.astype(float), self.w.astype(float)
        m2, w2 = p[:, 0, 0] * m + p[:, 0, 1] * w, p[:, 1, 0] * m + p[:, 1, 1] * w
        return np.where(self.chosen, w2, w), np.where(self.chosen, m2, m)

    def arguments(self) -> tuple[Any, ...]:
        return self.index, self.w, self.m, self.last, self.power, self.now


def assert_close(got: np.ndarray, want: np.ndarray) -> None:
    """A few operations on numbers of size one to ten."""
    assert np.abs(got - want).max(initial=0) <= 200 * np.finfo(got.dtype).eps


@everywhere
@given(shape=st.sampled_from(SHAPES), seed=st.integers(0, 2**16))
def test_catching_up(
    isa: str, dtype: DTypeLike, shape: tuple[int, int], seed: int
) -> None:
    weight = Weight(np.random.default_rng(seed), shape, dtype)
    w, m = weight.caught_up()
    before, waiting = weight.w.copy(), weight.last.copy()
    with running(isa):
        _core.lazy_catch_up(*weight.arguments(), weight.columns)
    assert_close(weight.w, w)
    assert_close(weight.m, m)
    assert np.array_equal(weight.w[~weight.chosen], before[~weight.chosen])
    waiting[weight.columns] = weight.now
    assert np.array_equal(weight.last, waiting)
    weight.chosen[:] = True
    w, m = weight.caught_up()
    with running(isa):
        _core.lazy_catch_up(*weight.arguments())
    assert_close(weight.w, w)
    assert_close(weight.m, m)
    assert (weight.last == weight.now).all()


@everywhere
@given(
    shape=st.sampled_from(SHAPES),
    seed=st.integers(0, 2**16),
    kind=st.sampled_from(("plain", "momentum", "nesterov")),
)
def test_a_step_on_some_columns(
    isa: str, dtype: DTypeLike, shape: tuple[int, int], seed: int, kind: str
) -> None:
    weight = Weight(np.random.default_rng(seed), shape, dtype)
    if kind == "plain":
        weight.m[:] = 0
        weight.power[:, 0] = 0
    w, m = weight.caught_up()
    arguments = list(weight.arguments())
    if kind == "plain":
        arguments[2] = None
    waiting = weight.last.copy()
    lr, mu, decay = 0.1, 0.0 if kind == "plain" else 0.9, 0.01
    with running(isa):
        _core.lazy_sgd(
            *arguments, weight.columns, weight.grad, lr, mu, decay, kind == "nesterov"
        )
    dense = np.zeros(len(w))
    dense[weight.chosen] = weight.grad
    d = dense + decay * w
    v = mu * m + d
    step = {"plain": d, "momentum": v, "nesterov": d + mu * v}[kind]
    assert_close(weight.w, np.where(weight.chosen, w - lr * step, w))
    if kind != "plain":
        assert_close(weight.m, np.where(weight.chosen, v, m))
    waiting[weight.columns] = weight.now + 1
    assert np.array_equal(weight.last, waiting)


@everywhere
@given(shape=st.sampled_from(SHAPES), seed=st.integers(0, 2**16))
def test_spreading_columns(
    isa: str, dtype: DTypeLike, shape: tuple[int, int], seed: int
) -> None:
    weight = Weight(np.random.default_rng(seed), shape, dtype)
    dense = np.zeros_like(weight.w)
    dense[weight.chosen] = weight.grad
    call = weight.index, weight.columns, weight.grad
    for threads in (1, 3):
        with running(isa, threads):
            assert np.array_equal(_core.spread_columns(*call), dense)
            both = _core.spread_columns(*call, weight.w.copy())
        assert np.array_equal(both, weight.w + dense)


@pytest.mark.parametrize("dtype", REALS)
def test_lazy_steps_do_not_depend_on_threads(dtype: DTypeLike) -> None:
    found = []
    for threads in (1, 2, 3, 7):
        weight = Weight(np.random.default_rng(0), (900, 800), dtype)
        with running(threads=threads):
            _core.lazy_sgd(*weight.arguments(), weight.columns, weight.grad, 0.1, 0.9)
            now = weight.now + 1
            power = np.concatenate([weight.power, np.eye(2)[None]])
            _core.lazy_catch_up(
                weight.index, weight.w, weight.m, weight.last, power, now
            )
        found.append((weight.w, weight.m))
    for w, m in found[1:]:
        assert same_bits(w, found[0][0]) and same_bits(m, found[0][1])


def test_what_is_refused() -> None:
    weight = Weight(np.random.default_rng(1), (40, 25), np.float32)
    index, w, m, last, power, now = weight.arguments()
    by_row = SparsePattern.random((40, 25), 30, seed=0).column_index()
    i4 = np.int32
    for arguments, message in (
        ((by_row, w[:30], None, last, power, now), "stored by column"),
        ((index, w[1:], m, last, power, now), "values has shape"),
        ((index, w, m[1:], last, power, now), "momentum has shape"),
        ((index, w, w, last, power, now), "share memory"),
        ((index, w, m, last[1:], power, now), "last has length 24"),
        ((index, w, m, last, power, len(power)), "power is float64 of shape"),
        ((index, w, m, last, power.astype("f4"), now), "power is float32"),
        ((index, w, m, last, power, -1), "power is"),
        ((index, w, m, last + i4(99), power, now), "refused their arguments"),
        ((index, w, m, last - i4(99), power, now), "refused their arguments"),
        ((index, w, m, last, power, now, np.array([3, 3], i4)), r"columns\[1\] = 3"),
        ((index, w, m, last, power, now, np.array([25], i4)), r"columns\[0\] = 25"),
        ((index, w, m, last, power, now, np.array([-1], i4)), r"columns\[0\] = -1"),
    ):
        before = w.copy()
        with pytest.raises(ValueError, match=message):
            _core.lazy_catch_up(*arguments)
        assert np.array_equal(before, w)
    call = (index, w, m, last, power, now, weight.columns)
    with pytest.raises(ValueError, match="values has shape"):
        _core.spread_columns(index, weight.columns, weight.grad[1:])
    with pytest.raises(ValueError, match="dense has shape"):
        _core.spread_columns(index, weight.columns, weight.grad, w[1:])
    with pytest.raises(ValueError, match="stored by column"):
        _core.spread_columns(by_row, weight.columns, weight.grad)
    with pytest.raises(ValueError, match="grad has shape"):
        _core.lazy_sgd(*call, weight.grad[1:], 0.1)
    with pytest.raises(TypeError, match="grad has dtype float64"):
        _core.lazy_sgd(*call, weight.grad.astype(float), 0.1)
    with pytest.raises(ValueError, match="momentum is None"):
        _core.lazy_sgd(index, w, None, *call[3:], weight.grad, 0.1, 0.9)
