"""N:M patterns, and training that keeps them, against dense gradients."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsenn import nn, optim, topology
from sparsenn.sparse import n_m_pattern


def group_counts(mask: np.ndarray, m: int) -> np.ndarray:
    """Connections of each group, shape (rows, groups)."""
    padded = np.pad(mask, ((0, 0), (0, -mask.shape[1] % m)))
    return padded.reshape(len(mask), padded.shape[1] // m, m).sum(axis=2)


@given(
    shape=st.tuples(st.integers(0, 9), st.integers(0, 21)),
    m=st.integers(1, 5),
    n=st.integers(0, 5),
    seed=st.integers(0, 99),
)
def test_n_of_every_m_at_random(
    shape: tuple[int, int], m: int, n: int, seed: int
) -> None:
    n = min(n, m)
    mask = n_m_pattern(shape, n, m, seed=seed).to_mask()
    counts = group_counts(mask, m)
    whole = shape[1] // m
    assert (counts[:, :whole] == n).all()
    assert (counts[:, whole:] == min(n, shape[1] % m)).all()


def test_every_place_of_a_group_is_as_likely(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = n_m_pattern((4000, 10), 2, 4, seed=0)
    share = whole.to_mask().mean(axis=0)
    np.testing.assert_allclose(share[:8], 0.5, atol=0.05)
    assert (share[8:] == 1).all()
    monkeypatch.setattr("sparsenn.sparse.groups._PART", 35)
    assert n_m_pattern((4000, 10), 2, 4, seed=0).same_positions(whole)
    with pytest.raises(ValueError, match="n:m is 5:4"):
        n_m_pattern((3, 4), 5, 4)


@settings(max_examples=25)
@given(
    seed=st.integers(0, 99),
    n_in=st.integers(4, 14),
    growth=st.sampled_from(["gradient", "random"]),
    by_column=st.booleans(),
    fraction=st.sampled_from([0.1, 0.4, 0.9]),
)
def test_an_update_stays_within_groups(
    seed: int, n_in: int, growth: str, by_column: bool, fraction: float
) -> None:
    rng = np.random.default_rng(seed)
    pattern = n_m_pattern((6, n_in), 2, 4, seed=seed)
    layer = nn.Linear(
        n_in, 6, pattern=pattern, seed=seed, sparse_input=by_column, dtype=np.float64
    )
    opt = optim.SGD(layer.parameters(), lr=0.1, momentum=0.9)
    topo = topology.NM(layer.parameters(), opt, m=4, growth=growth)  # type: ignore[arg-type]
    topo.announce()
    x, goal = rng.normal(size=(5, n_in)), rng.normal(size=(5, 6))
    residual = layer(x) - goal
    topo.backward((residual * residual).sum())
    gradient = 2 * residual.data.T @ x
    old = layer.weight.to_scipy().toarray()
    counts = group_counts(old != 0, 4)
    (change,) = topo.update(fraction)
    change.check()
    new = layer.weight.pattern.to_mask()
    assert np.array_equal(group_counts(new, 4), counts)
    n_drop = int(fraction * np.count_nonzero(old))
    order = np.argsort(np.where(old != 0, np.abs(old), np.inf), axis=None)
    dropped = np.zeros(old.shape, bool)
    dropped.flat[order[:n_drop]] = True
    kept = (old != 0) & ~dropped
    assert new[kept].all()
    if growth == "gradient":
        expected = kept.copy()
        for i, g in zip(*np.nonzero(group_counts(dropped, 4)), strict=True):
            columns = np.arange(4 * g, min(4 * g + 4, n_in))
            free = [j for j in columns if not kept[i, j]]
            free.sort(key=lambda j: -abs(gradient[i, j]))
            lost = int(dropped[i, columns].sum())
            expected[i, free[:lost]] = True
        assert np.array_equal(new, expected)
        again = new & dropped  # revived with its value
        assert np.array_equal(layer.weight.to_scipy().toarray()[again], old[again])


def test_training_keeps_two_of_four() -> None:
    pattern = n_m_pattern((16, 24), 2, 4, seed=0)
    layer = nn.Linear(24, 16, pattern=pattern, seed=0)
    opt = optim.SGD(layer.parameters(), lr=0.01, momentum=0.9)
    topo = topology.NM(layer.parameters(), opt, m=4, every=3, drop_fraction=0.3)
    x = np.random.default_rng(0).normal(size=(8, 24)).astype(np.float32)
    for _ in range(12):
        y = layer(x)
        topo.backward((y * y).sum())
        topo.step() or opt.step()
        opt.zero_grad()
        assert (group_counts(layer.weight.pattern.to_mask(), 4) == 2).all()
    assert topo.updates == 3
    assert not layer.weight.pattern.same_positions(pattern)
    assert "in_groups(4, by='gradient')" in repr(topo)


def test_what_cannot_be_is_refused() -> None:
    layer = nn.Linear(8, 4, 0.5, seed=0)
    with pytest.raises(ValueError, match="m must be at least 1"):
        topology.NM(layer.parameters(), m=0)
    with pytest.raises(ValueError, match="must be 'gradient' or 'random'"):
        topology.NM(layer.parameters(), m=4, growth="momentum")  # type: ignore[arg-type]
    topo = topology.NM(layer.parameters(), m=4, growth="random")
    topo.budget = lambda step: 0.75
    with pytest.raises(ValueError, match="replaces what was dropped, not"):
        topo.update(0.5)
