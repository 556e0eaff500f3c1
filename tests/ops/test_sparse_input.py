"""Sparse batches in the first layer against dense float64."""

from __future__ import annotations

import pickle
from typing import NamedTuple

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from kernels.cases import running
from scipy import sparse

import sparsenn as snn
from sparsenn import _core, nn, ops
from sparsenn.ops.sparse_input import sparse_input_, sparse_input_grad_
from sparsenn.sparse import SparseGradient, SparsePattern
from tests.strategies import densities, generators, sizes

DTYPES = (np.float32, np.float64)


class Case(NamedTuple):
    """A CSR batch as someone may give it, its dense twin, and a pattern."""

    matrix: sparse.csr_array
    dense: np.ndarray
    pattern: SparsePattern
    rng: np.random.Generator


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Sorted or not, with duplicates, empty rows and columns, any index dtype."""
    batch, n_in, n_out = draw(sizes()), draw(sizes()), draw(sizes())
    rng = draw(generators())
    mask = rng.random((n_out, n_in)) < draw(densities())
    pattern = SparsePattern.from_mask(mask)
    if draw(st.booleans()):
        pattern = pattern.stored_by_column()
    nnz = draw(st.sampled_from((0, 1, 5, 40, 200))) if batch and n_in else 0
    rows = np.sort(rng.integers(0, max(batch, 1), nnz))
    cols = rng.integers(0, max(n_in, 1), nnz)
    if draw(st.booleans()):
        cols = cols[np.lexsort((cols, rows))]
    data = rng.standard_normal(nnz).astype(draw(st.sampled_from(DTYPES)))
    indptr = np.searchsorted(rows, np.arange(batch + 1))
    index = draw(st.sampled_from((np.int32, np.int64)))
    matrix = sparse.csr_array((batch, n_in), dtype=data.dtype)
    matrix.data, matrix.indices = data, cols.astype(index)
    matrix.indptr = indptr.astype(index)
    dense = np.zeros((batch, n_in))
    np.add.at(dense, (rows, cols), data.astype(np.float64))
    return Case(matrix, dense, pattern, rng)


def magnitude(matrix: sparse.csr_array) -> np.ndarray:
    """|entries|, duplicates added up, for error bounds."""
    out = np.zeros(matrix.shape)
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    np.add.at(out, (rows, matrix.indices), np.abs(matrix.data.astype(np.float64)))
    return out


def assert_within(got: np.ndarray, want: np.ndarray, terms: np.ndarray) -> None:
    """|got - want| <= c eps (sum of |terms|), for sums of up to 500 of them."""
    assert got.shape == want.shape
    bound = 500 * np.finfo(got.dtype).eps * terms
    assert (np.abs(got - want) <= bound).all()


@pytest.mark.parametrize("isa", _core.available_isas())
@given(cases(), st.sampled_from(DTYPES), st.sampled_from([None, "relu"]))
def test_forward_and_gradients(
    isa: str, case: Case, dtype: type, activation: str | None
) -> None:
    with running(isa):
        check_forward_and_gradients(case, dtype, activation)


def check_forward_and_gradients(
    case: Case, dtype: type, activation: str | None
) -> None:
    matrix, dense, pattern, rng = case
    n_out, n_in = pattern.shape
    layer = nn.Linear(n_in, n_out, pattern=pattern, seed=0, dtype=dtype)
    layer.bias.data[...] = rng.standard_normal(n_out)
    weight = layer.weight.to_scipy().toarray().astype(np.float64)
    bias = layer.bias.data.astype(np.float64)

    y = layer.forward(ops.SparseBatch(matrix), activation=activation)
    want = dense @ weight.T + bias
    terms = magnitude(matrix) @ np.abs(weight).T + np.abs(bias)
    if activation == "relu":
        want = np.maximum(want, 0)
    assert y.dtype == dtype
    assert_within(y.data, want, terms)

    g = np.asfortranarray(rng.standard_normal(y.shape).astype(dtype))
    y.backward(g)
    dz = g.astype(np.float64)
    if activation == "relu":
        dz = dz * (y.data > 0)
    rows, cols = pattern.positions()
    assert_within(
        layer.weight.grad.data,
        (dz.T @ dense)[rows, cols],
        (np.abs(dz).T @ magnitude(matrix))[rows, cols],
    )
    assert_within(layer.bias.grad.data, dz.sum(0), np.abs(dz).sum(0))
    unused = ~(magnitude(matrix) != 0).any(0)[cols]
    assert not layer.weight.grad.data[unused].any()


@given(cases(), st.sampled_from(DTYPES))
def test_the_two_are_adjoint(case: Case, dtype: type) -> None:
    matrix, _, pattern, rng = case
    static = {"batch": ops.SparseBatch(matrix), "pattern": pattern}
    v = rng.standard_normal(pattern.nnz).astype(dtype)
    y = np.asfortranarray(rng.standard_normal((len(static["batch"]), pattern.shape[0])))
    y = y.astype(dtype)
    a, b = sparse_input_(v, **static).data, sparse_input_grad_(y, **static).data
    terms = np.abs(y).astype(float).T @ magnitude(matrix)
    rows, cols = pattern.positions()
    bound = 2000 * np.finfo(dtype).eps * (terms[rows, cols] @ np.abs(v).astype(float))
    left = np.sum(a.astype(float) * y.astype(float))
    assert abs(left - b.astype(float) @ v.astype(float)) <= bound


@pytest.mark.parametrize("isa", _core.available_isas())
@given(cases())
def test_same_bits_by_row_and_by_column(isa: str, case: Case) -> None:
    with running(isa):
        check_same_bits(case)


def check_same_bits(case: Case) -> None:
    matrix, _, pattern, rng = case
    other = pattern.stored_by_column()
    assert other.same_positions(pattern)
    batch = ops.SparseBatch(matrix)
    v = rng.standard_normal(pattern.nnz).astype(np.float32)
    y = np.asfortranarray(rng.random((len(batch), pattern.shape[0]), np.float32))
    w = other.from_canonical(pattern.to_canonical(v))
    a = sparse_input_.forward(v, batch=batch, pattern=pattern)
    b = sparse_input_.forward(w, batch=batch, pattern=other)
    assert np.array_equal(a, b)
    mixed = sparse.csr_array(matrix)  # walked by sample if sorted, else by column
    mixed.indices = matrix.indices.copy()
    mixed.data = matrix.data.copy()
    for start, end in zip(matrix.indptr[:-1], matrix.indptr[1:], strict=True):
        order = start + np.argsort(matrix.indices[start:end], kind="stable")
        mixed.indices[start:end] = matrix.indices[order]
        mixed.data[start:end] = matrix.data[order]
    b = sparse_input_.forward(w, batch=ops.SparseBatch(mixed), pattern=other)
    assert np.array_equal(a, b)
    a = sparse_input_grad_.forward(y, batch=batch, pattern=pattern)
    b = sparse_input_grad_.forward(y, batch=batch, pattern=other)
    assert np.array_equal(pattern.to_canonical(a), other.to_canonical(b))


@pytest.mark.parametrize("density", [0.05, 1.0])
@pytest.mark.parametrize("by_column", [False, True])
@pytest.mark.parametrize("n_out", [200, 300, 70_000])
def test_same_bits_for_any_number_of_threads(
    density: float, by_column: bool, n_out: int
) -> None:
    rng = np.random.default_rng(0)
    n_in = 600 if n_out < 1000 else 30
    batch = ops.SparseBatch(sparse.random_array((150, n_in), density=0.2, rng=rng))
    pattern = SparsePattern.random((n_out, n_in), round(density * n_in * n_out), seed=1)
    if by_column:
        pattern = pattern.stored_by_column()
    v = rng.standard_normal(pattern.nnz).astype(np.float32)
    dy = np.asfortranarray(rng.standard_normal((150, n_out)).astype(np.float32))
    found = []
    try:
        for threads in (1, 2, 3, 7):
            snn.set_num_threads(threads)
            y = sparse_input_.forward(v, batch=batch, pattern=pattern)
            dv = sparse_input_grad_.forward(dy, batch=batch, pattern=pattern)
            found.append(y.tobytes() + dv.tobytes())
    finally:
        snn.set_num_threads(None)
    assert len(set(found)) == 1
    want = batch.to_dense() @ pattern.to_scipy(v).toarray().T
    assert np.allclose(y, want, rtol=1e-4, atol=1e-4)


@given(cases(), st.sampled_from(DTYPES))
def test_the_gradient_of_a_weight_stored_by_column_is_compact(
    case: Case, dtype: type
) -> None:
    matrix, _, pattern, rng = case
    n_out, n_in = pattern.shape
    pattern = pattern.stored_by_column()
    layer = nn.Linear(n_in, n_out, pattern=pattern, seed=0, dtype=dtype, bias=False)
    batch = ops.SparseBatch(matrix)
    g = np.asfortranarray(rng.standard_normal((len(batch), n_out)).astype(dtype))
    layer(batch).backward(g)
    grad = layer.weight.grad
    if not pattern.by_column:
        assert isinstance(grad, snn.Tensor)
        return
    assert isinstance(grad, SparseGradient)
    assert np.array_equal(grad.columns, np.unique(matrix.indices))
    want = sparse_input_grad_.forward(g, batch=batch, pattern=pattern)
    assert np.array_equal(grad.values, want[grad.slots])
    assert np.array_equal(grad.to_dense(), want)
    assert np.array_equal(
        pattern.positions()[1][grad.slots], np.repeat(grad.columns, np.diff(grad.start))
    )
    assert grad.shape == want.shape and grad.dtype == dtype
    # Whoever does not know the form gets an array, from then on.
    (through,) = snn.grad(layer(batch), [layer.weight.values], gradient=g)
    assert np.array_equal(through.data, want)
    assert np.array_equal(layer.weight.values.grad.data, want)
    assert isinstance(layer.weight.grad, snn.Tensor)


@given(cases(), st.permutations("ssd"))
def test_compact_and_dense_gradients_add_up(case: Case, kinds: list[str]) -> None:
    matrix, dense, pattern, rng = case
    n_out, n_in = pattern.shape
    layer = nn.Linear(
        n_in, n_out, pattern=pattern.stored_by_column(), seed=0, dtype=np.float64
    )
    matrix = matrix.astype(np.float64)
    other = sparse.csr_array(dense * (rng.random(dense.shape) < 0.5))
    g = np.asfortranarray(rng.standard_normal((len(dense), n_out)))
    total, terms = np.zeros((n_out, n_in)), np.zeros((n_out, n_in))
    for i, kind in enumerate(kinds):
        x = matrix if i % 2 else other
        layer(x.toarray() if kind == "d" else x).backward(g)
        total += g.T @ x.toarray()
        terms += np.abs(g).T @ magnitude(x)
    rows, cols = layer.weight.positions()
    assert_within(layer.weight.grad.data, total[rows, cols], terms[rows, cols])
    # Twice in one graph.
    layer.weight.values.grad = None
    (layer(matrix) + layer(other)).backward(g)
    total, terms = (
        g.T @ (dense + other.toarray()),
        np.abs(g).T @ (2 * magnitude(matrix)),
    )
    assert_within(layer.weight.grad.data, total[rows, cols], terms[rows, cols])


def test_a_compact_gradient_shows_what_it_is() -> None:
    layer = nn.Linear(30, 12, 0.2, seed=0, sparse_input=True)
    x = sparse.csr_array(([1.0, 2.0], ([0, 1], [4, 7])), shape=(2, 30))
    layer(x).sum().backward()
    grad = layer.weight.grad
    n = len(grad.values)
    assert repr(grad) == (
        f"SparseGradient(2 of 30 columns, {n} of 72 connections, float32)"
    )
    assert grad.nbytes == 4 * (n + 2 + 3)
    with pytest.raises(ValueError, match="read-only"):
        grad.data[0] = 1
    other = nn.Linear(30, 12, 0.2, seed=1, sparse_input=True)
    other(x).sum().backward()
    with pytest.raises(ValueError, match="cannot be added"):
        grad.plus(other.weight.grad)


def test_nan_and_infinity_pass_through() -> None:
    layer = nn.Linear(3, 2, bias=False, seed=0)
    x = sparse.csr_array(np.array([[np.nan, 0, 0], [0, np.inf, 0], [0, 0, 0]]))
    y = layer.forward(ops.SparseBatch(x), activation="relu").data
    assert np.isnan(y[0]).all()
    assert not np.isfinite(y[1][layer.weight.to_scipy().toarray()[:, 1] > 0]).any()
    assert not y[2].any()


@pytest.mark.parametrize("sparse_input", [False, True])
def test_factors_of_a_sparse_batch_stay_sparse(sparse_input: bool) -> None:
    rng = np.random.default_rng(0)
    layer = nn.Linear(30, 12, 0.2, seed=0, dtype=np.float64, sparse_input=sparse_input)
    layer.weight.factors = []
    x = sparse.random_array((9, 30), density=0.2, rng=rng).tocsr()
    (layer(x) ** 2).sum().backward()
    (layer(x.toarray()) ** 2).sum().backward()
    (dy, b), (dense_dy, dense_b) = layer.weight.factors
    assert isinstance(b, ops.SparseBatch)
    pattern = layer.weight.pattern
    one, two = ops.OuterSum([(dy, b)]), ops.OuterSum([(dense_dy, dense_b)])
    np.testing.assert_allclose(one.on(pattern), two.on(pattern), atol=1e-12)
    for (_, s), (_, t) in zip(one.tiles(), two.tiles(), strict=True):
        np.testing.assert_allclose(s, t, atol=1e-12)
    found = one.largest_outside(pattern, 20)
    for a, b in zip(found, two.largest_outside(pattern, 20), strict=True):
        assert np.array_equal(a, b)


@pytest.mark.parametrize("sparse_input", [False, True])
def test_a_layer_takes_dense_and_sparse_batches(sparse_input: bool) -> None:
    rng = np.random.default_rng(0)
    x = sparse.random_array((9, 30), density=0.2, rng=rng).tocsr()
    model = nn.Sequential(
        nn.Linear(30, 12, 0.2, seed=0, dtype=np.float64, sparse_input=sparse_input),
        nn.ReLU(),
        nn.Linear(12, 3, seed=1, dtype=np.float64),
    )
    results = []
    for given_ in (x, x.toarray(), x.tocsc(), sparse.csr_matrix(x)):
        y = model(given_)
        (y**2).sum().backward()
        results.append((y.data, model[0].weight.grad.data))
        model[0].weight.values.grad = None
    for y, g in results[1:]:
        np.testing.assert_allclose(y, results[0][0], atol=1e-13)
        np.testing.assert_allclose(g, results[0][1], atol=1e-13)


def test_modules_that_are_not_first_layers_get_a_dense_batch() -> None:
    x = sparse.csr_array(np.array([[0.0, -1.0], [2.0, 0.0]]))
    assert np.array_equal(nn.ReLU()(x).data, [[0, 0], [2, 0]])
    assert np.array_equal(nn.Sequential(nn.ReLU())(x).data, [[0, 0], [2, 0]])


def test_second_derivatives() -> None:
    rng = np.random.default_rng(0)
    layer = nn.Linear(30, 12, 0.3, seed=0, dtype=np.float64, sparse_input=True)
    x = sparse.random_array((9, 30), density=0.2, rng=rng).tocsr()
    v = layer.weight.values
    found = []
    for batch in (x, x.toarray()):
        (g,) = snn.grad((layer(batch) ** 3).sum(), [v], create_graph=True)
        (h,) = snn.grad((g * g).sum(), [v])
        found.append(h.data)
    np.testing.assert_allclose(found[0], found[1], rtol=1e-10)


@given(cases())
def test_a_batch_knows_its_dense_twin(case: Case) -> None:
    batch = ops.SparseBatch(case.matrix)
    assert batch.shape == case.dense.shape
    assert batch.nnz == len(case.matrix.data)
    eps = np.finfo(batch.dtype).eps
    error = np.abs(batch.to_dense() - case.dense)
    assert (error <= 200 * eps * magnitude(case.matrix)).all()


def test_the_index_is_counted_and_storing_by_column_needs_none() -> None:
    pattern = SparsePattern.random((300, 2000), 60_000, seed=0)
    before = pattern.nbytes
    pattern.column_index()
    assert pattern.nbytes - before == 6 * 60_000 + 4 * 2001
    stored = pattern.stored_by_column()
    stored.column_index()
    assert stored.nbytes == 2 * 60_000 + 4 * 2001
    assert pickle.loads(pickle.dumps(stored)).by_column
    full = SparsePattern.full((3, 4))
    full.column_index()
    assert full.nbytes == 0


# ---------------------------------------------------------------- errors


def csr(indptr: list, indices: list, data: list, shape: tuple) -> sparse.csr_array:
    """CSR arrays that scipy has not looked at."""
    matrix = sparse.csr_array(shape)
    matrix.indptr = np.array(indptr, np.int64)
    matrix.indices, matrix.data = np.array(indices, np.int64), np.array(data, float)
    return matrix


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (csr([0, 1], [3], [1], (1, 3)), r"indices\[0\] = 3 in row 0 lies outside 0..2"),
        (csr([0, 1], [-1], [1], (1, 3)), "indices holds -1"),
        (csr([0, 1], [2**31], [1], (1, 3)), "indices holds 2147483648"),
        (csr([1, 1], [0], [1], (1, 3)), r"indptr\[0\] is 1, it must be 0"),
        (csr([0, 2, 1], [0, 1], [1, 1], (2, 3)), "decreases from 2 to 1 at row 1"),
        (csr([0, 3], [0], [1], (1, 3)), "indptr ends at 3, there are 1 indices"),
        (csr([0, 1, 1], [0], [1], (1, 3)), r"length 3, it must be batch \+ 1 = 2"),
        (csr([0, 1], [0], [1, 2], (1, 3)), r"data has shape \(2,\)"),
    ],
)
def test_bad_csr_is_refused(matrix: sparse.csr_array, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        nn.Linear(3, 2, seed=0)(matrix)


def test_wrong_features_and_dtypes_are_refused() -> None:
    layer = nn.Linear(3, 2, 0.5, seed=0)
    with pytest.raises(ValueError, match="has 4 features, a weight of shape"):
        layer(sparse.csr_array((2, 4)))
    with pytest.raises(TypeError, match="real numbers, got dtype complex"):
        layer(sparse.csr_array((2, 3), dtype=complex))
    with pytest.raises(TypeError, match="made of a scipy sparse array, got list"):
        ops.SparseBatch([1])
    with pytest.raises(ValueError, match=r"\(samples, features\), got \(3,\)"):
        ops.SparseBatch(sparse.coo_array(np.ones(3)))


def test_the_core_checks_what_it_is_given() -> None:
    index = _core.ColumnIndex(SparsePattern.random((4, 3), 5, seed=0).layout)
    batch = _core.BatchColumns(
        (2, 3), np.array([0, 1, 2], "i4"), np.array([0, 2], "i4")
    )
    v, x = np.ones(5, "f4"), np.ones(2, "f4")
    dy = np.ones((2, 4), "f4", order="F")
    for arguments, message in (
        ((index, v[:4], batch, x), "values has shape"),
        ((index, v, batch, x[:1]), "x has shape"),
        ((index, v, batch, x, v), "bias has shape"),
        ((index, v, batch, x, None, 2), "activation is 2"),
        ((_core.ColumnIndex(shape=(4, 2)), v, batch, x), "has 3 features"),
    ):
        with pytest.raises(ValueError, match=message):
            _core.sparse_input(*arguments)
    with pytest.raises(TypeError, match="x has dtype float64"):
        _core.sparse_input(index, v, batch, x.astype("f8"))
    with pytest.raises(ValueError, match="the batch has 2 samples"):
        _core.sparse_input_grad(index, batch, x, dy[:1])
    with pytest.raises(ValueError, match="dy has shape"):
        _core.sparse_input_grad(index, batch, x, dy[:, :3])
    with pytest.raises(ValueError, match="give a layout, or the shape"):
        _core.ColumnIndex()
    with pytest.raises(ValueError, match="more than 2147483647 connections"):
        _core.ColumnIndex(shape=(2**20, 2**20))
    wide = SparsePattern.random((1, 1000), 10, seed=0).layout
    if wide.n_blocks == 1:
        wide = _core.csr_to_layout(
            (1, 1000), wide.indptr, wide.columns.astype("i4"), 128, 1
        )[0]
    with pytest.raises(ValueError, match="blocks, expected 1"):
        _core.ColumnIndex(wide, transposed=True)
