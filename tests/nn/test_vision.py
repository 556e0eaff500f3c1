"""Layers around convolutions against plain NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from sparsenn import nn
from sparsenn.autograd import Tensor, gradcheck
from sparsenn.autograd.array import is_activation
from sparsenn.nn.config import to_config


def images(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape)


def check(module: nn.Module, x: np.ndarray, expected: np.ndarray) -> None:
    y = module(x)
    assert y.dtype == x.dtype
    assert is_activation(y.data)
    np.testing.assert_allclose(y.data, expected, rtol=1e-12, atol=1e-12)
    gradcheck(lambda t: (module(t) ** 2).sum(), [Tensor(x, requires_grad=True)])
    again = nn.from_config(to_config(module))
    assert repr(again) == repr(module)
    assert to_config(again) == to_config(module)


def test_batch_norm_of_images_trains_and_evaluates() -> None:
    module = nn.BatchNorm2d(3, dtype=np.float64)
    module.weight.assign_(images(3) + 2)
    module.bias.assign_(images(3))
    w, b = (p.data.reshape(3, 1, 1) for p in (module.weight, module.bias))
    x = images(4, 3, 2, 5) + 1
    mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3))
    column = (3, 1, 1)
    normed = (x - mean.reshape(column)) / np.sqrt(var.reshape(column) + 1e-5)
    np.testing.assert_allclose(module(x).data, normed * w + b, rtol=1e-12)
    np.testing.assert_allclose(module.running_mean, 0.1 * mean, rtol=1e-12)
    np.testing.assert_allclose(module.running_var, 0.9 + 0.1 * var * 40 / 39)
    module.eval()
    m, v = (s.reshape(column) for s in (module.running_mean, module.running_var))
    check(module, x, (x - m) / np.sqrt(v + 1e-5) * w + b)


def test_batch_norm_says_what_it_takes() -> None:
    with pytest.raises(ValueError, match=r"takes \(batch, 3, height, width\), got"):
        nn.BatchNorm2d(3)(np.zeros((2, 3)))
    with pytest.raises(ValueError, match=r"\(batch, 3\) or \(batch, 3, length\)"):
        nn.BatchNorm1d(3)(np.zeros((2, 4)))
    nn.BatchNorm1d(3)(images(2, 3, 5))


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_group_norm(groups: int) -> None:
    module = nn.GroupNorm(groups, 4, dtype=np.float64)
    x = images(3, 4, 2, 2)
    parts = x.reshape(3, groups, -1)
    normed = (parts - parts.mean(2, keepdims=True)) / np.sqrt(
        parts.var(2, keepdims=True) + 1e-5
    )
    check(module, x, normed.reshape(x.shape))
    with pytest.raises(ValueError, match="multiple of n_groups"):
        nn.GroupNorm(3, 4)
    with pytest.raises(ValueError, match="multiple of n_groups"):
        nn.GroupNorm(2, 0)


def test_pooling() -> None:
    x = images(2, 3, 4, 6)
    tiles = x.reshape(2, 3, 2, 2, 3, 2)
    check(nn.MaxPool2d(2), x, tiles.max((3, 5)))
    check(nn.AvgPool2d(2), x, tiles.mean((3, 5)))
    check(nn.GlobalAvgPool(), x, x.mean((2, 3)))
    check(nn.MaxPool2d((4, 6), stride=1), x, x.max((2, 3), keepdims=True))
    check(nn.MaxPool2d(np.int64(2)), x, tiles.max((3, 5)))
    for sizes in ((0,), (2.5,), ((2, 2, 2),), (2, 0), (2, 2, -1)):
        with pytest.raises(ValueError, match="must be an integer of at least"):
            nn.MaxPool2d(*sizes)


def test_pooling_of_sequences() -> None:
    x = images(2, 3, 6)
    tiles = x.reshape(2, 3, 3, 2)
    check(nn.MaxPool1d(2), x, tiles.max(3))
    check(nn.AvgPool1d(2), x, tiles.mean(3))
    shifted = np.pad(x, ((0, 0), (0, 0), (1, 1)), constant_values=-np.inf)
    wanted = np.maximum(np.maximum(shifted[..., :-2], x), shifted[..., 2:])[..., ::2]
    check(nn.MaxPool1d(3, stride=2, padding=1), x, wanted)
    both = nn.Sequential(nn.Conv1d(3, 4, 3, padding=1, seed=0), nn.MaxPool1d(3, 1))
    assert both(x.astype(np.float32)).shape == (2, 4, 4)
    with pytest.raises(ValueError, match=r"MaxPool1d takes \(batch, channels, length"):
        nn.MaxPool1d(2)(images(2, 3, 4, 6))
    with pytest.raises(ValueError, match="must be an integer of at least"):
        nn.AvgPool1d((2, 2))


def test_rows_become_images_and_images_rows() -> None:
    x = images(2, 3, 4, 5)
    check(nn.Flatten(), x, x.reshape(2, 60))
    rows = x.transpose(0, 2, 3, 1).reshape(2, 60)
    check(nn.ToImage(3, 4, 5), rows, x)
    check(nn.ToImage(3, 4, 5), x, x)
    assert nn.ToImage(3, 4, 5).input_shape == (60,)
    with pytest.raises(ValueError, match="takes rows of 60 features"):
        nn.ToImage(3, 4, 5)(np.zeros((2, 59)))


def test_images_of_one_channel_are_views() -> None:
    rows = Tensor(np.asfortranarray(images(2, 20)))
    assert np.shares_memory(nn.ToImage(1, 4, 5)(rows).data, rows.data)


def test_residual_adds_its_branches() -> None:
    x = images(2, 3, 4, 4)
    check(nn.Residual(nn.Tanh()), x, np.tanh(x) + x)
    padded = np.zeros((2, 6, 2, 2))
    padded[:, 1:4] = x[:, :, ::2, ::2]
    check(nn.PaddedShortcut(3, 6, 2), x, padded)
    both = nn.Residual(nn.MaxPool2d(2), nn.AvgPool2d(2))
    tiles = x.reshape(2, 3, 2, 2, 2, 2)
    check(both, x, tiles.max((3, 5)) + tiles.mean((3, 5)))
    with pytest.raises(ValueError, match="must agree"):
        nn.Residual(nn.MaxPool2d(2))(x)
    with pytest.raises(ValueError, match="n_in <= n_out"):
        nn.PaddedShortcut(3, 2)
