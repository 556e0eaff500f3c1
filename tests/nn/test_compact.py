"""compact(): the same function with fewer neurons."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsenn import nn, no_grad
from sparsenn.autograd import Tensor
from sparsenn.sparse import SparsePattern

ACTIVATIONS = {
    "relu": lambda n: [nn.ReLU()],
    "gelu": lambda n: [nn.GELU()],
    "sigmoid": lambda n: [nn.Sigmoid()],
    "silu": lambda n: [nn.SiLU()],
    "tanh and dropout": lambda n: [nn.Tanh(), nn.Dropout(0.5, seed=0)],
    "leaky": lambda n: [nn.LeakyReLU(0.1)],
    "all-relu": lambda n: [nn.AllReLU(1)],
    "srelu": lambda n: [nn.SReLU(n, np.float64)],
    "batch norm": lambda n: [nn.BatchNorm1d(n, dtype=np.float64), nn.ReLU()],
    "layer norm": lambda n: [nn.LayerNorm(n, dtype=np.float64), nn.ReLU()],
    "k-winners": lambda n: [nn.KWinners(n, 0.5)],
    "nothing": lambda n: [],
}


def linear(
    mask: np.ndarray, rng: np.random.Generator, *, bias: bool = True, **options: bool
) -> nn.Linear:
    pattern = SparsePattern.from_mask(mask)
    n_out, n_in = mask.shape
    layer = nn.Linear(
        n_in, n_out, pattern=pattern, bias=bias, dtype=np.float64, seed=0, **options
    )
    layer.weight.values.data[:] = rng.normal(size=layer.weight.nnz)
    if layer.bias is not None:
        layer.bias.data[:] = rng.normal(size=n_out)
    return layer


def live_units(masks: list[np.ndarray]) -> list[int]:
    """Hidden units on a path from an input to an output, by powers of masks."""
    forward = [np.ones(masks[0].shape[1], bool)]
    for mask in masks:
        forward.append((mask & forward[-1]).any(axis=1))
    backward = [np.ones(masks[-1].shape[0], bool)]
    for mask in masks[::-1]:
        backward.append((mask.T & backward[-1]).any(axis=1))
    return [
        int((f & b).sum())
        for f, b in zip(forward[1:-1], backward[::-1][1:-1], strict=True)
    ]


@settings(max_examples=60)
@given(
    seed=st.integers(0, 9999),
    hidden=st.lists(st.integers(1, 12), min_size=1, max_size=3),
    densities=st.lists(
        st.sampled_from([0.0, 0.05, 0.15, 0.4, 1.0]), min_size=4, max_size=4
    ),
    kinds=st.lists(st.sampled_from(sorted(ACTIVATIONS)), min_size=3, max_size=3),
    bias=st.booleans(),
    sparse_input=st.booleans(),
)
def test_the_function_is_the_same_and_the_dead_are_gone(
    seed: int,
    hidden: list[int],
    densities: list[float],
    kinds: list[str],
    bias: bool,
    sparse_input: bool,
) -> None:
    rng = np.random.default_rng(seed)
    sizes = [5, *hidden, 3]
    masks = [
        rng.random((n_out, n_in)) < d
        for n_in, n_out, d in zip(sizes, sizes[1:], densities, strict=False)
    ]
    layers: list[nn.Module] = []
    for i, mask in enumerate(masks):
        layers.append(
            linear(mask, rng, bias=bias, sparse_input=sparse_input and i == 0)
        )
        if i < len(masks) - 1:
            layers.extend(ACTIVATIONS[kinds[i]](len(mask)))
    model = nn.Sequential(*layers)
    for _, tensor in model.named_parameters():
        if isinstance(tensor, Tensor):
            tensor.data[...] += rng.normal(size=tensor.shape) / 4
    for name, buffer in model.named_buffers():
        if "running" in name:
            buffer[...] += rng.random(buffer.shape)
    model.eval()
    x = rng.normal(size=(7, 5))
    before = model(x).data.copy()
    small = model.compact()
    np.testing.assert_allclose(small(x).data, before, rtol=1e-12, atol=1e-12)
    assert np.array_equal(model(x).data, before), "the model itself was changed"
    if not {"layer norm", "k-winners"} & set(kinds[: len(hidden)]):
        shapes = [weight.shape[0] for weight in small.chain()]
        assert shapes[:-1] == live_units(masks)
    first = small.chain()[0].pattern
    assert first.is_full or first.by_column == model.chain()[0].pattern.by_column
    again = small.compact()
    assert [p.shape for p in again.chain()] == [p.shape for p in small.chain()]


def by_hand() -> nn.Sequential:
    """Two inputs; hidden: one live, one constant (bias 3), one unused; one output."""
    rng = np.random.default_rng(0)
    first = linear(np.array([[1, 1], [0, 0], [1, 0]], bool), rng)
    first.weight.values.data[:] = [2.0, -1.0, 7.0]
    first.bias.data[:] = [0.5, 3.0, 1.0]  # type: ignore[union-attr]
    second = linear(np.array([[1, 1, 0]], bool), rng, bias=False)
    second.weight.values.data[:] = [4.0, 5.0]
    return nn.Sequential(first, nn.ReLU(), second)


def test_what_a_constant_neuron_emits_becomes_a_bias() -> None:
    small = by_hand().compact()
    first, _, second = small  # type: ignore[misc]
    assert first.weight.to_scipy().toarray().tolist() == [[2.0, -1.0]]
    assert first.bias.data.tolist() == [0.5]
    assert second.weight.to_scipy().toarray().tolist() == [[4.0]]
    assert second.bias.data.tolist() == [15.0]
    assert second.bias.requires_grad
    assert first.n_out == 1 and second.n_in == 1


def test_a_collapsed_model_is_its_biases() -> None:
    rng = np.random.default_rng(0)
    model = nn.Sequential(
        linear(np.ones((4, 5), bool), rng),
        nn.Tanh(),
        linear(np.zeros((3, 4), bool), rng),
    )
    small = model.compact()
    assert [weight.shape for weight in small.chain()] == [(0, 5), (3, 0)]
    with no_grad():
        assert np.array_equal(small(np.ones((2, 5))).data, model(np.ones((2, 5))).data)


def test_nesting_modes_and_types_stay() -> None:
    model = nn.Sequential(
        nn.Sequential(nn.Linear(8, 20, 0.05, seed=0), nn.ReLU()),
        nn.Linear(20, 4, 0.1, seed=1, number=1),
    )
    model.layers[0].eval()
    small = model.compact()
    assert [n for n, _ in small.named_parameters()] == [
        n for n, _ in model.named_parameters()
    ]
    assert small.training and not small.layers[0].training
    assert {p.dtype for p in small.chain()} == {np.dtype(np.float32)}
    x = np.random.default_rng(0).normal(size=(3, 8)).astype(np.float32)
    np.testing.assert_allclose(small(x).data, model(x).data, rtol=1e-5, atol=1e-6)
    assert small.chain()[0].shape[0] < 20


class Twist(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x[:, ::-1]


def test_what_cannot_be_compacted_is_refused() -> None:
    first, second = nn.Linear(4, 6, 0.2, seed=0), nn.Linear(6, 2, seed=1)
    with pytest.raises(TypeError, match="Twist stands between two weights"):
        nn.Sequential(first, Twist(), second).compact()
    with pytest.raises(TypeError, match=r"Sequential with Linear layers, .* ReLU"):
        nn.Sequential(nn.ReLU()).compact()
    square = nn.Linear(4, 4, 0.2, seed=0)
    with pytest.raises(TypeError, match="applied twice"):
        nn.Sequential(square, nn.ReLU(), square).compact()
    with pytest.raises(RuntimeError, match="unfreeze"):
        nn.Sequential(first, nn.ReLU(), second).freeze().compact()


def test_modules_outside_the_weights_are_copied() -> None:
    outside = nn.Sequential(Twist(), nn.Linear(4, 6, 0.2, seed=0), Twist())
    small = outside.compact()
    x = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    assert np.array_equal(small(x).data, outside(x).data)


class Residual(nn.Module):
    def __init__(self) -> None:
        self.a, self.b = nn.Linear(4, 4, seed=0), nn.Linear(4, 4, seed=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.b(self.a(x))


def test_only_what_says_so_is_a_chain() -> None:
    with pytest.raises(TypeError, match="Residual does not say how its 2 sparse"):
        nn.Sequential(nn.ReLU(), Residual()).chain()
    assert nn.Sequential(nn.ReLU(), Twist()).chain() == []
