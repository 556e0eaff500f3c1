"""Winners and the products of events: every instruction set against float64."""

from __future__ import annotations

import pickle
from typing import NamedTuple

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import example, given
from kernels.cases import ISAS, REALS, assert_near, feature_major, running, same_bits
from numpy.typing import DTypeLike

from sparsenn import _core
from sparsenn.sparse import SparsePattern

SPECIAL = (np.nan, -np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 2.0, 1e-45, 3e38)
BATCHES = (1, 2, 3, 8, 15, 16, 17, 33, 64, 65)


def twin(scores: np.ndarray, k: int) -> np.ndarray:
    """The winners of each row by sorting: NaN first, then value, then index."""
    number = np.where(np.isnan(scores), 0, scores).astype(np.float64) + 0.0
    found = []
    for row, absent in zip(number, np.isnan(scores), strict=True):
        order = np.lexsort((np.arange(len(row)), -row, ~absent))
        found.append(np.sort(order[:k]))
    return np.array(found, dtype=int).reshape(len(scores), k)


class Choice(NamedTuple):
    """Scores to choose from: `kind` says how they are distributed."""

    batch: int
    n: int
    k: int
    kind: str
    seed: int
    gap: int

    def scores(self, dtype: DTypeLike) -> np.ndarray:
        rng = np.random.default_rng(self.seed)
        shape = self.batch, self.n
        if self.kind == "special":
            return rng.choice(np.array(SPECIAL, np.float64), shape).astype(dtype)
        if self.kind == "equal":
            return np.full(shape, rng.choice([0.0, -1.5, np.inf]), dtype)
        x = rng.standard_normal(shape)
        if self.kind == "zeros":
            x = np.maximum(x, 0)
        if self.kind == "wide":
            least = -300 if dtype == np.float64 else -38
            x = x * 10.0 ** rng.integers(least, 30, shape)
        return x.astype(dtype)


@st.composite
def choices(draw: st.DrawFn) -> Choice:
    n = draw(st.sampled_from((1, 2, 7, 8, 16, 17, 31, 33, 64, 100, 257)))
    k = draw(st.integers(0, n))
    kind = draw(st.sampled_from(("normal", "zeros", "wide", "special", "equal")))
    batch = draw(st.sampled_from(BATCHES[:7]))
    return Choice(batch, n, k, kind, draw(st.integers(0, 99)), draw(st.integers(0, 3)))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", REALS)
@given(choices())
@example(Choice(20, 4096, 82, "normal", 0, 0))
@example(Choice(3, 2000, 30, "zeros", 0, 5))
@example(Choice(1, 40, 20, "equal", 0, 0))
def test_the_largest_win(isa: str, dtype: DTypeLike, choice: Choice) -> None:
    x = choice.scores(dtype)
    with running(isa):
        found = _core.k_winners(feature_major(x, choice.gap), choice.k)
    assert found.shape == x.shape
    assert found.count == choice.batch * choice.k
    assert np.array_equal(found.start, np.arange(choice.batch + 1) * choice.k)
    features = found.features.reshape(choice.batch, choice.k)
    assert np.array_equal(features, twin(x, choice.k))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", REALS)
def test_boosts_decide_who_wins(isa: str, dtype: DTypeLike) -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((9, 70)).astype(dtype)
    boost = np.exp(rng.standard_normal(70)).astype(dtype)
    with running(isa):
        found = _core.k_winners(feature_major(x), 11, boost)
    assert np.array_equal(found.features.reshape(9, 11), twin(x * boost, 11))
    assert not np.array_equal(found.features.reshape(9, 11), twin(x, 11))


class Problem(NamedTuple):
    """A weight and a batch of events; `gap` elements lie between features."""

    pattern: SparsePattern
    events: _core.Events
    seed: int
    gap: int

    def arrays(self, dtype: DTypeLike) -> tuple[np.ndarray, ...]:
        """values, x, dy, bias; x is not zero outside the events."""
        rng = np.random.default_rng(self.seed)
        batch, (n_out, n_in) = self.events.shape[0], self.pattern.shape
        values, bias, x, dy = (
            rng.standard_normal(s).astype(dtype)
            for s in (self.pattern.nnz, n_out, (batch, n_in), (batch, n_out))
        )
        return values, feature_major(x, self.gap), feature_major(dy, self.gap), bias

    def kept(self, x: np.ndarray) -> np.ndarray:
        """x at the events, float64."""
        out = np.zeros(x.shape)
        where = np.repeat(np.arange(len(x)), np.diff(self.events.start))
        out[where, self.events.features] = x[where, self.events.features]
        return out

    def dense(self, values: np.ndarray) -> np.ndarray:
        return self.pattern.to_scipy(values).toarray().astype(np.float64)


