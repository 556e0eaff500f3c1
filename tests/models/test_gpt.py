"""The small GPT: its budget, its twin in PyTorch, and every method of the library."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import sparsenn as snn
from sparsenn import data, models, nn, optim, pruning, topology, train
from sparsenn.nn import functional
from sparsenn.sparse import SparseParameter
from sparsenn.train.cost import StepCost

VOCAB, CONTEXT, LAYERS, WIDTH = 11, 8, 2, 16
POSITIONS = LAYERS * 12 * WIDTH**2 + VOCAB * WIDTH


def small(density: float | None = 0.3, **options):
    return models.gpt(
        VOCAB, CONTEXT, LAYERS, WIDTH, 2, density, seed=0, dtype=np.float64, **options
    )


def batch(n: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    tokens = np.random.default_rng(seed).integers(0, VOCAB, (n, CONTEXT + 1))
    return tokens[:, :-1], tokens[:, 1:]


def weights(model: nn.Module) -> list[SparseParameter]:
    return [p for p in model.parameters() if isinstance(p, SparseParameter)]


@pytest.mark.parametrize("init", ["uniform", "erk", "er", "igq"])
@pytest.mark.parametrize("density", [0.0, 0.15, 0.333, 1.0])
def test_density_is_exact(init: str, density: float) -> None:
    found = weights(small(density, init=init))
    assert len(found) == 6 * LAYERS + 1
    assert sum(p.shape[0] * p.shape[1] for p in found) == POSITIONS
    assert sum(p.nnz for p in found) == round(density * POSITIONS)


def test_what_comes_later_does_not_matter() -> None:
    model = small()
    x, _ = batch()
    changed = x.copy()
    changed[:, 5:] = (changed[:, 5:] + 1) % VOCAB
    before, after = model(x).data, model(changed).data
    np.testing.assert_array_equal(before[:, :5], after[:, :5])
    assert (before[:, 5] != after[:, 5]).any()


@pytest.mark.parametrize("density", [0.3, 1.0])
def test_like_pytorch(density: float) -> None:
    """Logits and gradients; PyTorch has the absent connections as zeros."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    model = small(density)
    x, y = batch()
    loss = functional.cross_entropy(model(x), y)
    loss.backward()
    twins = {
        name: torch.tensor(
            p.to_scipy().toarray() if isinstance(p, SparseParameter) else p.data,
            requires_grad=True,
        )
        for name, p in model.named_parameters()
    }
    logits = pytorch_gpt(torch, twins, x)
    np.testing.assert_allclose(model(x).data, logits.detach().numpy(), atol=1e-12)
    torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), torch.tensor(y).flatten()
    ).backward()
    for name, p in model.named_parameters():
        gradient = twins[name].grad.numpy()
        if isinstance(p, SparseParameter):
            gradient = gradient[p.positions()]
        np.testing.assert_allclose(p.grad.data, gradient, atol=1e-12, err_msg=name)


def pytorch_gpt(torch, w, x):
    f = torch.nn.functional
    h = w["0.weight"][torch.tensor(x)] + w["1.weight"][: x.shape[1]]
    for i in range(2, 2 + LAYERS):

        def linear(name, t, i=i):
            return f.linear(t, w[f"{i}.{name}.weight"], w[f"{i}.{name}.bias"])

        def norm(name, t, i=i):
            return f.layer_norm(
                t, (WIDTH,), w[f"{i}.{name}.weight"], w[f"{i}.{name}.bias"]
            )

        n = norm("norm1", h)
        q, k, v = (
            linear(f"attention.{part}", n).unflatten(2, (2, -1)).transpose(1, 2)
            for part in ("query", "key", "value")
        )
        mixed = f.scaled_dot_product_attention(q, k, v, is_causal=True)
        h = h + linear("attention.output", mixed.transpose(1, 2).flatten(2))
        up = linear("feed_forward.up", norm("norm2", h))
        h = h + linear("feed_forward.down", f.gelu(up))
    last = 2 + LAYERS
    h = f.layer_norm(h, (WIDTH,), w[f"{last}.weight"], w[f"{last}.bias"])
    return f.linear(h, w[f"{last + 1}.weight"])


@pytest.mark.parametrize("method", ["set", "rigl", "snfs", "mest", "dsr"])
def test_it_learns_while_its_topology_changes(method: str) -> None:
    model = small(0.3)
    opt = optim.AdamW(model.parameters(), lr=0.01)
    topo = topology.make(
        method,
        model.parameters(),
        opt,
        steps_per_epoch=5,
        total_steps=60,
        density=0.3,
        every=5,
    )
    x, y = batch()
    before = [p.pattern for p in weights(model)]
    losses = []
    for _ in range(60):
        loss = functional.cross_entropy(model(x), y)
        loss.backward()
        topo.step() or opt.step()
        opt.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    found = weights(model)
    assert sum(p.nnz for p in found) == round(0.3 * POSITIONS)
    assert any(p.pattern is not old for p, old in zip(found, before, strict=True))


