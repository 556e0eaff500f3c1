"""Embeddings and positions against plain NumPy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import sparsenn as snn
from sparsenn import data, nn
from sparsenn.autograd import Tensor, gradcheck


@pytest.mark.parametrize("density", [None, 0.4, 1.0])
def test_rows_of_the_table(density: float | None) -> None:
    module = nn.Embedding(7, 5, density, seed=0, dtype=np.float64)
    if density is None:
        table = module.weight.data
    else:
        assert module.weight.nnz == round(density * 35)
        table = module.weight.to_scipy().toarray().T
    tokens = np.random.default_rng(0).integers(0, 7, (3, 4))
    y = module(tokens)
    np.testing.assert_allclose(y.data, table[tokens], rtol=1e-15)
    (y * y).sum().backward()
    expected = np.zeros((7, 5))
    np.add.at(expected, tokens, 2 * table[tokens])
    gradient = module.weight.grad.data
    if density is not None:
        rows, columns = module.weight.positions()
        expected = expected[columns, rows]
    np.testing.assert_allclose(gradient, expected, rtol=1e-13, atol=1e-15)


def test_sinusoids_of_a_model_that_was_read(tmp_path: Path) -> None:
    linear = nn.Linear(8, 8, seed=0, dtype=np.float64)
    encoding = nn.PositionalEncoding(16, 8, dtype=np.float64)
    model = nn.Sequential(encoding, linear)
    snn.save(model, tmp_path / "m.safetensors")
    x = np.zeros((1, 16, 8))
    again = snn.load(tmp_path / "m.safetensors")
    assert np.array_equal(again(x).data, model(x).data)
    assert encoding(x.astype(np.float32)).dtype == np.float32


def test_sequences_are_no_tokens() -> None:
    found = data.Sequences(np.ones((2, 4, 3), np.float32), [4, 2])
    with pytest.raises(ValueError, match="no sequences of features"):
        nn.Embedding(5, 3, seed=0)(found)


def test_sinusoids_by_hand() -> None:
    y = nn.PositionalEncoding(4, 4, dtype=np.float64)(np.zeros((2, 3, 4)))
    t = np.arange(3)
    expected = np.stack([np.sin(t), np.cos(t), np.sin(t / 100), np.cos(t / 100)], 1)
    np.testing.assert_allclose(y.data, np.stack([expected] * 2), rtol=1e-14)


def test_learned_positions() -> None:
    module = nn.PositionalEncoding(5, 3, learned=True, seed=0, dtype=np.float64)
    x = np.random.default_rng(0).standard_normal((2, 4, 3))
    np.testing.assert_allclose(module(x).data, x + module.weight.data[:4])
    gradcheck(lambda t: (module(t) ** 2).sum(), [Tensor(x, requires_grad=True)])
    (module(x)).sum().backward()
    expected = np.repeat([[2.0], [2.0], [2.0], [2.0], [0.0]], 3, axis=1)
    np.testing.assert_array_equal(module.weight.grad.data, expected)


def test_bad_input_is_explained() -> None:
    module = nn.Embedding(7, 5, seed=0)
    with pytest.raises(TypeError, match="integers"):
        module(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="0 to 6"):
        module(np.array([[7]]))
    with pytest.raises(ValueError, match="n_tokens must be an integer of at least 1"):
        nn.Embedding(7.0, 5)
    with pytest.raises(ValueError, match="context must be an integer of at least 1"):
        nn.PositionalEncoding(0, 5)
    with pytest.raises(ValueError, match="density"):
        nn.Embedding(7, 5, 1.5)
    with pytest.raises(ValueError, match="at most 4"):
        nn.PositionalEncoding(4, 4)(np.zeros((1, 5, 4)))