def problem(
    shape: tuple[int, int],
    density: float,
    batch: int,
    active: float,
    by_column: bool,
    seed: int = 0,
    gap: int = 0,
) -> Problem:
    """Events of any number a sample, the first sample's all, the second's none."""
    rng = np.random.default_rng(seed)
    n_out, n_in = shape
    nnz = min(round(density * n_out * n_in), n_out * n_in - 1)
    pattern = SparsePattern.random(shape, nnz, seed=seed)
    if by_column:
        pattern = pattern.stored_by_column()
    mask = rng.random((batch, n_in)) < active
    mask[:1], mask[1:2] = True, False
    start = np.concatenate([[0], np.cumsum(mask.sum(1))]).astype(np.int32)
    features = np.nonzero(mask)[1].astype(np.int32)
    return Problem(pattern, _core.Events((batch, n_in), start, features), seed, gap)


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    size = st.sampled_from((1, 2, 5, 16, 17, 33, 130))
    return problem(
        (draw(size), draw(size)),
        draw(st.sampled_from((0.0, 0.02, 0.1, 0.4, 1.0))),
        draw(st.sampled_from(BATCHES)),
        draw(st.sampled_from((0.0, 0.05, 0.5))),
        draw(st.booleans()),
        draw(st.integers(0, 99)),
        draw(st.sampled_from((0, 1, 5))),
    )


LARGE = problem((1500, 500), 0.1, 66, 0.2, False, gap=2)
WIDE = problem((66_000, 10), 0.02, 3, 0.5, True)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", REALS)
@given(problems(), st.booleans(), st.booleans())
@example(LARGE, True, True)
@example(WIDE, True, False)
def test_forward(
    isa: str, dtype: DTypeLike, p: Problem, relu: bool, with_bias: bool
) -> None:
    values, x, _, bias = p.arrays(dtype)
    index = p.pattern.column_index()
    with running(isa):
        y = _core.event_spmm(
            index, values, p.events, x, bias if with_bias else None, int(relu)
        )
    w, kept = p.dense(values), p.kept(x)
    start = bias.astype(np.float64) * with_bias
    exact = kept @ w.T + start
    magnitude = np.abs(kept) @ np.abs(w).T + np.abs(start)
    exact = np.maximum(exact, 0) if relu else exact
    assert_near(y, exact, magnitude, w.shape[1] + 1)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", REALS)
@given(problems())
@example(LARGE)
@example(WIDE)
def test_backward(isa: str, dtype: DTypeLike, p: Problem) -> None:
    values, x, dy, _ = p.arrays(dtype)
    index = p.pattern.column_index()
    with running(isa):
        dx, dvalues = _core.event_backward(index, values, p.events, dy, x)
        only_dx, nothing = _core.event_backward(index, values, p.events, dy)
        none, only_dvalues = _core.event_backward(index, None, p.events, dy, x, False)
    assert nothing is None
    assert none is None
    assert same_bits(dx, only_dx)
    assert same_bits(dvalues, only_dvalues)
    w, kept, wide = p.dense(values), p.kept(x), dy.astype(np.float64)
    mask = p.kept(np.ones(x.shape))
    assert_near(dx, wide @ w * mask, np.abs(wide) @ np.abs(w), w.shape[0])
    assert not dx[mask == 0].any()
    rows, cols = p.pattern.positions()
    exact = (wide.T @ kept)[rows, cols]
    magnitude = (np.abs(wide).T @ np.abs(kept))[rows, cols]
    assert_near(dvalues, exact, magnitude, len(x))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("by_column", [False, True])
