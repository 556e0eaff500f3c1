"""Dense weights of other programs: matched by shape and order, pruned exactly."""

from __future__ import annotations

import math
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsenn import models, nn
from sparsenn.export import safetensors
from sparsenn.sparse import SparseParameter, allocate


def weights(model: nn.Module) -> list[SparseParameter]:
    return [p for p in model.parameters() if isinstance(p, SparseParameter)]


def mlp(density: float = 0.0) -> nn.Sequential:
    return models.mlp([6, 5, 4, 3], density, seed=0)


def state(seed: int = 0, levels: int = 0) -> dict[str, np.ndarray]:
    """What another program would call the parameters of `mlp`."""
    rng = np.random.default_rng(seed)
    arrays = {}
    for i, (n_in, n_out) in enumerate(((6, 5), (5, 4), (4, 3))):
        w = rng.standard_normal((n_out, n_in)).astype(np.float32)
        arrays[f"fc{i + 1}.weight"] = np.round(w * levels) if levels else w
        arrays[f"fc{i + 1}.bias"] = rng.standard_normal(n_out).astype(np.float32)
    return arrays


def write(arrays, tmp_path: Path, kind: str):
    if kind == "mapping":
        return arrays
    path = tmp_path / f"weights.{kind}"
    if kind == "npz":
        np.savez(path, **arrays)
    else:
        safetensors.write(path, arrays)
    return path


@pytest.mark.parametrize("kind", ["mapping", "npz", "safetensors"])
def test_all_of_it(kind: str, tmp_path: Path) -> None:
    arrays = state()
    model = mlp()
    names = models.import_dense(model, write(arrays, tmp_path, kind))
    assert names == {
        f"{2 * i}.{part}": f"fc{i + 1}.{part}"
        for i in range(3)
        for part in ("weight", "bias")
    }
    for i, weight in enumerate(weights(model)):
        assert weight.pattern.is_full
        assert np.array_equal(weight.to_scipy().toarray(), arrays[f"fc{i + 1}.weight"])
        assert np.array_equal(model[2 * i].bias.data, arrays[f"fc{i + 1}.bias"])


@given(st.floats(0, 1), st.integers(0, 5), st.sampled_from([0, 1, 3]))
def test_the_largest_of_all_stay(density: float, seed: int, levels: int) -> None:
    arrays = state(seed, levels)
    model = mlp(0.5)
    models.import_dense(model, arrays, density)
    flat = np.concatenate([arrays[f"fc{i}.weight"].ravel() for i in (1, 2, 3)])
    k = round(density * flat.size)
    order = np.argsort(-np.abs(flat), kind="stable")[:k]  # ties: the first
    wanted = np.zeros(flat.size, bool)
    wanted[order] = True
    start = 0
    for weight in weights(model):
        size = math.prod(weight.shape)
        mask = np.zeros(weight.shape, bool)
        mask[weight.positions()] = True
        assert np.array_equal(mask.ravel(), wanted[start : start + size])
        values = np.where(mask.ravel(), flat[start : start + size], 0)
        assert np.array_equal(weight.to_scipy().toarray().ravel(), values)
        start += size


def test_layers_may_share_as_at_initialisation_and_stay_dense() -> None:
    model = mlp()
    models.import_dense(model, state(), 0.5, allocation="erk", keep_dense=[-1])
    shapes = [(5, 6), (4, 5), (3, 4)]
    wanted = allocate(shapes, 0.5, "erk", [2])
    assert [w.nnz for w in weights(model)] == wanted
    models.import_dense(model, state(), 0.5, keep_dense=[0])
    assert weights(model)[0].pattern.is_full
    assert sum(w.nnz for w in weights(model)) == 31


