"""Recurrent classifiers: exact budgets, training, methods, files, costs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sparsenn as snn
from sparsenn import models, nn, optim, pruning, topology
from sparsenn.data import Dataset, Sequences
from sparsenn.export.safetensors import FormatError, read, write
from sparsenn.sparse import SparseParameter
from sparsenn.train import Callback, Checkpoint, fit
from sparsenn.train.cost import StepCost


def toy(n: int = 90) -> Dataset:
    """The class is the feature that is largest on average."""
    rng = np.random.default_rng(0)
    y = np.arange(n) % 3
    values = 0.3 * rng.standard_normal((n, 6, 4))
    values[np.arange(n), :, y] += 0.5
    x = Sequences(values.astype(np.float32), rng.integers(3, 7, n))
    return Dataset("toy", x[: n - 30], y[: n - 30], x[n - 30 :], y[n - 30 :], 3)


def weights(model: nn.Module) -> list[SparseParameter]:
    return [p for p in model.parameters() if isinstance(p, SparseParameter)]


@pytest.mark.parametrize("kind", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize("init", ["erk", "uniform"])
def test_the_whole_network_has_exactly_its_connections(kind: str, init: str) -> None:
    model = models.recurrent(
        kind, 12, 20, 9, 0.1, n_layers=2, bidirectional=True, init=init, seed=0
    )
    found = weights(model)
    positions = sum(p.shape[0] * p.shape[1] for p in found)
    assert sum(p.nnz for p in found) == round(0.1 * positions)
    assert len(found) == 9
    dense = models.recurrent(kind, 12, 20, 9, 0.8, keep_dense=[0, -1], seed=0)
    assert [p.pattern.is_full for p in weights(dense)] == [True, False, True]


def test_what_cannot_be_built_is_said() -> None:
    with pytest.raises(ValueError, match="kind must be one of rnn, gru, lstm"):
        models.recurrent("gnu", 3, 4, 2)
    with pytest.raises(ValueError, match="keep_dense holds 3, there are 3 layers"):
        models.recurrent("gru", 3, 4, 2, keep_dense=[3])


class Cut(Callback):
    """Ends the run as a kill would."""

    def on_batch_end(self, state: Any) -> None:
        if state.step == 13:
            raise SystemError("cut")


def trained(method: str, **options: Any) -> Any:
    recipe = topology.METHODS[method]
    density = 0.3 if recipe is None else recipe.start(0.3)
    model = models.recurrent("gru", 4, 12, 3, density, seed=1)
    sgd = method in ("snfs", "deepr")
    optimizer: Any = optim.Adam(model.parameters(), lr=0.01)
    if sgd:
        optimizer = optim.SGD(
            model.parameters(), lr=0.3, momentum=0.9 * (method == "snfs")
        )
    updater = topology.make(
        method, model.parameters(), optimizer, steps_per_epoch=4, total_steps=60,
        density=0.3, seed=2, **({"every": 5} if recipe else {}),
    )  # fmt: skip
    history = fit(
        model, toy(), epochs=15, optimizer=optimizer, batch_size=16, topology=updater,
        scaling="standard", seed=3, **options,
    )  # fmt: skip
    return model, history, updater


METHODS = [m for m in topology.METHODS if m not in ("dense", "srigl")]


@pytest.mark.parametrize("method", METHODS)
def test_every_method_trains_it(method: str) -> None:
    model, history, _ = trained(method)
    assert history["test_accuracy"][-1] > 0.6
    positions = sum(p.shape[0] * p.shape[1] for p in weights(model))
    if method != "cs":
        assert sum(p.nnz for p in weights(model)) == round(0.3 * positions)


def test_resumed_training_has_the_same_bits(tmp_path: Path) -> None:
    whole = trained("rigl")[0]
    path = tmp_path / "checkpoint.safetensors"
    with pytest.raises(SystemError, match="cut"):
        trained("rigl", callbacks=[Checkpoint(path, every_steps=1), Cut()])
    resumed = trained("rigl", start=path)[0]
    for a, b in zip(weights(whole), weights(resumed), strict=True):
        assert np.array_equal(a.pattern.csr()[1], b.pattern.csr()[1])
        assert np.array_equal(a.to_scipy().data, b.to_scipy().data)


def test_saved_and_loaded(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    data = toy()
    for kind in ("rnn", "gru", "lstm"):
        model = models.recurrent(
            kind, 4, 5, 3, 0.4, n_layers=2, bidirectional=True, dropout=0.1, seed=0
        ).eval()
        snn.save(model, path)
        again = snn.load(path)
        assert np.array_equal(model(data.x_test).data, again(data.x_test).data)
    arrays, metadata = read(path)
    key = "sparsenn.architecture"
    for name, value in (("n_layers", 99999), ("n_hidden", 10**9), ("n_hidden", 1.5)):
        old = f'"{name}":{2 if name == "n_layers" else 5}'
        text = metadata[key].replace(old, f'"{name}":{value}')
        write(path, arrays, {**metadata, key: text})
        with pytest.raises(FormatError):
            snn.load(path)


def test_a_step_costs_what_its_tokens_cost() -> None:
    model = models.recurrent("gru", 4, 12, 3, 0.3, seed=1)
    first, second, head = (p.nnz for p in weights(model))
    x = Sequences(np.zeros((3, 6, 4)), [6, 2, 1])
    assert StepCost(model)(x) == 9 * (4 * first + 6 * second) + 3 * 6 * head
    assert StepCost(model)(x.values) == 18 * (4 * first + 6 * second) + 3 * 6 * head


def test_frozen_for_one_sample() -> None:
    model = models.recurrent("lstm", 4, 12, 3, 0.3, seed=1)
    x = toy().x_test
    expected = model(x).data
    np.testing.assert_allclose(model.freeze()(x).data, expected, rtol=1e-4, atol=1e-5)


def test_a_text_is_scored_step_by_step(tmp_path: Path) -> None:
    text = np.random.default_rng(0).integers(0, 7, (4, 9))
    for kind in ("gru", "lstm"):
        model = models.char_rnn(7, 12, 0.2, kind=kind, dropout=0.1, seed=0)
        found = weights(model)
        positions = sum(p.shape[0] * p.shape[1] for p in found)
        assert sum(p.nnz for p in found) == round(0.2 * positions)
        loss = nn.functional.cross_entropy(model(text[:, :-1]), text[:, 1:])
        loss.backward()
        assert all(p.grad is not None for p in model.parameters())
        # What comes later changes nothing before.
        scores = model.eval()(text).data
        text[:, 5:] = 0
        assert np.array_equal(model(text).data[:, :5], scores[:, :5])
        snn.save(model, tmp_path / "model.safetensors")
        again = snn.load(tmp_path / "model.safetensors")
        assert np.array_equal(again(text).data, model(text).data)


# ---------------------------------------------------------------- every position


def loss_of(model: nn.Module, x: Any, y: np.ndarray) -> Any:
    return nn.functional.cross_entropy(model(x), y)


def dense_gradients(model: nn.Module, x: Any, y: np.ndarray) -> list[np.ndarray]:
    """Of the mean loss at every position, by a model with every connection."""
    kind = type(model[0]).__name__.lower()
    twin = models.recurrent(kind, 4, 5, 3, seed=0, dtype=np.float64)
    for a, b in zip(twin.parameters(), model.parameters(), strict=True):
        if isinstance(a, SparseParameter):
            a.values.assign_(b.to_scipy().toarray().reshape(-1))
        else:
            a.assign_(b.data)
    loss_of(twin, x, y).backward()
    return [p.grad.data.reshape(p.shape) for p in weights(twin)]


def small(kind: str, density: float = 0.4) -> tuple[nn.Module, Any, np.ndarray]:
    data = toy()
    model = models.recurrent(kind, 4, 5, 3, density, seed=4, dtype=np.float64)
    return model, Sequences(data.x_train.values, data.x_train.lengths), data.y_train


@pytest.mark.parametrize("kind", ["rnn", "gru", "lstm"])
def test_rigl_grows_by_the_gradient_summed_over_steps(kind: str) -> None:
    model, x, y = small(kind)
    topo = topology.RigL(model.parameters(), drop_fraction=0.3, every=1)
    topo.announce()
    loss_of(model, x, y).backward()
    expected = dense_gradients(model, x, y)
    before = [p.pattern.to_mask() for p in topo.params]
    topo.update(0.3)
    for p, g, mask in zip(topo.params, expected, before, strict=True):
        grown = p.pattern.to_mask() & ~mask
        free = np.sort(np.abs(g[~mask]))
        assert grown.any()
        np.testing.assert_allclose(
            np.sort(np.abs(g[grown])), free[-grown.sum() :], rtol=1e-9
        )


@pytest.mark.parametrize("kind", ["gru", "lstm"])
def test_the_flow_of_the_gradient_at_every_position(kind: str) -> None:
    model, x, y = small(kind)
    found = weights(model)
    for p in found:
        p.factors = []
    gradients, products = snn.ops.gradient_flow(loss_of(model, x, y), found)
    at = dense_gradients(model, x, y)
    for ours, g in zip(gradients, at, strict=True):
        np.testing.assert_allclose(
            sum(a.T @ b for a, b in ours.factors), g, rtol=1e-9, atol=1e-12
        )
    start = [p.values.data.copy() for p in found]
    steps = [p.grad.data.copy() for p in found]
    moved = []
    for s in (1e-4, -1e-4):
        for p, value, step in zip(found, start, steps, strict=True):
            p.values.assign_(value + s * step)
        moved.append(dense_gradients(model, x, y))
    for product, up, down in zip(products, *moved, strict=True):
        expected = (up - down) / 2e-4
        ours = sum(a.T @ b for a, b in product.factors)
        np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("virtual", [False, True])
@pytest.mark.parametrize("name", ["snip", "grasp", "force"])
def test_pruning_before_training(name: str, virtual: bool) -> None:
    data = toy()
    model = models.recurrent("gru", 4, 5, 3, None if virtual else 1.0, seed=4)
    batch = (data.x_train, data.y_train)
    method = getattr(pruning, name)
    options = {"rounds": 2} if name == "force" else {}
    method(model, nn.functional.cross_entropy, [batch], 0.3, seed=0, **options)
    positions = 15 * 4 + 15 * 5 + 3 * 5
    assert sum(p.nnz for p in weights(model)) == round(0.3 * positions)


def test_snip_keeps_what_a_dense_reference_keeps() -> None:
    model, x, y = small("gru", 1.0)
    arrays = [p.values.data.reshape(p.shape).copy() for p in weights(model)]
    scores = np.concatenate(
        [
            np.abs(w * g).ravel()
            for w, g in zip(arrays, dense_gradients(model, x, y), strict=True)
        ]
    )
    pruning.snip(model, nn.functional.cross_entropy, [(x, y)], 0.3, seed=0)
    kept = np.concatenate([p.pattern.to_mask().ravel() for p in weights(model)])
    assert set(np.flatnonzero(kept)) == set(np.argsort(scores)[-kept.sum() :])