@pytest.mark.parametrize(("batch", "active"), [(1, 0.3), (5, 0.02), (70, 0.3)])
def test_same_bits_for_any_number_of_threads_and_storage(
    isa: str, by_column: bool, batch: int, active: float
) -> None:
    p = problem((900, 1500), 0.1, batch, active, by_column)
    values, x, dy, bias = p.arrays(np.float32)
    rows = SparsePattern(p.pattern.shape, *p.pattern.csr())
    found = []
    for threads in (1, 2, 3, 7):
        with running(isa, threads):
            index = p.pattern.column_index()
            y = _core.event_spmm(index, values, p.events, x, bias)
            dx, dv = _core.event_backward(index, values, p.events, dy, x)
            e = _core.k_winners(x, 40)
            found.append((y, dx, p.pattern.to_canonical(dv), e.features))
            v = rows.from_canonical(p.pattern.to_canonical(values))
            y = _core.event_spmm(rows.column_index(), v, p.events, x, bias)
            dx, dv = _core.event_backward(rows.column_index(), v, p.events, dy, x)
            found.append((y, dx, rows.to_canonical(dv), e.features))
    for other in found[1:]:
        assert all(same_bits(a, b) for a, b in zip(found[0], other, strict=True))


@pytest.mark.parametrize("dtype", REALS)
def test_nonzeros_of_a_sample(dtype: DTypeLike) -> None:
    x = np.array([[0, -0.0, 1, np.nan, 0, -np.inf, 5e-324, 0]], dtype)
    want = np.nonzero(x)[1]
    for given_ in (x, feature_major(x, 2), np.zeros((1, 0), dtype)):
        events = _core.nonzeros(given_)
        assert events.shape == given_.shape
        assert np.array_equal(events.features, want if given_.size else [])
        assert events.count == len(events.features)
    with pytest.raises(ValueError, match="there are 1 samples"):
        _core.nonzeros(np.zeros((2, 3), dtype, "F"))
    with pytest.raises(ValueError, match=r"expected \(1, n\)"):
        _core.nonzeros(np.zeros(3, dtype))


def test_the_result_can_be_written_into_an_array() -> None:
    p = problem((30, 20), 0.3, 4, 0.3, True, gap=1)
    values, x, dy, bias = p.arrays(np.float32)
    index = p.pattern.column_index()
    want = _core.event_spmm(index, values, p.events, x, bias)
    out = feature_major(dy, 3)
    assert _core.event_spmm(index, values, p.events, x, bias, 0, out) is out
    assert np.array_equal(out, want)
    row = np.full((1, 60), 7, np.float32)
    one = _core.k_winners(x[:1], 3)
    narrow = _core.event_spmm(index, values, one, x[:1], bias, 0, row[:, ::2])
    assert np.array_equal(narrow, _core.event_spmm(index, values, one, x[:1], bias))
    assert (row[:, 1::2] == 7).all()


def test_keep_and_pickle() -> None:
    p = problem((5, 20), 0.3, 4, 0.3, True)
    x = p.arrays(np.float64)[1]
    assert np.array_equal(_core.keep(p.events, x), p.kept(x))
    again = pickle.loads(pickle.dumps(p.events))
    assert again.shape == p.events.shape
    assert np.array_equal(again.start, p.events.start)
    assert np.array_equal(again.features, p.events.features)
    assert again.nbytes == 4 * (5 + p.events.count)
    assert "count=" in repr(again)


def test_events_cannot_be_changed() -> None:
    x = np.eye(5, dtype=np.float32, order="F")
    start, features = np.array([0, 1], np.int32), np.array([2], np.int32)
    made = _core.Events((1, 5), start, features)
    start[1], features[0] = 7, 9
    assert made.count == 1
    for events in (made, _core.k_winners(x, 2), _core.nonzeros(x[:1])):
        for array in (events.start, events.features):
            with pytest.raises(ValueError, match="cannot set WRITEABLE"):
                array.flags.writeable = True


