"""Every evolving method against its paper on dense arrays, and its promises."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import evolve

from sparsenn import models, nn, optim, topology
from sparsenn.autograd import Tensor
from sparsenn.sparse import SparseParameter, SparsePattern

EVOLVING = sorted(name for name, recipe in topology.METHODS.items() if recipe)


@st.composite
def networks(draw: st.DrawFn) -> list[dict[str, np.ndarray]]:
    """Layers of small integers: weights, masks, momenta and the factors of gradients.

    Products of small integers are exact in float32 and full of ties.
    """
    layers = []
    for _ in range(draw(st.integers(1, 3))):
        shape = draw(st.integers(1, 9)), draw(st.integers(1, 9))
        rng = np.random.default_rng(draw(st.integers(0, 2**32)))
        batch = draw(st.integers(1, 4))
        mask = rng.random(shape) < draw(st.sampled_from([0.0, 0.3, 0.6, 0.9, 1.0]))
        layers.append(
            {
                "mask": mask,
                "w": np.where(mask, rng.integers(-3, 4, shape), 0).astype(np.float32),
                "m": np.where(mask, rng.integers(-3, 4, shape), 0).astype(np.float32),
                "dy": rng.integers(-2, 3, (batch, shape[0])).astype(np.float32),
                "x": rng.integers(-2, 3, (batch, shape[1])).astype(np.float32),
            }
        )
    return layers


def build(
    layers: list[dict[str, np.ndarray]],
) -> tuple[list[SparseParameter], optim.Optimizer]:
    params = []
    for number, layer in enumerate(layers):
        pattern = SparsePattern.from_mask(layer["mask"])
        values = pattern.from_canonical(layer["w"][layer["mask"]])
        params.append(SparseParameter(pattern, values, f"w{number}"))
    opt = optim.SGD(params, lr=0.1, momentum=0.9)
    for param, layer in zip(params, layers, strict=True):
        state = layer["m"][layer["mask"]]
        opt.state(param)["momentum"][:] = param.pattern.from_canonical(state)
        gradient = (layer["dy"].T @ layer["x"])[layer["mask"]]
        param.values.grad = Tensor(param.pattern.from_canonical(gradient))
    return params, opt


def give_factors(
    topo: topology.TopologyUpdater, layers: list[dict[str, np.ndarray]]
) -> None:
    topo.announce()
    for param, layer in zip(topo.params, layers, strict=True):
        if param.factors is not None:
            param.factors.append((layer["dy"], layer["x"]))


def dense(param: SparseParameter, values: np.ndarray) -> np.ndarray:
    out = np.zeros(param.shape, values.dtype)
    out[param.positions()] = values
    return out


def mask_of(param: SparseParameter) -> np.ndarray:
    return param.pattern.to_mask()


@given(layers=networks(), fraction=st.sampled_from([0.0, 0.2, 0.5, 0.9]))
def test_rigl_equals_its_paper(
    layers: list[dict[str, np.ndarray]], fraction: float
) -> None:
    params, opt = build(layers)
    topo = topology.RigL(params, opt)
    give_factors(topo, layers)
    topo.update(fraction)
    for param, layer in zip(params, layers, strict=True):
        new, w = evolve.rigl(
            layer["w"], layer["mask"], layer["dy"].T @ layer["x"], fraction
        )
        if layer["mask"].all():
            new, w = layer["mask"], layer["w"]  # full layers are left alone
        assert np.array_equal(mask_of(param), new)
        assert np.array_equal(dense(param, param.values.data), w)
        state = dense(param, opt.state(param)["momentum"])
        assert np.array_equal(state, np.where(new & layer["mask"], layer["m"], 0))


def known_answer() -> tuple[SparseParameter, tuple[np.ndarray, np.ndarray]]:
    w = np.zeros((3, 4), np.float32)
    for (i, j), value in {
        (0, 1): 0.5, (0, 3): -0.1, (1, 0): 0.2, (1, 2): -0.3, (2, 2): -0.7,
        (2, 3): 0.05,
    }.items():  # fmt: skip
        w[i, j] = value
    pattern = SparsePattern.from_mask(w)
    param = SparseParameter(pattern, pattern.from_canonical(w[w != 0]), "w")
    dy = np.array([[1, -1, 2], [0, 3, -1]], np.float32)
    x = np.array([[1, 2, 0, -1], [2, -1, 1, 1]], np.float32)
    return param, (dy, x)


@pytest.mark.parametrize(
    ("fraction", "kept", "grown"),
    [
        (0.2, {(0, 1): 0.5, (0, 3): -0.1, (1, 0): 0.2, (1, 2): -0.3, (2, 2): -0.7},
         [(1, 1)]),
        (0.4, {(0, 1): 0.5, (1, 0): 0.2, (1, 2): -0.3, (2, 2): -0.7}, [(1, 1), (2, 1)]),
        (0.5, {(0, 1): 0.5, (1, 0): 0.2, (1, 2): -0.3, (2, 2): -0.7}, [(1, 1), (2, 1)]),
        (0.7, {(0, 1): 0.5, (1, 0): 0.2, (2, 2): -0.7}, [(1, 1), (1, 3), (2, 1)]),
    ],
)  # fmt: skip
def test_rigl_by_hand(
    fraction: float, kept: dict[tuple[int, int], float], grown: list[tuple[int, int]]
) -> None:
    param, factors = known_answer()
    topo = topology.RigL([param])
    topo.announce()
    assert param.factors == []
    param.factors.append(factors)
    topo.update(fraction)
    found = dense(param, param.values.data)
    wanted = np.zeros((3, 4), np.float32)
    for position, value in kept.items():
        wanted[position] = value
    assert np.array_equal(found, wanted)
    assert sorted(zip(*np.nonzero(mask_of(param)), strict=True)) == sorted(
        [*kept, *grown]
    )


def test_growth_by_gradient_maximises_the_norm_after_growth() -> None:
    """No other choice of as many newborns gives a larger gradient on the support."""
    param, (dy, x) = known_answer()
    gradient = dy.T @ x
    topo = topology.RigL([param], regrow=False)
    topo.announce()
    assert param.factors is not None
    param.factors.append((dy, x))
    (change,) = topo.update(0.4)
    born = change.new.ranks()[change.newborn]
    free = np.flatnonzero(~change.old.to_mask())
    best = np.sort(np.abs(gradient.flat[free]))[::-1][: len(born)]
    assert np.sum(gradient.flat[born] ** 2) == np.sum(best**2)


def test_accumulated_gradients_are_added_before_the_magnitude() -> None:
    param, (dy, x) = known_answer()
    topo = topology.RigL([param], every=3, accumulate=2, drop_fraction=0.4)
    for step in range(4):
        if param.factors is not None:
            # Two batches that cancel but for one position.
            sign = 1 if step == 2 else -1
            extra = np.zeros_like(dy)
            extra[0, 0] = 0.5 if step == 3 else 0.0
            param.factors.append((sign * dy + extra, x))
        assert topo.step() is (step == 3)
    # What is left is extra^T x: row 0 times (1, 2, 0, -1) / 2, and ties of zeros.
    mask = mask_of(param)
    assert mask[0, 1]
    assert mask[0, 0]
    assert mask[0, 3]
    assert topo.updates == 1


@given(
    layers=networks(),
    threshold=st.sampled_from([0.5, 1.0, 1.5, 2.5, 4.0]),
    target=st.integers(1, 20),
)
def test_dsr_equals_its_paper(
    layers: list[dict[str, np.ndarray]], threshold: float, target: int
) -> None:
    params, opt = build(layers)
    topo = topology.DSR(
        params, opt, target=target, threshold_start=threshold, regrow=True
    )
    before = [mask_of(p) for p in params]
    topo.update(0.0)
    survivors = evolve.dsr([layer["w"] for layer in layers], before, threshold)
    dropped = sum(
        int(m.sum() - k.sum()) for m, k in zip(before, survivors, strict=True)
    )
    counts = evolve.share(
        dropped,
        [int(k.sum()) for k in survivors],  # type: ignore[misc]
        [int(k.size - k.sum()) for k in survivors],
    )
    for param, kept, count, layer in zip(
        params, survivors, counts, layers, strict=True
    ):
        new = mask_of(param)
        assert new[kept].all()
        assert new.sum() == kept.sum() + count
        found = dense(param, param.values.data)
        assert np.array_equal(found, np.where(kept, layer["w"], 0))
    assert sum(p.nnz for p in params) == sum(int(m.sum()) for m in before)
    factor = 0.5 if dropped > 1.1 * target else 2 if dropped < 0.9 * target else 1
    assert topo.drop.value == threshold * factor  # type: ignore[attr-defined]


def test_dsr_shares_by_hand() -> None:
    """7, 4 and 1 survivors share 4: 2.33, 1.33, 0.33, so (3, 1, 0)."""
    assert topology.allocate.by_survivors([], [7, 4, 1], 4, [9, 9, 9]) == [3, 1, 0]


@given(
    layers=networks(),
    regrow_target=st.integers(1, 10),
)
def test_dsr_does_not_regrow_what_it_just_dropped(
    layers: list[dict[str, np.ndarray]], regrow_target: int
) -> None:
    params, opt = build(layers)
    topo = topology.DSR(params, opt, target=regrow_target, threshold_start=1.5)
    changes = topo.update(0.0)
    for change in changes:
        born = change.new.ranks()[change.newborn]
        assert not np.isin(born, change.old.ranks()).any()


def test_a_full_layer_gives_connections_to_the_others() -> None:
    """What it drops may not return to it at once, so the other layer gets it all."""
    full, free = nn.Linear(5, 4, 1.0, seed=0), nn.Linear(30, 20, 0.1, seed=1)
    values = np.arange(1, 21, dtype=np.float32)
    full.weight.set(full.weight.pattern, values)
    free.weight.set(free.weight.pattern, np.full(60, 50, np.float32))
    topo = topology.DSR([full.weight, free.weight], target=5, threshold_start=6.0)
    topo.update(0.0)
    assert (full.weight.nnz, free.weight.nnz) == (15, 65)


@given(layers=networks(), fraction=st.sampled_from([0.1, 0.3, 0.5]))
@pytest.mark.parametrize("growth", ["gradient", "random"])
@pytest.mark.parametrize("drop", ["magnitude", "momentum"])
@settings(max_examples=25)
def test_snfs_equals_its_paper(
    layers: list[dict[str, np.ndarray]], fraction: float, growth: str, drop: str
) -> None:
    params, opt = build(layers)
    before = [mask_of(p) for p in params]
    topo = topology.SNFS(
        params,
        opt,
        growth=growth,  # type: ignore[arg-type]
        drop=drop,  # type: ignore[arg-type]
    )
    give_factors(topo, layers)
    topo.update(fraction)
    momenta = [layer["m"] for layer in layers]
    dropped, grown = evolve.snfs_counts(momenta, before, fraction)
    for i, (param, layer) in enumerate(zip(params, layers, strict=True)):
        scores = np.abs(layer["w"] if drop == "magnitude" else layer["m"])
        kept = evolve.drop_smallest(scores, before[i], dropped[i])
        new = mask_of(param)
        assert new[kept].all()
        assert new.sum() == kept.sum() + grown[i]
        if growth == "gradient":
            gradient = np.abs(layer["dy"].T @ layer["x"])
            assert np.array_equal(
                new, kept | evolve.grow_largest(gradient, kept, grown[i])
            )
            found = dense(param, param.values.data)
            assert np.array_equal(found, np.where(new & before[i], layer["w"], 0))


def test_sparse_momentum_shares_by_hand() -> None:
    """Case A of the notes: shares 1/4, 1/2, 1/4 of 80 within the free positions."""
    params = []
    for nnz, shape in ((100, (40, 25)), (50, (10, 10)), (10, (4, 5))):
        pattern = SparsePattern.random(shape, nnz, seed=0)
        values = np.arange(1, nnz + 1, dtype=np.float32)
        params.append(SparseParameter(pattern, values, f"{nnz}"))
    opt = optim.SGD(params, lr=0.1, momentum=0.9)
    for param, mean in zip(params, (1, 2, 1), strict=True):
        opt.state(param)["momentum"][:] = mean
    topo = topology.SNFS(params, opt, growth="random")
    topo.update(0.5)
    assert [c.dropped for c in topo.last_changes] == [50, 25, 5]
    # 20, 40, 20 with room for 950 + 50, 75 and 15: the third takes 15, and 65 are
    # shared 1 : 2.
    assert [c.grown for c in topo.last_changes] == [22, 43, 15]


def test_sparse_momentum_needs_momentum() -> None:
    layer = nn.Linear(9, 8, 0.5, seed=0)
    with pytest.raises(ValueError, match="keeps momentum"):
        topology.SNFS(layer.parameters(), optim.SGD(layer.parameters()))
    topo = topology.SNFS(layer.parameters())
    topo.announce()
    layer(np.ones((2, 9), np.float32)).sum().backward()
    with pytest.raises(ValueError, match="keeps momentum"):
        topo.update(0.5)


def test_growth_by_momentum_is_that_of_a_dense_momentum() -> None:
    """Up to the stated tail: with the whole past in the window, exactly."""
    rng = np.random.default_rng(3)
    layer = nn.Linear(12, 10, 0.3, bias=False, seed=1, dtype=np.float64)
    opt = optim.SGD(layer.parameters(), lr=0.0, momentum=0.5)
    topo = topology.SNFS(
        layer.parameters(), opt, every=6, growth="momentum", beta=0.5, window=7
    )
    total = np.zeros((10, 12))
    for step in range(7):
        # Small integers and powers of two: every sum is exact.
        x = rng.integers(-3, 4, (3, 12)).astype(np.float64)
        weight = rng.integers(-3, 4, (3, 10)).astype(np.float64)
        loss = (layer(x) * weight).sum()
        topo.backward(loss)
        total = 0.5 * total + weight.T @ x
        mask, w = mask_of(layer.weight), dense(layer.weight, layer.weight.values.data)
        assert topo.step() is False
        if step == 6:
            count = int(np.ceil(0.5 * mask.sum()))
            kept = evolve.drop_smallest(np.abs(w), mask, count)
            grown = evolve.grow_largest(np.abs(total), kept, count)
            assert np.array_equal(mask_of(layer.weight), kept | grown)
        opt.step()
        opt.zero_grad()
    assert topo.updates == 1


def test_a_window_that_is_too_large_is_refused() -> None:
    layer = nn.Linear(100, 80, 0.1, seed=0)
    opt = optim.SGD(layer.parameters(), momentum=0.9)
    topo = topology.SNFS(
        layer.parameters(),
        opt,
        growth="momentum",
        window=50,
        every=50,
        limit_bytes=9000,
    )
    with pytest.raises(ValueError, match=r"about \d.*limit_bytes is 9,000"):
        for _ in range(50):
            layer(np.ones((8, 100), np.float32)).sum().backward()
            topo.step()


@given(layers=networks(), fraction=st.sampled_from([0.0, 0.3, 0.6]))
def test_mest_equals_its_paper(
    layers: list[dict[str, np.ndarray]], fraction: float
) -> None:
    params, opt = build(layers)
    before = [mask_of(p) for p in params]
    topology.MEST(params, opt, gradient_weight=0.5).update(fraction)
    for param, layer, mask in zip(params, layers, before, strict=True):
        gradient = np.where(mask, layer["dy"].T @ layer["x"], 0)
        scores = np.abs(layer["w"]) + 0.5 * np.abs(gradient)
        kept = evolve.drop_smallest(scores, mask, int(fraction * mask.sum()))
        new = mask_of(param)
        assert new[kept | mask.all()].all()
        assert new.sum() == mask.sum()


def test_the_soft_bound_grows_first_and_prunes_at_the_end() -> None:
    model = models.mlp([40, 50, 10], 0.2, seed=0)
    topo = topology.MEST(
        model.parameters(), every=10, end_step=170, extra=0.25, gradient_weight=0.0
    )
    positions = 50 * 40 + 500
    found = {}
    for step in range(170):
        topo.step()
        found[step] = sum(p.nnz for p in topo.params)
    assert found[9] == round(0.2 * positions)
    assert found[10] == found[90] == round(0.25 * positions)
    assert found[100] == found[120] == round(0.225 * positions)
    assert found[130] == found[169] == round(0.2 * positions)


@pytest.mark.parametrize("scope", ["global", "uniform"])
def test_gradual_pruning_meets_its_density_and_nests(scope: str) -> None:
    model = models.mlp([30, 40, 10], seed=0)
    params = [p for p in model.parameters() if isinstance(p, SparseParameter)]
    topo = topology.GMP(
        params,
        density=0.1,
        every=7,
        end_step=72,
        scope=scope,  # type: ignore[arg-type]
    )
    masks = [[mask_of(p) for p in params]]
    totals = []
    for step in range(90):
        weights = [dense(p, p.values.data) for p in params]
        assert topo.step() is False
        now = [mask_of(p) for p in params]
        if step and step % 7 == 0 and step <= 70 and scope == "global":
            target = round(topology.Cubic(1.0, 0.1, 0, 70)(step) * 1600)
            kept = evolve.prune_all(weights, masks[-1], target)
            assert all(np.array_equal(a, b) for a, b in zip(kept, now, strict=True))
        assert all(np.all(a <= b) for a, b in zip(now, masks[-1], strict=True))
        masks.append(now)
        totals.append(sum(int(m.sum()) for m in now))
    assert totals[-1] == 160
    assert totals[70] == 160
    assert totals == sorted(totals, reverse=True)
    if scope == "uniform":
        assert [int(m.sum()) for m in masks[-1]] == [120, 40]


def test_cubic_density_by_hand() -> None:
    law = topology.Cubic(1.0, 0.1, 0, 1000)
    assert [1 - law(step) for step in (0, 250, 500, 1000, 2000)] == pytest.approx(
        [0, 0.5203125, 0.7875, 0.9, 0.9]
    )


def test_gradual_pruning_says_what_cannot_be() -> None:
    params = models.mlp([30, 40, 10], 0.1, seed=0).parameters()
    with pytest.raises(ValueError, match=r"has density 0\.1, .* cannot reach 0\.5"):
        topology.GMP(params, density=0.5, end_step=1000)
    with pytest.raises(ValueError, match="no update every 100 steps"):
        topology.GMP(params, density=0.05, end_step=50)


@settings(max_examples=25)
@given(layers=networks(), fraction=st.sampled_from([0.2, 0.5]), share=st.floats(0, 1))
def test_granet_prunes_globally_then_regenerates(
    layers: list[dict[str, np.ndarray]], fraction: float, share: float
) -> None:
    params, opt = build(layers)
    before = [mask_of(p) for p in params]
    positions = sum(m.size for m in before)
    present = sum(int(m.sum()) for m in before)
    target = round(share * present)
    topo = topology.GraNet(params, opt, density=target / positions, every=1, end_step=1)
    give_factors(topo, layers)
    topo.steps = 1  # where the density has arrived
    topo.update(fraction)
    weights = [layer["w"] for layer in layers]
    pruned = evolve.prune_all(weights, before, target)
    for param, layer, mask in zip(params, layers, pruned, strict=True):
        gradient = layer["dy"].T @ layer["x"]
        new, w = evolve.rigl(np.where(mask, layer["w"], 0), mask, gradient, fraction)
        assert np.array_equal(mask_of(param), new)
        assert np.array_equal(dense(param, param.values.data), w)


@pytest.mark.parametrize(
    ("decay", "floor", "expected"),
    [
        ("cosine", 0.0, [0.3, 0.256066, 0.15, 0.043934]),
        ("linear", 0.0, [0.3, 0.225, 0.15, 0.075]),
        ("inverse-power", 0.0, [0.3, 0.1265625, 0.0375, 0.0046875]),
        ("step", 0.0, [0.3, 0.3, 0.3, 0.0]),
    ],
)
def test_decays_by_hand(decay: Any, floor: float, expected: list[float]) -> None:
    schedule = topology.Periodic(0.3, 1, 1000, decay, floor)
    assert [schedule(step) for step in (1, 250, 500, 750)] == pytest.approx(
        expected, abs=1e-3 if decay != "step" else 0
    )


def test_the_cosine_of_sparse_momentum_by_hand() -> None:
    schedule = topology.Periodic(0.5, 1, 1000, "cosine", 0.005)
    found = [schedule(step) for step in (250, 500, 750)]
    assert found == pytest.approx([0.427509, 0.2525, 0.077491], abs=1e-6)


def test_intervals_double() -> None:
    schedule = topology.Periodic(0.1, 10, doublings=(40, 100))
    due = [step for step in range(200) if schedule(step) is not None]
    assert due == [10, 20, 30, 40, 60, 80, 120, 160]


def test_the_search_for_gradients_is_counted() -> None:
    """2 B n_out n_in operations a layer, at updates alone (RigL, appendix H)."""
    model = models.mlp([20, 30, 10], 0.2, seed=0)
    topo = topology.RigL(model.parameters(), every=3)
    found = []
    for _ in range(5):
        topo.backward(model(np.ones((8, 20), np.float32)).sum())
        topo.step()
        found.append(topo.flops)
    assert found == [0, 0, 0, *[2 * 8 * (20 * 30 + 30 * 10)] * 2]
