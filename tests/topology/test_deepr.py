"""DEEP R: every step against theta and sign on dense arrays."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsenn import nn, optim, topology
from sparsenn.sparse import SparseParameter, SparsePattern


def small(seed: int, density: float) -> SparseParameter:
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(2, 9, 2))
    nnz = min(round(density * shape[0] * shape[1]), shape[0] * shape[1] - 1)
    pattern = SparsePattern.random(shape, nnz, seed=seed)
    return SparseParameter(pattern, rng.standard_normal(nnz), "w")


@given(
    seed=st.integers(0, 2**16),
    density=st.sampled_from([0.0, 0.2, 0.5, 0.9]),
    l1=st.sampled_from([0.0, 0.5]),
    every=st.sampled_from([1, 3]),
    by_column=st.booleans(),
)
@settings(max_examples=40)
def test_a_step_equals_its_paper(
    seed: int, density: float, l1: float, every: int, by_column: bool
) -> None:
    """theta <- theta - lr g sign - lr l1, and what is not above zero goes."""
    w = small(seed, density)
    if by_column:
        pattern = w.pattern.stored_by_column()
        w.set(pattern, pattern.from_canonical(w.pattern.to_canonical(w.values.data)))
    rng = np.random.default_rng(seed)
    opt = optim.SGD([w], lr=0.3)
    topo = topology.DeepR([w], opt, l1=l1, noise=0.0, every=every, seed=seed)
    mask, dense = w.pattern.to_mask(), w.to_scipy().toarray()
    sign, theta = np.sign(dense), np.abs(dense)
    for step in range(6):
        gradient = 2 * rng.standard_normal(mask.shape)
        w.values.grad = gradient[w.positions()]
        assert topo.step() is True
        opt.zero_grad()
        theta = np.where(mask, theta - 0.3 * (gradient * sign + l1), 0)
        kept = mask & (theta > 0) if (step + 1) % every == 0 else mask
        new, values = w.pattern.to_mask(), w.to_scipy().toarray()
        assert new.sum() == mask.sum()
        assert (new & kept).sum() == kept.sum()
        np.testing.assert_allclose(values[kept], (sign * theta)[kept], rtol=1e-12)
        born = new & ~kept
        assert np.all(np.abs(values[born]) == 1e-12)
        if (step + 1) % every == 0:
            mask = new
            sign, theta = np.sign(values), np.abs(values)
            assert np.all(theta[mask] > 0)


def test_nothing_changes_without_rate_pull_and_noise() -> None:
    w = small(0, 0.5)
    opt = optim.SGD([w], lr=0.0)
    topo = topology.DeepR([w], opt, l1=0.0, noise=0.0)
    pattern, values = w.pattern, w.values.data.copy()
    for _ in range(3):
        w.values.grad = np.ones(w.nnz)
        topo.step()
    assert w.pattern is pattern
    assert np.array_equal(w.values.data, values)
    assert (topo.steps, topo.updates) == (3, 0)


def test_noise_is_normal_new_each_step_and_the_same_in_any_storage_order() -> None:
    moved = []
    for by_column in (False, True):
        pattern = SparsePattern.random((90, 120), 5000, seed=0)
        if by_column:
            pattern = pattern.stored_by_column()
        w = SparseParameter(pattern, np.full(5000, 1e3), "w")
        opt = optim.SGD([w], lr=0.5)
        topo = topology.DeepR([w], opt, l1=0.0, noise=0.1, seed=4)
        steps = []
        for _ in range(2):
            before = w.values.data.copy()
            w.values.grad = np.zeros(5000)
            topo.step()
            steps.append(pattern.to_canonical(w.values.data - before))
        moved.append(steps)
    assert np.array_equal(moved[0], moved[1])
    first, second = moved[0]
    # 5,000 draws of deviation 0.05: standard errors 0.05 / sqrt(n) and / sqrt(2 n).
    assert abs(first.mean()) < 5 * 0.05 / 5000**0.5
    assert abs(first.std() - 0.05) < 5 * 0.05 / 10_000**0.5
    assert abs(np.corrcoef(first, second)[0, 1]) < 5 / 5000**0.5


def test_newborns_have_either_sign_anywhere_free() -> None:
    pattern = SparsePattern.random((60, 80), 2000, seed=0)
    w = SparseParameter(pattern, np.full(2000, 0.1), "w")
    opt = optim.SGD([w], lr=1.0)
    topo = topology.DeepR([w], opt, l1=0.0, noise=0.0)
    w.values.grad = np.ones(2000)  # all cross zero
    topo.step()
    assert w.nnz == 2000
    assert set(np.abs(w.values.data)) == {1e-12}
    positive = np.count_nonzero(w.values.data > 0)
    assert abs(positive - 1000) < 5 * 500**0.5
    # Uniform over all 4,800 positions, those just left included.
    old = np.count_nonzero(w.pattern.to_mask() & pattern.to_mask())
    assert abs(old - 2000 * 2000 / 4800) < 5 * 200**0.5


def test_an_end_leaves_the_pattern_alone() -> None:
    w = small(3, 0.5)
    opt = optim.SGD([w], lr=1.0)
    topo = topology.DeepR([w], opt, end_step=1, noise=0.0)
    w.values.grad = 100 * np.sign(w.values.data)
    topo.step()
    assert topo.updates == 1
    pattern = w.pattern
    w.values.grad = 100 * np.sign(w.values.data)
    topo.step()
    assert w.pattern is pattern


def test_full_layers_and_dense_tensors_are_only_optimised() -> None:
    model = nn.Sequential(nn.Linear(6, 5, 1.0, seed=0), nn.Linear(5, 4, 0.5, seed=0))
    opt = optim.SGD(model.parameters(), lr=0.1)
    twin = [np.array((p.values if hasattr(p, "values") else p).data)
            for p in model.parameters()]  # fmt: skip
    topo = topology.DeepR(model.parameters(), opt, l1=1.0)
    (model(np.ones((3, 6))) ** 2).sum().backward()
    expected = twin[0] - 0.1 * model.parameters()[0].grad.data
    topo.step()
    np.testing.assert_allclose(model.parameters()[0].values.data, expected, rtol=1e-6)
    assert model.parameters()[0].pattern.is_full


def test_rewiring_seldom_resumes_with_the_signs_of_then() -> None:
    def run(break_at: int | None) -> list[float]:
        w = small(5, 0.5)
        opt = optim.SGD([w], lr=0.5, momentum=0.9)
        topo = topology.DeepR([w], opt, every=4, seed=1)
        rng = np.random.default_rng(0)
        for step in range(12):
            if step == break_at:
                state = topo.state()
                topo = topology.DeepR([w], opt, every=4, seed=9)
                topo.load_state(state)
            w.values.grad = rng.standard_normal(w.nnz)
            topo.step()
        return [*w.pattern.ranks().tolist(), *w.values.data.tolist()]

    assert run(None) == run(6) == run(8)


def test_bad_arguments_are_refused() -> None:
    w = small(0, 0.5)
    with pytest.raises(ValueError, match="give it the optimizer"):
        topology.DeepR([w])
    opt = optim.SGD([w], lr=0.1)
    for argument in ({"every": 0}, {"l1": -1.0}, {"noise": float("nan")}):
        with pytest.raises(ValueError, match=next(iter(argument))):
            topology.DeepR([w], opt, **argument)  # type: ignore[arg-type]