@pytest.mark.parametrize(
    ("start", "features", "message"),
    [
        ([0, 1], [0], r"indptr has length 2, it must be n_rows \+ 1 = 3"),
        ([0, 2, 1], [0], "decreases from 2 to 1"),
        ([0, 1, 2], [0, 5], "lies outside 0..4"),
        ([0, 1, 2], [0, -1], "lies outside 0..4"),
        ([0, 2, 2], [1, 1], "must increase strictly"),
        ([0, 1, 1], [0, 1], "must be the number of indices"),
    ],
)
def test_bad_events_are_refused(start: list, features: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _core.Events((2, 5), np.array(start, np.int32), np.array(features, np.int32))


def test_bad_arguments_are_refused() -> None:
    p = problem((6, 5), 0.5, 2, 0.5, True)
    values, x, dy, bias = p.arrays(np.float32)
    index, e = p.pattern.column_index(), p.events
    full = _core.ColumnIndex(shape=(6, 5))
    other = _core.Events((2, 4), np.zeros(3, np.int32), np.zeros(0, np.int32))
    read_only = np.zeros((2, 6), np.float32, "F")
    read_only.flags.writeable = False
    for arguments, message in (
        ((index, values[1:], e, x), "values has shape"),
        ((index, values, e, x[:, 1:]), "x has shape"),
        ((index, values, e, x[:1]), "there are 2 samples"),
        ((index, values, e, np.ascontiguousarray(x)), "feature-major"),
        ((index, values, e, x, bias[1:]), "bias has shape"),
        ((index, values, e, x, bias, 2), "activation is 2"),
        ((index, values, e, x, bias, 0, x), "out has shape"),
        ((index, values, e, x, bias, 0, read_only), "read-only"),
        ((index, values, other, x), "of 4 features"),
        ((full, np.zeros(30, np.float32), e, x), "full weight"),
    ):
        with pytest.raises(ValueError, match=message):
            _core.event_spmm(*arguments)
    for arguments, message in (
        ((index, values, e, dy[:1]), "there are 2 samples"),
        ((index, values, e, dy, x[:, 1:]), "x has shape"),
        ((index, values[1:], e, dy), "values has shape"),
    ):
        with pytest.raises(ValueError, match=message):
            _core.event_backward(*arguments)
    with pytest.raises(ValueError, match="needs the values"):
        _core.event_backward(index, None, e, dy, x)
    for k in (-1, 6):
        with pytest.raises(ValueError, match=r"there are 0\.\.5 features"):
            _core.k_winners(x, k)
    with pytest.raises(ValueError, match="boost has shape"):
        _core.k_winners(x, 1, bias)
    with pytest.raises(ValueError, match=r"expected \(batch, n\)"):
        _core.k_winners(values, 1)
    for bad in (x.astype(np.float64), x.astype(">f4"), x.astype(np.int32)):
        with pytest.raises(TypeError, match="x has dtype"):
            _core.event_spmm(index, values, e, bad)
    with pytest.raises(TypeError, match="immutable"):
        e.__init__((0, 0), np.zeros(1, np.int32), np.zeros(0, np.int32))
    blank = _core.Events.__new__(_core.Events)
    assert blank.count == 0


def test_no_gradient_at_all():
    full = np.ones((3, 2))
    layout = _core.Layout(
        (3, 2), 2, np.array([0, 2, 4, 6], np.int32), np.array([0, 1] * 3, np.int32)
    )
    events = _core.Events(
        (2, 2), np.array([0, 1, 2], np.int32), np.array([0, 1], np.int32)
    )
    dy = np.ones((2, 3), order="F")
    found = _core.event_backward(
        _core.ColumnIndex(layout), full.ravel(), events, dy, None, False
    )
    assert found == (None, None)


def test_a_weight_of_no_rows_by_column():
    # Its transposed layout has no blocks, hence a single row pointer.
    zero, none = np.zeros(1, np.int32), np.zeros(0, np.float32)
    layout = _core.Layout((5, 0), 1, zero, np.zeros(0, np.int32))
    index = _core.ColumnIndex(layout, transposed=True)
    assert index.shape == (0, 5)
    columns = np.arange(5, dtype=np.int32)
    assert not _core.column_starts(index, columns).any()
    assert _core.spread_columns(index, columns, none).shape == (0,)
    events = _core.Events((1, 5), np.array([0, 1], np.int32), columns[4:])
    x = np.ones((1, 5), np.float32)
    assert _core.event_spmm(index, none, events, x).shape == (1, 0)
    dx, dvalues = _core.event_backward(index, none, events, x[:, :0], x)
    assert not dx.any()
    assert dvalues.shape == (0,)
