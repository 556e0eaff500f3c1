"""Architectures by name: exact budgets, and errors that say what does not fit."""

from __future__ import annotations

import numpy as np
import pytest

from sparsenn import models, nn
from sparsenn.autograd import REGISTRY
from sparsenn.models.recurrent import LAYERS
from sparsenn.ops.cells import CELLS


def linears(model: nn.Module) -> list[nn.Linear]:
    return [m for _, m in model.named_modules() if isinstance(m, nn.Linear)]


@pytest.mark.parametrize("init", ["erk", "er", "uniform"])
def test_the_whole_network_has_exactly_its_connections(init: str) -> None:
    model = models.build("784-300-100-10", 784, 10, 0.1, init=init, seed=0)
    assert sum(layer.weight.nnz for layer in linears(model)) == 26_620


def test_layers_kept_dense_are_full() -> None:
    model = models.mlp([20, 30, 10], 0.5, keep_dense=[-1], seed=0)
    first, last = linears(model)
    assert last.weight.pattern.is_full
    assert first.weight.nnz == 450 - 300


def test_the_scale_of_the_input_is_undone_in_the_first_layer_only() -> None:
    plain = linears(models.mlp([20, 30, 10], 0.5, seed=0, dtype=np.float64))
    scaled = linears(
        models.mlp([20, 30, 10], 0.5, input_rms=0.25, seed=0, dtype=np.float64)
    )
    np.testing.assert_allclose(
        scaled[0].weight.values.data, 4 * plain[0].weight.values.data, rtol=1e-15
    )
    assert np.array_equal(scaled[1].weight.values.data, plain[1].weight.values.data)


def test_every_recurrent_layer_has_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind, layer in LAYERS.items():
        model = models.build(f"{kind}:2x5", 3, 2, kind="sequences", seed=0)
        assert isinstance(model[0], layer) and model[0].n_layers == 2
    monkeypatch.setitem(CELLS, "mgu", CELLS["gru"])
    recurrence = REGISTRY["recurrence"]
    *_, sample = recurrence.sample(np.random.default_rng(0))
    assert sample.static["cell"] == "mgu"
    with pytest.raises(ValueError, match="no reference of the cell 'mgu'"):
        recurrence.reference(*sample.inputs, **sample.static)


@pytest.mark.parametrize(
    ("arch", "message"),
    [
        ("784", "not understood"),
        ("784x10", "not understood"),
        ("784-0-10", "not understood"),
        ("783-300-10", "takes 783 features, the data has 784"),
        ("784-300-11", "has 11 outputs, the data has 10 classes"),
    ],
)
def test_architectures_that_do_not_fit(arch: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        models.build(arch, 784, 10)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sizes": [5]}, "two or more"),
        ({"sizes": [5, 3], "activation": "step"}, "activation must be one of"),
        ({"sizes": [5, 3], "keep_dense": [1]}, "keep_dense names layer 1"),
        ({"sizes": [5, 3], "input_rms": 0.0}, "input_rms must be positive"),
        ({"sizes": [5, 3], "density": 1.5}, "density"),
    ],
)
def test_arguments_that_are_refused(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        models.mlp(**arguments)
