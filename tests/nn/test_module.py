"""Parameters, buffers, configurations and the summary."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import sparsenn as snn
from sparsenn import nn, pruning
from sparsenn.autograd import Tensor
from sparsenn.nn.config import to_config
from sparsenn.random import Purpose, Stream
from sparsenn.sparse import SparseParameter


class Residual(nn.Module):
    """A user's module, with a list of blocks and a bare tensor."""

    def __init__(self) -> None:
        self.blocks = [nn.Linear(4, 4, 0.5, seed=i) for i in range(2)]
        self.scale = Tensor(np.ones(4, np.float32), requires_grad=True)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = x + block(x) * self.scale
        return x


def model() -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(8, 6, 0.5, seed=0),
        nn.BatchNorm1d(6),
        nn.ReLU(),
        nn.Dropout(0.1, seed=0),
        nn.Sequential(nn.Linear(6, 3, bias=False, seed=1)),
    )


def test_names_follow_the_attributes() -> None:
    names = [name for name, _ in model().named_parameters()]
    assert names == ["0.weight", "0.bias", "1.weight", "1.bias", "4.0.weight"]
    assert [n for n, _ in Residual().named_parameters()] == [
        "scale",
        "blocks.0.weight",
        "blocks.0.bias",
        "blocks.1.weight",
        "blocks.1.bias",
    ]
    buffers = [name for name, _ in model().named_buffers()]
    assert buffers == ["1.running_mean", "1.running_var", "3.calls"]


def test_sparse_parameters_remember_their_names() -> None:
    weight = model().parameters()[-1]
    assert weight.name == "4.0.weight"


def test_train_and_eval_reach_every_module() -> None:
    m = model()
    assert m.eval() is m
    assert not any(module.training for _, module in m.named_modules())
    m.train()
    assert all(module.training for _, module in m.named_modules())


def test_a_users_module_trains() -> None:
    module = Residual()
    module(np.ones((2, 4), np.float32)).sum().backward()
    assert all(
        (p.values if hasattr(p, "values") else p).grad is not None
        for p in module.parameters()
    )


def test_configuration_round_trip() -> None:
    m = model()
    rebuilt = nn.from_config(to_config(m))
    assert to_config(rebuilt) == to_config(m)
    shapes = [p.shape for p in m.parameters()]
    assert [p.shape for p in rebuilt.parameters()] == shapes
    assert rebuilt[0].weight.nnz == 0


@pytest.mark.parametrize(
    "layer",
    [
        nn.Linear(4, 4, 0.5, seed=0),
        nn.Conv2d(2, 2, 3, 0.5, seed=0),
        nn.Embedding(4, 4, 0.5, seed=0),
        nn.LSTM(3, 4, 2, bidirectional=True, seed=0),
        nn.MultiheadAttention(4, 2, seed=0),
        nn.TransformerEncoderLayer(4, 2, seed=0),
        nn.TransformerDecoderLayer(4, 2, seed=0),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_a_loaded_weight_is_not_drawn_by_another_law(
    layer: nn.Module, tmp_path: Path
) -> None:
    snn.save(layer, tmp_path / "m.safetensors")
    loaded = snn.load(tmp_path / "m.safetensors").train()
    found = [p for p in loaded.parameters() if isinstance(p, SparseParameter)]
    assert found
    for weight in found:
        with pytest.raises(RuntimeError, match="no initializer to draw from; assign"):
            weight.draw(Stream(0, Purpose.TEST))
        with pytest.raises(RuntimeError, match="read from a file"):
            weight.initial_values()
    with pytest.raises(RuntimeError, match="set its `initializer`"):
        pruning.random(nn.Sequential(loaded), 0.1, values="redraw")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, "'type'"),
        ("Linear", "'type'"),
        ({"type": "Convolution"}, "unknown layer 'Convolution'; known: "),
        ({"type": "Linear", "n_in": 3}, "layer Linear: .*n_out"),
        ({"type": "Linear", "n_in": 3, "n_out": 2, "x": 1}, "layer Linear"),
        ({"type": "Linear", "n_in": -3, "n_out": 2}, "at least 0"),
        ({"type": "Linear", "n_in": "3", "n_out": 2}, "layer Linear"),
        ({"type": "Sequential", "layers": 3}, "list of layers"),
    ],
)
def test_configurations_are_refused(config, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        nn.from_config(config)


def test_unknown_modules_have_no_configuration() -> None:
    with pytest.raises(TypeError, match="Residual is not a layer of this library"):
        to_config(nn.Sequential(Residual()))


def test_summary_counts() -> None:
    text = model().summary()
    assert "0.weight" in text
    assert "6 x 8" in text
    (total,) = (line for line in text.splitlines() if line.startswith("total"))
    assert total.split()[1] == "42"  # a bias is no connection
    assert "42 of 66 weight positions hold a connection" in text


def test_printing_is_useful() -> None:
    assert "Linear(n_in=8, n_out=6, nnz=24, density=0.5, bias=True)" in repr(model())
    assert "nnz=24" in repr(model()[0].weight)
    assert "blocks.0" in repr(Residual())
