"""Continuous Sparsification against a dense simulation that never deletes anything."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from reference.twin import Twin

from sparsenn import models, nn, ops, optim, topology
from sparsenn.autograd import Tensor
from sparsenn.sparse import SparseParameter, SparsePattern
from sparsenn.topology.gates import SoftGates

FAST = {"lr": 4.0, "penalty": 0.01, "final_beta": 200.0}


def sigmoid(x: np.ndarray) -> np.ndarray:
    z = np.exp(-np.abs(x))
    return np.where(x >= 0, 1.0, z) / (1 + z)


class GatedTwin:
    """Dense weights, scores and momenta of a ReLU network."""

    def __init__(self, model: nn.Module, start: float) -> None:
        layers = [m for _, m in model.named_modules() if isinstance(m, nn.Linear)]
        self.masks = [m.weight.pattern.to_mask() * 1.0 for m in layers]
        self.w = [m.weight.to_scipy().toarray() for m in layers]
        self.b = [m.bias.data.copy() for m in layers]
        self.s = [np.full(w.shape, start) for w in self.w]
        self.vw = [np.zeros_like(a) for a in [*self.w, *self.b]]
        self.vs = [np.zeros_like(w) for w in self.w]
        self.start = start
        self.hard = False

    def gates(self, beta: float) -> list[np.ndarray]:
        full = sigmoid(np.array(self.start))
        if self.hard:
            return [m * (s > 0) / full for m, s in zip(self.masks, self.s, strict=True)]
        pairs = zip(self.masks, self.s, strict=True)
        return [m * sigmoid(beta * s) / full for m, s in pairs]

    def step(self, x: np.ndarray, y: np.ndarray, beta: float, **o: float) -> None:
        gates = self.gates(beta)
        weights = [w * m for w, m in zip(self.w, gates, strict=True)]
        ones = [np.ones_like(w) for w in weights]
        _, dw, db = Twin(weights, ones, self.b).gradients(x, y)
        full = sigmoid(np.array(self.start))
        for i, g in enumerate(dw):
            if not self.hard:
                z = sigmoid(beta * self.s[i])
                ds = (g * self.w[i] + o["penalty"]) * beta * z * (1 - z) / full
                ds = ds * self.masks[i]
                self.vs[i] = 0.9 * self.vs[i] + ds
                self.s[i] = self.s[i] - o["lr"] * (ds + 0.9 * self.vs[i])
        gradients = [g * m for g, m in zip(dw, gates, strict=True)] + db
        for value, v, g in zip([*self.w, *self.b], self.vw, gradients, strict=True):
            v[...] = 0.9 * v + g
            value -= 0.1 * v


def network(density: float, dtype: Any = np.float64) -> nn.Module:
    return models.mlp([8, 7, 4], density, seed=1, dtype=dtype)


def data(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return rng.standard_normal((6, 8)), rng.integers(0, 4, 6)


def compare(topo: Any, twin: GatedTwin, beta: float) -> None:
    gates = twin.gates(beta)
    for i, w in enumerate(topo.params):
        here = w.pattern.to_mask()
        assert not gates[i][~here].any(), "what left is closed in the simulation too"
        on = w.positions()
        np.testing.assert_allclose(w.values.data, twin.w[i][on], rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(w.effective(), (twin.w[i] * gates[i])[on], atol=1e-9)
        if topo.phase == "search":
            s = topo.gates[i].scores.data
            np.testing.assert_allclose(s, twin.s[i][on], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("mode", ["supermask", "ticket"])
@pytest.mark.parametrize("restart", ["beta", "released"])
@pytest.mark.parametrize("density", [1.0, 0.6])
@pytest.mark.parametrize("start", [0.0, 0.1])
def test_training_equals_a_dense_simulation(
    mode: Any, restart: Any, density: float, start: float
) -> None:
    model = network(density)
    opt = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    twin = GatedTwin(model, start)
    rng = np.random.default_rng(0)
    topo = topology.ContinuousSparsification(
        model.parameters(), opt, round_steps=12, every=3, rounds=2, mode=mode,
        restart=restart, start=start, rewind_step=2, **FAST,
    )  # fmt: skip
    then: Any = None
    total = [sum(w.nnz for w in topo.params)]
    for step in range(30):
        x, y = data(rng)
        if step == 2:
            then = [a.copy() for a in [*twin.w, *twin.b]]
        beta = topo.schedule(step)
        for gate in topo.gates.values():
            assert gate.hard or gate.beta == beta
        topo.backward(nn.functional.cross_entropy(model(x), y))
        topo.step() or opt.step()
        opt.zero_grad()
        twin.step(x, y, beta, **FAST)
        if step + 1 == 12:
            factor = beta if restart == "beta" else 1.0
            twin.s = [np.minimum(factor * s, start) for s in twin.s]
            for gate in topo.gates.values():
                assert np.all(gate.scores.data <= start)
        if step + 1 == 24 and mode == "ticket":
            assert topo.phase == "ticket"
            twin.hard = True
            for now, past in zip([*twin.w, *twin.b], then, strict=True):
                now[...] = past
            twin.vw = [np.zeros_like(a) for a in then]
            for i, w in enumerate(topo.params):
                kept = (twin.s[i] > 0) & (twin.masks[i] > 0)
                assert np.array_equal(w.pattern.to_mask(), kept)
        compare(topo, twin, topo.schedule(step + 1))
        total.append(sum(w.nnz for w in topo.params))
    assert total == sorted(total, reverse=True)
    if restart == "released":
        assert total[14] == total[0]
    else:
        assert total[14] < total[0], "nothing left the pattern: the test tests little"
    assert 0 < total[-1] < total[0]
    density_then = topo.density
    topo.finish()
    topo.finish()
    assert topo.phase == "finished"
    for i, w in enumerate(topo.params):
        kept = (twin.s[i] > 0) & (twin.masks[i] > 0)
        assert w.gate is None
        assert np.array_equal(w.pattern.to_mask(), kept)
        folded = kept * twin.w[i] / sigmoid(np.array(start))
        np.testing.assert_allclose(w.to_scipy().toarray(), folded, atol=1e-9)
        assert len(opt.state(w)["momentum"]) == w.nnz
    assert topo.density == density_then
    assert topo.density == sum(w.nnz for w in topo.params) / (7 * 8 + 4 * 7)


def test_leaving_changes_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    def run() -> tuple[list[np.ndarray], int]:
        model = network(1.0, np.float32)
        opt = optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-3)
        topo = topology.ContinuousSparsification(
            model.parameters(), opt, round_steps=20, every=2, rounds=2, **FAST
        )
        rng = np.random.default_rng(3)
        outputs = []
        for _ in range(40):
            x, y = data(rng)
            logits = model(x.astype(np.float32))
            outputs.append(logits.data)
            nn.functional.cross_entropy(logits, y).backward()
            topo.step() or opt.step()
            opt.zero_grad()
        return outputs, sum(w.nnz for w in topo.params)

    ours, few = run()
    monkeypatch.setattr(topology.ContinuousSparsification, "_leave", lambda _: None)
    theirs, all_ = run()
    assert few < all_
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def test_gate_by_hand() -> None:
    """w = 2, s = 0.1, s0 = 0, beta = 4, lambda = 0.01, g = 3."""
    gate = SoftGates(np.array([0.1]), 0.0)
    gate.beta = 4.0
    w = Tensor(np.array([2.0]), requires_grad=True)
    (gate(w) * 3).sum().backward()
    assert gate(Tensor([1.0])).item() == pytest.approx(1.197375, abs=1e-6)
    assert w.grad.item() == pytest.approx(3.592126, abs=1e-6)
    ds = gate.scores.grad.item() + 0.01 * gate.slope().item()
    assert ds == pytest.approx(11.551737, abs=1e-6)


@pytest.mark.parametrize(
    ("start", "scale"),
    [(-0.3, 2.3499), (-0.1, 2.1052), (0.0, 2.0), (0.1, 1.9048), (0.3, 1.7408)],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gates_begin_at_exactly_one(start: float, scale: float, dtype: Any) -> None:
    gate = SoftGates(np.full(3, start, dtype), start)
    values = Tensor(np.array([1.7, -2.3, 0.1], dtype))
    assert np.array_equal(gate(values).data, values.data)
    gate.hard = True
    np.testing.assert_allclose(gate(values).data / values.data, scale, rtol=1e-4)


def test_beta_by_hand() -> None:
    """85 epochs of 10 steps, twice."""
    beta = topology.Temperature(850, 10, 2, 200.0)
    expected = {0: 1.0, 1: 1.065, 42: 14.14, 56: 34.2, 71: 88.1, 84: 200.0}
    for epoch, value in expected.items():
        for step in (10 * epoch, 10 * epoch + 9, 850 + 10 * epoch):
            assert beta(step) == pytest.approx(value, rel=1e-3)
    assert beta(1700) == beta(9999) == 200.0
    values = [beta(step) for step in range(850)]
    assert values == sorted(values)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_closed_gate_is_zero_and_has_no_gradient(dtype: Any) -> None:
    """Also after all that momentum can do, on either side of the bound."""
    bound = -104.0 if dtype is np.float32 else -745.2
    s = np.array([bound * 1.001, bound * 0.9, bound * 2], dtype)
    buffer = np.array([0.0, 0.0, -bound / 2], dtype)  # Nesterov moves 8.1 times that
    gate = SoftGates(s, 0.0)
    assert gate.closed(buffer, 1.0, 0.9).tolist() == [True, False, False]
    assert gate.closed(buffer, 0.1, 0.9).tolist() == [True, False, True]
    assert gate.slope()[[0, 2]].tolist() == [0, 0]
    assert gate(Tensor(np.ones(3, dtype))).data[[0, 2]].tolist() == [0, 0]
    assert gate.slope()[1] > 0


@pytest.mark.parametrize("mode", ["supermask", "ticket"])
def test_a_resumed_run_has_the_same_bits(mode: Any) -> None:
    def run(break_at: int | None) -> list[np.ndarray]:
        model = network(1.0, np.float32)
        opt = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

        def make() -> Any:
            return topology.ContinuousSparsification(
                model.parameters(), opt, round_steps=12, every=3, rounds=2, mode=mode,
                rewind_step=5, **FAST,
            )  # fmt: skip

        topo = make()
        rng = np.random.default_rng(0)
        for step in range(30):
            if step == break_at:
                state = topo.state()
                topo = make()
                topo.load_state(state)
            x, y = data(rng)
            loss = nn.functional.cross_entropy(model(x.astype(np.float32)), y)
            topo.backward(loss)
            topo.step() or opt.step()
            opt.zero_grad()
        topo.finish()
        return [a for w in topo.params for a in (w.pattern.ranks(), w.values.data)]

    whole = run(None)
    for break_at in (3, 7, 12, 13, 24, 27):
        for a, b in zip(whole, run(break_at), strict=True):
            assert np.array_equal(a, b)


def test_a_finished_state_stays_finished() -> None:
    model = network(1.0)
    make = lambda: topology.ContinuousSparsification(  # noqa: E731
        model.parameters(), round_steps=4, every=1
    )
    topo = make()
    topo.finish()
    other = make()
    other.load_state(topo.state())
    assert all(w.gate is None for w in other.params)
    assert other.step() is False
    values = [w.values.data.copy() for w in other.params]
    other.finish()
    for w, before in zip(other.params, values, strict=True):
        assert np.array_equal(w.values.data, before)


def test_exempt_layers_have_no_gates_and_pattern_changes_are_noticed() -> None:
    model = network(0.5)
    first, last = (p for p in model.parameters() if isinstance(p, SparseParameter))
    topo = topology.ContinuousSparsification(
        model.parameters(), round_steps=4, every=1, exempt=[last]
    )
    assert last.gate is None
    assert "1 gated parameters" in repr(topo)
    first.set(SparsePattern.random(first.shape, 5, seed=0), np.ones(5))
    with pytest.raises(RuntimeError, match=r"the gates of weight .* are gone"):
        topo.step()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"round_steps": 5, "every": 5}, "longer than the 5 between changes"),
        ({"rounds": 0}, "rounds must be at least 1"),
        ({"mode": "mask"}, "mode must be one of supermask, ticket"),
        ({"restart": "no"}, "restart must be one of beta, released"),
        ({"penalty": -1.0}, "penalty not negative"),
        ({"final_beta": 0.5}, "final_beta must be at least 1"),
        ({"rewind_step": 36}, "one of the 36 steps"),
    ],
)
def test_bad_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {"round_steps": 12, "every": 3} | arguments
    model = network(0.5)
    with pytest.raises(ValueError, match=message):
        topology.ContinuousSparsification(model.parameters(), **given)
    assert all(getattr(p, "gate", None) is None for p in model.parameters())
    with pytest.raises(ValueError, match="no sparse parameter"):
        topology.ContinuousSparsification([], round_steps=12, every=3)


def test_the_best_epoch_is_kept_as_it_was_used() -> None:
    from sparsenn.export.model import model_arrays, set_model_arrays

    model = network(1.0)
    topo = topology.ContinuousSparsification(model.parameters(), round_steps=9, every=3)
    rng = np.random.default_rng(0)
    for gate in topo.gates.values():
        gate.scores.assign_(rng.standard_normal(gate.scores.shape))
    x, _ = data(rng)
    expected = model(x).data
    set_model_arrays(model, model_arrays(model, effective=True))
    assert all(w.gate is None for w in topo.params)
    np.testing.assert_allclose(ops.add(model(x), 0).data, expected, rtol=1e-12)
