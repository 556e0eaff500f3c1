"""Effective connections, dead neurons and collapse, against products of dense masks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsenn import nn, optim, pruning
from sparsenn.autograd import Tensor
from sparsenn.sparse import SparseParameter, SparsePattern


def chain_of(
    masks: list[np.ndarray], *, bias: bool = False, by_column: bool = False
) -> nn.Sequential:
    """Linear layers with ReLU between, weights all positive."""
    layers: list[nn.Module] = []
    for i, mask in enumerate(masks):
        pattern = SparsePattern.from_mask(mask)
        layer = nn.Linear(
            mask.shape[1],
            mask.shape[0],
            pattern=pattern,
            bias=bias,
            seed=i,
            sparse_input=by_column,
            dtype=np.float64,
        )
        layer.weight.values.data[:] = np.abs(layer.weight.values.data) + 0.1
        layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


@st.composite
def chains(draw: st.DrawFn) -> list[np.ndarray]:
    sizes = draw(st.lists(st.integers(1, 9), min_size=2, max_size=5))
    rng = np.random.default_rng(draw(st.integers(0, 9999)))
    densities = draw(
        st.lists(
            st.sampled_from([0.0, 0.1, 0.3, 0.6, 1.0]),
            min_size=len(sizes) - 1,
            max_size=len(sizes) - 1,
        )
    )
    return [
        rng.random((n_out, n_in)) < d
        for n_in, n_out, d in zip(sizes, sizes[1:], densities, strict=False)
    ]


def dense_effective(masks: list[np.ndarray]) -> list[np.ndarray]:
    """Where (paths to the start) x (paths from the end) > 0."""
    into = [np.ones(masks[0].shape[1])]
    for mask in masks:
        into.append(mask.astype(float) @ into[-1])
    out = [np.ones(masks[-1].shape[0])]
    for mask in masks[::-1]:
        out.append(mask.T.astype(float) @ out[-1])
    out.reverse()
    return [mask & (np.outer(out[i + 1], into[i]) > 0) for i, mask in enumerate(masks)]


@settings(max_examples=60)
@given(masks=chains(), by_column=st.booleans())
def test_effective_connections(masks: list[np.ndarray], by_column: bool) -> None:
    model = chain_of(masks, by_column=by_column)
    found = pruning.effective(model)
    expected = dense_effective(masks)
    for layer, param, mask in zip(found.layers, model.chain(), expected, strict=True):
        dense = np.zeros(param.shape, bool)
        rows, cols = param.positions()
        dense[rows[layer.mask], cols[layer.mask]] = True
        assert np.array_equal(dense, mask)
    total = sum(int(m.sum()) for m in expected)
    assert found.effective == total
    assert found.nnz == sum(int(m.sum()) for m in masks)
    assert found.effective_density == total / sum(m.size for m in masks)
    assert pruning.collapsed(model) == (total == 0)
    for dead, mask in zip(pruning.dead_neurons(model), expected, strict=False):
        assert np.array_equal(dead, ~mask.any(axis=1))
    if len(masks) > 1 and total:
        gradient_says = _reached_by_gradient(model)
        assert gradient_says == [int(m.sum()) for m in expected]


def _reached_by_gradient(model: nn.Sequential) -> list[int]:
    """Connections with a gradient, all values positive and one input of ones."""
    model(np.ones((1, model.chain()[0].shape[1]))).sum().backward()
    return [
        0 if p.grad is None else int(np.count_nonzero(p.grad.data))
        for p in model.chain()
    ]


@settings(max_examples=40)
@given(masks=chains())
def test_dropping_the_ineffective_keeps_the_function(masks: list[np.ndarray]) -> None:
    model = chain_of(masks)
    opt = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    x = np.random.default_rng(0).normal(size=(4, masks[0].shape[1]))
    before = model(x).data.copy()
    expected = pruning.effective(model).effective
    for param in model.chain():
        opt.state(param)["momentum"][:] = param.values.data
    result = pruning.drop_ineffective(model, optimizer=opt)
    np.testing.assert_allclose(model(x).data, before, rtol=1e-12)
    assert result.after == result.effective == expected
    again = pruning.effective(model)
    assert again.effective == again.nnz == expected
    for param in model.chain():
        assert np.array_equal(opt.state(param)["momentum"], param.values.data)


def test_the_table_by_hand() -> None:
    model = chain_of(
        [np.array([[1, 1], [0, 0], [1, 0]], bool), np.array([[1, 1, 0]], bool)]
    )
    for name, param in model.named_parameters():
        assert param.name == name  # type: ignore[union-attr]
    found = pruning.effective(model)
    assert found.rows() == [
        {
            "name": "0.weight",
            "shape": [3, 2],
            "nnz": 3,
            "density": 0.5,
            "effective": 2,
            "effective_density": 1 / 3,
            "dead": 2,
        },
        {
            "name": "2.weight",
            "shape": [1, 3],
            "nnz": 2,
            "density": 2 / 3,
            "effective": 1,
            "effective_density": 1 / 3,
            "dead": None,
        },
    ]
    assert found.dead[0].tolist() == [False, True, True]
    assert "3 of 5 connections effective" in repr(found)
    assert pruning.effective_density(model.chain()) == 3 / 9


class Residual(nn.Module):
    def __init__(self) -> None:
        self.a, self.b = nn.Linear(4, 4, seed=0), nn.Linear(4, 4, seed=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.b(self.a(x))


class Own(Residual):
    def chain(self) -> list[SparseParameter]:
        return [self.a.weight, self.b.weight]


def test_what_is_no_chain_is_refused() -> None:
    with pytest.raises(TypeError, match="Residual does not say how"):
        pruning.effective(Residual())
    assert pruning.effective(Own()).effective == 32
    with pytest.raises(TypeError, match="give a Sequential"):
        pruning.effective(object())
    with pytest.raises(TypeError, match="a chain is of SparseParameters"):
        pruning.effective([1])
    with pytest.raises(ValueError, match="no sparse weight"):
        pruning.effective(nn.Sequential(nn.ReLU()))
    weights = [nn.Linear(3, 5, seed=0).weight, nn.Linear(4, 2, seed=0).weight]
    with pytest.raises(ValueError, match="5 outputs, the next, 'weight', 4 inputs"):
        pruning.effective(weights)
