"""Sensitivity and robustness of layers: right numbers, and a model as it was."""

from __future__ import annotations

import csv
import io
import itertools
import json

import numpy as np
import pytest

from sparsenn import nn, pruning
from sparsenn.export import model as model_file

SIZES = (6, 9, 7, 4)


def net(density: float = 0.8) -> nn.Sequential:
    layers: list[nn.Module] = []
    for i, (n_in, n_out) in enumerate(itertools.pairwise(SIZES)):
        layer = nn.Linear(n_in, n_out, density, seed=1, number=i, dtype=np.float64)
        layer.bias.data[:] = i + 1  # type: ignore[union-attr]
        layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


X = np.random.default_rng(0).normal(size=(5, 6))


def evaluate(model: nn.Sequential) -> float:
    return float(model(X).data.sum())


def dense_prune(w: np.ndarray, share: float) -> np.ndarray:
    nnz = np.count_nonzero(w)
    order = np.argsort(-np.abs(w), axis=None)[: nnz - round(share * nnz)]
    out = np.zeros_like(w)
    out.flat[order] = w.flat[order]
    return out


def dense_value(weights: list[np.ndarray]) -> float:
    h = X
    for i, w in enumerate(weights):
        h = h @ w.T + (i + 1)
        h = np.maximum(h, 0) if i < len(weights) - 1 else h
    return float(h.sum())


def state(model: nn.Sequential) -> list[object]:
    return [(p.pattern, p.values.data.tobytes()) for p in model.chain()]


def test_each_block_by_itself_and_all_together() -> None:
    model = net()
    before = state(model)
    weights = [p.to_scipy().toarray() for p in model.chain()]
    seen: list[tuple[str, float, float]] = []
    blocks = {"ends": ["first", 2], "middle": 1}
    shares = (0.0, 0.3, 0.9, 1.0)
    found = pruning.sensitivity(
        model, evaluate, shares, blocks=blocks, progress=lambda *a: seen.append(a)
    )
    assert state(model) == before
    assert found.blocks == ("ends", "middle")
    assert found.layers == (("0.weight", "4.weight"), ("2.weight",))
    assert found.connections == (65, 50)
    for name, numbers in (("ends", {0, 2}), ("middle", {1}), ("full", {0, 1, 2})):
        for j, share in enumerate(shares):
            expected = dense_value(
                [
                    dense_prune(w, share) if i in numbers else w
                    for i, w in enumerate(weights)
                ]
            )
            row = (
                found.full if name == "full" else found.values[found.blocks.index(name)]
            )
            np.testing.assert_allclose(row[j], expected, rtol=1e-12)
    np.testing.assert_allclose(found.baseline, dense_value(weights), rtol=1e-12)
    assert len(seen) == 12
    assert seen[-1] == ("full model", 1.0, found.full[-1])


def test_the_model_comes_back_after_an_error() -> None:
    model = net()
    before = state(model)
    calls = []

    def fails(model: nn.Sequential) -> float:
        calls.append(state(model))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return 0.0

    with pytest.raises(KeyboardInterrupt):
        pruning.sensitivity(model, fails, (0.5,))
    assert calls[-1] != before
    assert state(model) == before


def test_the_default_is_a_layer_a_block_and_writes_files() -> None:
    found = pruning.sensitivity(net(), evaluate, (0.0, 0.5))
    assert found.blocks == ("0.weight", "2.weight", "4.weight")
    again = pruning.Sensitivity.from_dict(json.loads(found.to_json()))
    assert again.to_dict() == found.to_dict()
    rows = list(csv.reader(io.StringIO(found.to_csv())))
    assert rows[0] == ["block", "sparsity", "value"]
    assert [(r[0], float(r[1]), float(r[2])) for r in rows[3:5]] == [
        ("2.weight", 0.0, found.baseline),
        ("2.weight", 0.5, found.values[1, 1]),
    ]
    assert len(rows) == 1 + 8
    assert "full model" in repr(found)


def test_other_scores() -> None:
    model = net(1.0)
    weights = [p.to_scipy().toarray() for p in model.chain()]

    def keep_left(weight: pruning.Weight) -> np.ndarray:
        return -weight.param.positions()[1].astype(np.float64)

    found = pruning.sensitivity(
        model, evaluate, (0.5,), score=keep_left, blocks={"a": 0}
    )
    left = weights[0].copy()
    left[:, 3:] = 0
    expected = dense_value([left, *weights[1:]])
    np.testing.assert_allclose(found.values, [[expected]], rtol=1e-12)
    np.testing.assert_allclose(found.full, [expected], rtol=1e-12)
    random = [
        pruning.sensitivity(model, evaluate, (0.5,), score="random", seed=s).values
        for s in (0, 0, 1)
    ]
    assert np.array_equal(random[0], random[1])
    assert not np.array_equal(random[0], random[2])


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"sparsities": (0.5, 1.5)}, r"numbers in \[0, 1\]"),
        ({"blocks": {}}, "blocks is empty"),
        ({"blocks": {"a": []}}, "block 'a' holds no layer"),
        ({"blocks": {"a": ["x"]}}, "block 'a' holds 'x', which names no weight"),
        ({"score": "taylor"}, "'magnitude', 'random' or callable"),
    ],
)
def test_what_is_wrong_is_said(options: dict, match: str) -> None:
    model = net()
    before = state(model)
    with pytest.raises(ValueError, match=match):
        pruning.sensitivity(model, evaluate, **options)
    assert state(model) == before


def test_robustness_of_layers() -> None:
    model = net()
    start = [p.to_scipy().toarray() for p in model.chain()]
    other = net(0.5)
    rng = np.random.default_rng(0)
    for param in model.chain():
        param.values.data[:] += rng.normal(size=param.nnz)
    now = [p.to_scipy().toarray() for p in model.chain()]
    then = [p.to_scipy().toarray() for p in other.chain()]
    before = state(model)
    arrays = model_file.model_arrays(other)
    found = pruning.layer_robustness(
        model, evaluate, {"init": "init", "step 5": arrays}, seed=4
    )
    assert state(model) == before
    assert [b.data[0] for b in model.parameters()[1::2]] == [1, 2, 3]
    assert found.states == ("init", "step 5", "random")
    assert found.layers == ("0.weight", "2.weight", "4.weight")
    for i in range(3):
        for j, w in enumerate((start[i], then[i])):
            np.testing.assert_allclose(
                found.distances[i, j], np.linalg.norm(now[i] - w), rtol=1e-10
            )
            biases = [1.0, 2.0, 3.0]
            if j == 0:
                biases[i] = 0
            h = X
            for k, b in enumerate(biases):
                h = h @ (w if k == i else now[k]).T + b
                h = np.maximum(h, 0) if k < 2 else h
            np.testing.assert_allclose(found.values[i, j], h.sum(), rtol=1e-10)
    assert found.distances[:, 2].min() > 0
    assert np.isfinite(found.values[:, 2]).all()
    assert json.loads(found.to_json())["states"] == ["init", "step 5", "random"]
    assert len(found.to_csv().splitlines()) == 10
    assert "step 5" in repr(found)
    with pytest.raises(ValueError, match="nothing to do"):
        pruning.layer_robustness(model, evaluate, {}, random=False)
    with pytest.raises(ValueError, match="named 'random'"):
        pruning.layer_robustness(model, evaluate, {"random": "init"})
