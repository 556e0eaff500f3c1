"""LAMP, Wanda and N:M against dense references and known answers."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from sparsenn import nn, optim, pruning
from sparsenn.pruning.lamp import lamp_scores
from sparsenn.pruning.quotas import even_quotas
from sparsenn.sparse import SparsePattern, largest_in_groups


def net(seed: int, *sizes: int, density: float = 1.0) -> nn.Sequential:
    layers: list[nn.Module] = []
    for i, (n_in, n_out) in enumerate(itertools.pairwise(sizes)):
        layers += [
            nn.Linear(n_in, n_out, density, seed=seed, number=i, dtype=np.float64),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers[:-1])


def dense(param: object) -> np.ndarray:
    return param.to_scipy().toarray()  # type: ignore[attr-defined]


# ------------------------------------------------------------------------------ LAMP


@given(values=st.lists(st.integers(-4, 4), max_size=12))
def test_lamp_scores_follow_the_definition(values: list[int]) -> None:
    w = np.array(values, np.float32)
    squares = w.astype(float) ** 2
    expected = [
        s / squares[squares >= s].sum() if squares.sum() else 0.0 for s in squares
    ]
    np.testing.assert_allclose(lamp_scores(w), expected, rtol=1e-14)


def test_lamp_scores_of_tiny_and_huge_weights() -> None:
    np.testing.assert_allclose(lamp_scores(np.array([3e-30, 4e-30], "f4")), [0.36, 1.0])
    np.testing.assert_allclose(lamp_scores(np.array([3e30, 4e30], "f4")), [0.36, 1.0])


@settings(max_examples=30)
@given(seed=st.integers(0, 99), share=st.floats(0, 1))
def test_lamp_keeps_the_best_scores_and_every_layer(seed: int, share: float) -> None:
    model = net(seed, 6, 9, 4, 3, density=0.8)
    params = model.chain()
    before = [dense(p) for p in params]
    positions = sum(w.size for w in before)
    density = 0.8 * share
    result = pruning.lamp(model, density)
    total = round(density * positions)
    assert result.after == sum(p.nnz for p in params) == total
    assert all(p.nnz for p in params) == (total >= 3)
    kept, lost = [], []
    for old, param in zip(before, params, strict=True):
        new = dense(param)
        squares = old**2
        for position in np.argwhere(old):
            i, j = position
            score = squares[i, j] / squares[squares >= squares[i, j]].sum()
            (kept if new[i, j] else lost).append(score)
            assert new[i, j] in (0, old[i, j])
    assert min(kept, default=1) >= max(lost, default=0) - 1e-12


# ------------------------------------------------------------------------------ Wanda


def test_wanda_by_hand() -> None:
    layer = nn.Linear(3, 2, seed=0, dtype=np.float64)
    layer.weight.values.data[:] = [3, -1, 2, 0.5, 4, -1]
    x = np.diag([1.0, 5.0, 2.0])  # norms 1, 5, 2: scores [[3, 5, 4], [.5, 20, 2]]
    pruning.wanda(layer, [x], 2 / 3)
    assert dense(layer.weight).tolist() == [[0, -1, 2], [0, 4, -1]]
    pruning.wanda(layer, [x], 1 / 3, per_row=False)
    assert dense(layer.weight).tolist() == [[0, -1, 0], [0, 4, 0]]


@settings(max_examples=25)
@given(
    seed=st.integers(0, 99),
    share=st.floats(0.05, 1),
    per_row=st.booleans(),
    sparse_batches=st.booleans(),
    start=st.sampled_from([1.0, 0.6]),
)
def test_wanda_layer_by_layer_is_the_dense_one(
    seed: int, share: float, per_row: bool, sparse_batches: bool, start: float
) -> None:
    model = net(seed, 8, 10, 7, 3, density=start)
    model.layers.insert(1, nn.Dropout(0.5, seed=0))
    rng = np.random.default_rng(seed)
    batches = [rng.normal(size=(5, 8)) * (rng.random((5, 8)) < 0.5) for _ in range(3)]
    x = np.concatenate(batches)
    old = [dense(p) for p in model.chain()]
    density = start * share
    if sparse_batches:
        pruning.wanda(model, (sparse.csr_array(b) for b in batches), density)
        per_row = True
    else:
        pruning.wanda(model, [(b, None) for b in batches], density, per_row=per_row)
    assert model.training and model.layers[1].calls[0] == 0
    assert sum(p.nnz for p in model.chain()) == round(density * 80 + density * 91)
    biases = [m.bias.data for m in model.layers if isinstance(m, nn.Linear)]
    for w, bias, param in zip(old, biases, model.chain(), strict=True):
        new = dense(param)
        scores = np.abs(w) * np.linalg.norm(x, axis=0)
        keep = new != 0
        assert np.array_equal(new[keep], w[keep]), "a value changed"
        if per_row:
            counts, present = keep.sum(axis=1), (w != 0).sum(axis=1)
            open_ = counts[counts < present]
            assert np.ptp(open_) <= 1 if len(open_) else True
            for row, kept, there in zip(scores, keep, w != 0, strict=True):
                lost = there & ~kept
                assert not lost.any() or row[kept].min(initial=9e9) >= row[lost].max()
        else:
            lost = (w != 0) & ~keep
            assert not lost.any() or scores[keep].min(initial=9e9) >= scores[lost].max()
        x = np.maximum(x @ new.T + bias, 0)


def test_entries_given_twice_add_up() -> None:
    layer = nn.Linear(2, 1, seed=0, dtype=np.float64)
    layer.weight.values.data[:] = [1.0, 1.5]
    twice = sparse.csr_array(([1.0, 1.0, 1.0], ([0, 0, 0], [0, 0, 1])), shape=(1, 2))
    pruning.wanda(layer, [twice], 0.5)  # norms 2 and 1
    assert dense(layer.weight).tolist() == [[1.0, 0.0]]


def test_wanda_says_what_is_wrong() -> None:
    layer = nn.Linear(3, 2, seed=0)
    with pytest.raises(ValueError, match="no batch reached 'weight'"):
        pruning.wanda(layer, [], 0.5)
    with pytest.raises(ValueError, match="input 1 of 'weight' is not finite"):
        pruning.wanda(layer, [np.array([[0, np.inf, 0]], np.float32)], 0.5)
    assert layer.weight.observer is None
    assert layer.weight.nnz == 6


@given(counts=st.lists(st.integers(0, 9), max_size=6), share=st.floats(0, 1))
def test_rows_share_evenly(counts: list[int], share: float) -> None:
    total = int(share * sum(counts))
    quotas = even_quotas(np.array(counts, int), total)
    assert quotas.sum() == total
    assert all(q <= c for q, c in zip(quotas, counts, strict=True))
    below = [q for q, c in zip(quotas, counts, strict=True) if q < c]
    if below:
        assert max(quotas) <= min(below) + 1


# -------------------------------------------------------------------------------- N:M


@settings(max_examples=50)
@given(
    seed=st.integers(0, 99),
    shape=st.tuples(st.integers(0, 6), st.integers(0, 17)),
    m=st.integers(1, 6),
    n=st.integers(0, 6),
    density=st.sampled_from([1.0, 0.5]),
    by_column=st.booleans(),
    ties=st.booleans(),
)
def test_n_of_every_m(
    seed: int,
    shape: tuple[int, int],
    m: int,
    n: int,
    density: float,
    by_column: bool,
    ties: bool,
) -> None:
    n = min(n, m)
    layer = nn.Linear(
        shape[1], shape[0], density, seed=seed, dtype=np.float64, sparse_input=by_column
    )
    if ties:
        values = np.random.default_rng(seed).integers(1, 3, layer.weight.nnz)
        layer.weight.values.data[:] = values
    old = dense(layer.weight)
    opt = optim.SGD(layer.parameters(), lr=0.1, momentum=0.9)
    opt.state(layer.weight)["momentum"][:] = layer.weight.values.data
    pruning.n_m(layer, n, m, optimizer=opt)
    expected = np.zeros_like(old)
    for i in range(shape[0]):
        for first in range(0, shape[1], m):
            group = old[i, first : first + m]
            order = sorted(np.flatnonzero(group), key=lambda j: (-abs(group[j]), j))
            for j in order[:n]:
                expected[i, first + j] = group[j]
    assert np.array_equal(dense(layer.weight), expected)
    assert np.array_equal(opt.state(layer.weight)["momentum"], layer.weight.values.data)
    if density == 1.0 and shape[1] % m == 0:
        groups = (dense(layer.weight) != 0).reshape(shape[0], shape[1] // m, m)
        assert (groups.sum(axis=2) == n).all()


def test_groups_longer_than_one_part(monkeypatch: pytest.MonkeyPatch) -> None:
    pattern = SparsePattern.random((30, 40), 600, seed=0)
    scores = np.random.default_rng(0).random(600)
    quotas = np.arange(30) % 3
    whole = largest_in_groups(pattern, scores, quotas, 7)
    for part in (1, 5, 50):
        monkeypatch.setattr("sparsenn.sparse.groups._PART", part)
        assert np.array_equal(largest_in_groups(pattern, scores, quotas, 7), whole)


def test_n_m_by_wanda() -> None:
    layer = nn.Linear(4, 1, seed=0, dtype=np.float64)
    layer.weight.values.data[:] = [1, 2, 3, 4]
    pruning.n_m(layer, 1, 2, score="wanda", batches=iter([np.diag([9.0, 1, 1, 1])]))
    assert dense(layer.weight).tolist() == [[1, 0, 0, 4]]


def test_n_m_refuses_nonsense() -> None:
    layer = nn.Linear(4, 1, seed=0)
    with pytest.raises(ValueError, match="n:m is 3:2"):
        pruning.n_m(layer, 3, 2)
    with pytest.raises(ValueError, match="needs batches"):
        pruning.n_m(layer, 1, 2, score="wanda")
    with pytest.raises(ValueError, match="score='wanda' only"):
        pruning.n_m(layer, 1, 2, batches=[])
    with pytest.raises(ValueError, match="must be 'magnitude' or 'wanda'"):
        pruning.n_m(layer, 1, 2, score="snip")  # type: ignore[arg-type]