def test_convolutions_and_norms_by_shape_and_kind(tmp_path: Path) -> None:
    model = models.resnet(8, 0.0, image=(3, 16, 16), seed=0)
    rng = np.random.default_rng(0)
    arrays = {}
    names = iter(range(10, 100))
    for prefix, module in model.named_modules():
        del prefix
        if isinstance(module, nn.Conv2d | nn.Linear):
            number = next(names)
            axes = module.weight.axes
            arrays[f"layer.{number}.weight"] = rng.standard_normal(axes)
            if module.bias is not None:
                arrays[f"layer.{number}.bias"] = rng.standard_normal(axes[0])
        if isinstance(module, nn.BatchNorm2d):
            number = next(names)
            for part in ("weight", "bias", "running_mean", "running_var"):
                arrays[f"layer.{number}.{part}"] = rng.random(module.n_features) + 0.5
            arrays[f"layer.{number}.num_batches_tracked"] = np.array(7)
    matched = models.import_dense(model, write(arrays, tmp_path, "safetensors"), 0.1)
    positions = sum(math.prod(w.axes) for w in weights(model))
    assert sum(w.nnz for w in weights(model)) == round(0.1 * positions)
    for name, buffer in model.named_buffers():
        np.testing.assert_allclose(buffer, arrays[matched[name]], rtol=1e-6)
    for name, parameter in model.named_parameters():
        if isinstance(parameter, SparseParameter):
            dense = arrays[matched[name]].reshape(parameter.shape)
            rows, columns = parameter.positions()
            np.testing.assert_allclose(
                parameter.values.data, dense[rows, columns], rtol=1e-6
            )


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({"fc2.weight": None}, {}, "nothing fits '2.weight', weight of shape"),
        ({"extra": np.zeros(2)}, {}, "nothing in the model fits 'extra'"),
        (
            {"fc1.weight": np.zeros((5, 7))},
            {},
            r"\(5, 6\).*fits 'fc1.weight', \(5, 7\)",
        ),
        ({"fc1.bias": np.full(5, np.nan)}, {}, "'fc1.bias' has values that are not"),
        ({}, {"density": 0.1, "keep_dense": [0]}, "kept dense have 30 connections"),
        ({}, {"method": "random"}, "method must be 'magnitude'"),
        ({}, {"names": {"9.weight": "fc1.weight"}}, "the model has no array"),
        ({}, {"names": {"0.weight": "fc9.weight"}}, "no array 'fc9.weight'"),
        ({}, {"names": {"0.weight": "fc2.weight"}}, r"has shape \(4, 5\), '0.weight'"),
    ],
)
def test_what_does_not_fit_changes_nothing(change, options, message: str) -> None:
    arrays = {**state(), **change}
    arrays = {name: array for name, array in arrays.items() if array is not None}
    model = mlp(0.5)
    before = [w.pattern for w in weights(model)]
    with pytest.raises(ValueError, match=message):
        models.import_dense(model, arrays, **options)
    assert [w.pattern for w in weights(model)] == before


def test_names_that_are_given(tmp_path: Path) -> None:
    arrays = state()
    arrays = {name.replace("fc1", "entry"): array for name, array in arrays.items()}
    arrays["first"] = arrays.pop("entry.weight")
    model = mlp()
    matched = models.import_dense(model, arrays, names={"0.weight": "first"})
    assert matched["0.weight"] == "first"
    with pytest.raises(ValueError, match=r"give a \.safetensors or \.npz file"):
        models.import_dense(model, tmp_path / "weights.pt")


@pytest.mark.parametrize("kind", ["npz", "safetensors"])
def test_one_dense_weight_in_memory_at_a_time(kind: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    sizes = [400] * 13
    arrays = {}
    for i in range(12):
        w = rng.standard_normal((400, 400)).astype(np.float32)
        arrays[f"{i}.weight"], arrays[f"{i}.bias"] = w, np.zeros(400, np.float32)
    source = write(arrays, tmp_path, kind)
    everything = sum(a.nbytes for a in arrays.values())
    del arrays
    model = models.mlp(sizes, 0.0)
    models.import_dense(models.mlp(sizes, 0.0), source, 0.01)  # what is made only once
    tracemalloc.start()
    models.import_dense(model, source, 0.01)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < everything / 2
