"""Small networks of which the dense twin knows everything."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import hypothesis.strategies as st
import numpy as np

from sparsenn import nn
from sparsenn.nn.functional import cross_entropy


class Net(NamedTuple):
    """A model, its dense arrays, and a batch."""

    model: nn.Sequential
    weights: list[np.ndarray]
    biases: list[np.ndarray]
    x: np.ndarray
    labels: np.ndarray

    @property
    def size(self) -> int:
        return sum(w.size for w in self.weights)

    @property
    def twin(self) -> tuple:
        return self.weights, self.biases, self.x, self.labels

    @property
    def batches(self) -> list[tuple[np.ndarray, np.ndarray]]:
        return [(self.x, self.labels)]


def linears(model: nn.Sequential) -> list[nn.Linear]:
    return [layer for layer in model.layers if isinstance(layer, nn.Linear)]


def dense(model: nn.Sequential) -> list[np.ndarray]:
    """Weights as matrices."""
    return [layer.weight.to_scipy().toarray() for layer in linears(model)]


def masks(model: nn.Sequential) -> list[np.ndarray]:
    """Where the connections are."""
    return [layer.weight.pattern.to_mask() for layer in linears(model)]


def chain(sizes, seed=0, *, density=1.0, dtype=np.float64, init=None, **kwargs):
    """Linear layers with ReLU between them."""
    layers = []
    init = nn.init.KaimingNormal() if init is None else init
    for number, (n_in, n_out) in enumerate(pairwise(sizes)):
        if number:
            layers.append(nn.ReLU())
        layers.append(
            nn.Linear(n_in, n_out, density, seed=seed, number=number, dtype=dtype,
                      init=init, **kwargs)
        )  # fmt: skip
    return nn.Sequential(*layers)


def net(sizes, seed=0, batch=6, **kwargs) -> Net:
    """A model with random biases and a random batch."""
    rng = np.random.default_rng(seed)
    model = chain(sizes, seed, **kwargs)
    biases = []
    for layer in linears(model):
        layer.bias.data[...] = rng.standard_normal(layer.n_out) / 4
        biases.append(layer.bias.data.copy())
    virtual = linears(model)[0].weight.virtual is not None
    x = rng.standard_normal((batch, sizes[0]))
    labels = rng.integers(0, sizes[-1], batch)
    return Net(model, [] if virtual else dense(model), biases, x, labels)


def nets(layers: tuple[int, int] = (1, 3)) -> st.SearchStrategy[Net]:
    """Networks of a few layers of a few neurons."""
    sizes = st.lists(st.integers(1, 9), min_size=layers[0], max_size=layers[1])
    return st.builds(
        lambda n_in, hidden, n_out, seed: net([n_in, *hidden, n_out], seed),
        st.integers(1, 9),
        sizes,
        st.integers(2, 5),
        st.integers(0, 2**16),
    )


def assert_masks(model: nn.Sequential, expected: list[np.ndarray]) -> None:
    for got, wanted in zip(masks(model), expected, strict=True):
        np.testing.assert_array_equal(got, wanted)


__all__ = ["Net", "assert_masks", "chain", "cross_entropy", "dense", "linears", "masks"]