@pytest.mark.parametrize("method", ["snip", "grasp", "magnitude", "random"])
@pytest.mark.parametrize("start", [1.0, None])
def test_pruned(method: str, start: float | None) -> None:
    if method == "magnitude" and start is None:
        return  # a virtual weight has no values worth keeping
    model = small(start)
    batches = [batch()]
    if method in ("snip", "grasp"):
        prune = getattr(pruning, method)
        prune(model, functional.cross_entropy, batches, 0.2)
    else:
        getattr(pruning, method)(model, 0.2)
    assert sum(p.nnz for p in weights(model)) == round(0.2 * POSITIONS)
    assert np.isfinite(model(batches[0][0]).data).all()


def test_saved_and_loaded(tmp_path: Path) -> None:
    model = small(0.3, dropout=0.1, window=3)
    snn.save(model, tmp_path / "gpt.safetensors")
    loaded = snn.load(tmp_path / "gpt.safetensors")
    x, _ = batch()
    assert np.array_equal(model.eval()(x).data, loaded(x).data)
    np.testing.assert_allclose(model.freeze()(x).data, loaded(x).data, atol=1e-12)


def test_a_text_is_fitted_and_resumed(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("to be, or not to be: " * 60)
    text = data.load_text(tmp_path / "a.txt", val_fraction=0.1, test_fraction=0.1)
    found = text.dataset(CONTEXT)
    assert found.x_train.shape == found.y_train.shape
    assert np.array_equal(found.x_train.values[0, 1:], found.y_train[0, :-1])

    class Interrupt(train.Callback):
        def on_batch_end(self, state: train.State) -> None:
            if state.step == 25:
                raise KeyboardInterrupt

    def fitted(**options):
        model = models.gpt(len(text.vocabulary), CONTEXT, 1, 16, density=0.4, seed=0)
        opt = optim.AdamW(model.parameters(), lr=0.01)
        topo = topology.SET(model.parameters(), opt, drop_fraction=0.2, every=10)
        history = train.fit(
            model, found, epochs=6, optimizer=opt, topology=topo, batch_size=8,
            **options,
        )  # fmt: skip
        return model, history

    whole, history = fitted()
    assert history["test_accuracy"][-1] > 0.6 > history["train_accuracy"][0] > 0
    assert history["test_loss"][-1] < history["test_loss"][0]
    path = tmp_path / "c.safetensors"
    with pytest.raises(KeyboardInterrupt):
        fitted(callbacks=[Interrupt(), train.Checkpoint(path)])
    resumed, _ = fitted(start=path)
    for one, other in zip(weights(whole), weights(resumed), strict=True):
        assert np.array_equal(one.values.data, other.values.data)


def test_every_weight_counts_for_every_token() -> None:
    model = small(0.3)
    x, _ = batch()
    assert StepCost(model)(x) == 6 * x.size * round(0.3 * POSITIONS)


def test_bad_sizes_are_explained() -> None:
    with pytest.raises(ValueError, match="layers"):
        models.gpt(5, 8, 0)
    with pytest.raises(ValueError, match="heads"):
        models.gpt(5, 8, 1, 10, 3)


def test_summary_counts_every_token() -> None:
    for model, shape, tokens in (
        (small(), None, CONTEXT),
        (small(), (5,), 5),
        (models.char_rnn(VOCAB, 6, 0.3, kind="gru", seed=0), (5,), 5),
    ):
        nnz = sum(p.nnz for p in weights(model))
        (total,) = (
            line.split()
            for line in model.summary(shape).splitlines()
            if line.startswith("total")
        )
        assert total[1] == f"{nnz:,}" and total[3] == f"{nnz * tokens:,}"
    header, _, first, *_ = models.char_rnn(VOCAB, 6, 0.3, seed=0).summary().splitlines()
    assert header.split()[-2:] == ["MACs", "bytes"] and first.split()[0] == "0.weight"


def test_summary_counts_a_sparse_embedding_by_the_token() -> None:
    model = nn.Sequential(
        nn.Embedding(10, 4, nnz=20, seed=0), nn.Linear(4, 3, seed=0, number=1)
    )
    rows = [line.split() for line in model.summary((6,)).splitlines()]
    assert (rows[2][0], rows[2][6]) == ("0.weight", str(6 * 20 // 10))
    assert (rows[3][0], rows[3][6]) == ("1.weight", str(6 * 12))
