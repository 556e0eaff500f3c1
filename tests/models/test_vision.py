"""Models for images: published sizes, exact budgets, files, every kind of update."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

import sparsenn as snn
from sparsenn import models, nn, optim, pruning, topology
from sparsenn.sparse import SparseParameter, allocate

SMALL = ("lenet5", "vgg:4-m-8", "resnet8", "wrn-10-1", "mixer:1x8/4")
IMAGE = (3, 16, 16)


def weights(model: nn.Module) -> list[SparseParameter]:
    return [p for p in model.parameters() if isinstance(p, SparseParameter)]


def small(arch: str, density: float | None = 0.3, **options) -> nn.Sequential:
    n = math.prod(IMAGE)
    return models.build(arch, n, 5, density, image=IMAGE, seed=0, **options)


def rows(n: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.random((n, math.prod(IMAGE))).astype(np.float32)


@pytest.mark.parametrize(
    ("arch", "image", "n_weights", "positions"),
    [
        ("lenet5", (1, 28, 28), 5, 150 + 2_400 + 48_000 + 10_080 + 840),
        ("lenet5-caffe", (1, 28, 28), 4, 430_500),
        ("vgg16", (3, 32, 32), 14, 14_715_584),
        ("resnet20", (3, 32, 32), 20, 268_336),
        ("resnet32", (3, 32, 32), 32, 461_872),
        ("resnet18", (3, 32, 32), 21, 11_164_352),
        ("resnet50", (3, 32, 32), 54, 23_467_712),
        ("resnet50", (3, 224, 224), 54, 23_475_392),
        ("resnet152", (3, 224, 224), 156, 58_012_864),
        ("wrn-16-4", (3, 32, 32), 17, 2_745_264),
        ("wrn-22-2", (3, 32, 32), 23, 1_076_912),
        ("mixer:8x512/4", (3, 32, 32), 34, 17_069_056),
    ],
)
def test_published_sizes(arch: str, image, n_weights: int, positions: int) -> None:
    axes = models.axes_of(arch, math.prod(image), 10, image)
    assert len(axes) == n_weights
    assert sum(map(math.prod, axes)) == positions


@pytest.mark.parametrize("arch", SMALL)
@pytest.mark.parametrize("init", ["erk", "er", "uniform", "igq"])
def test_the_whole_network_has_exactly_its_connections(arch: str, init: str) -> None:
    model = small(arch, init=init, keep_dense=[-1])
    found = weights(model)
    axes = [w.axes for w in found]
    wanted = allocate(axes, 0.3, method=init, keep_dense=[len(axes) - 1])
    assert [w.nnz for w in found] == wanted
    assert sum(wanted) == round(0.3 * sum(map(math.prod, axes)))
    assert found[-1].pattern.is_full
    numbers = {w.origin.stream.layer for w in found if w.origin}
    assert len(numbers) == len(found)


def test_erk_counts_the_axes_of_a_kernel() -> None:
    model = models.resnet(8, 0.1, image=IMAGE, seed=0)
    first, second = weights(model)[-2:]
    assert first.axes == (64, 64, 3, 3)
    assert second.axes == (10, 64)
    share = first.nnz / sum(first.axes)
    other = weights(model)[3]
    assert abs(other.nnz / sum(other.axes) / share - 1) < 0.02


@pytest.mark.parametrize("arch", SMALL)
def test_a_file_gives_the_model_back(arch: str, tmp_path: Path) -> None:
    model = small(arch)
    x = rows(6)
    model(x)  # moves running statistics
    model.eval()
    snn.save(model, tmp_path / "model.safetensors")
    again = snn.load(tmp_path / "model.safetensors")
    assert np.array_equal(again(x).data, model(x).data)
    assert repr(again) == repr(model)


@pytest.mark.parametrize("arch", SMALL)
def test_images_may_come_as_images(arch: str) -> None:
    model = small(arch).eval()
    x = rows(3)
    images = x.reshape(3, *IMAGE[1:], IMAGE[0]).transpose(0, 3, 1, 2)
    assert np.array_equal(model(images).data, model(x).data)


@pytest.mark.parametrize("arch", SMALL)
@pytest.mark.parametrize("method", ["set", "rigl", "snfs", "dsr", "gradient-flow"])
def test_methods_keep_the_budget(arch: str, method: str) -> None:
    model = small(arch)
    total = sum(w.nnz for w in weights(model))
    parameters = model.parameters()
    opt = optim.SGD(parameters, lr=0.05, momentum=0.9)
    topo = topology.make(
        method, parameters, opt, steps_per_epoch=4, total_steps=8, density=0.3, seed=0,
        every=2,
    )  # fmt: skip
    before = [w.pattern for w in weights(model)]
    x, y = rows(8), np.arange(8) % 5
    for _ in range(6):
        topo.backward(nn.functional.cross_entropy(model(x), y))
        topo.step() or opt.step()
        opt.zero_grad()
    assert sum(w.nnz for w in weights(model)) == total
    assert any(w.pattern is not p for w, p in zip(weights(model), before, strict=True))


@pytest.mark.parametrize("arch", SMALL)
@pytest.mark.parametrize("name", ["snip", "grasp", "synflow", "magnitude", "random"])
def test_pruning_before_training(arch: str, name: str) -> None:
    model = small(arch, None)
    y = np.arange(8) % 5
    batches = [(rows(8), y)]
    loss = nn.functional.cross_entropy
    arguments = (loss, batches, 0.2) if name in ("snip", "grasp") else (0.2,)
    options = {"rounds": 5} if name == "synflow" else {}
    result = getattr(pruning, name)(model, *arguments, **options)
    positions = sum(math.prod(w.axes) for w in weights(model))
    assert result.after == round(0.2 * positions)
    assert sum(w.nnz for w in weights(model)) == result.after
    assert np.isfinite(model(rows(2)).data).all()


def test_dropout_stands_before_the_last_layer() -> None:
    kinds = [type(m) for _, m in small("lenet5", dropout=0.5).named_modules()]
    assert kinds[-2:] == [nn.Dropout, nn.Linear]
    inner = [m for _, m in small("wrn-10-1", dropout=0.5).named_modules()]
    numbers = [m.number for m in inner if isinstance(m, nn.Dropout)]
    assert len(set(numbers)) == len(numbers) == 3


@pytest.mark.parametrize(
    ("arch", "image", "message"),
    [
        ("resnet21", IMAGE, "depth must be 6 n"),
        ("wrn-15-2", IMAGE, "depth must be 6 n"),
        ("lenet5-caffe", (1, 12, 12), "at least 16 pixels"),
        ("vgg16", IMAGE, "can be halved 4 times"),
        ("vgg:m", IMAGE, "a VGG has convolutions"),
        ("mixer:1x8/5", IMAGE, "the patch divide 16 x 16"),
        ("resnet20", None, "takes images, the data has rows"),
        ("alexnet", IMAGE, "lenet5, vgg16"),
    ],
)
def test_names_that_do_not_fit(arch: str, image, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        models.build(arch, 768, 5, image=image)


def test_a_convolution_says_what_does_not_fit() -> None:
    layers = models.Layers()
    with pytest.raises(ValueError, match="groups must be an integer of at least 1"):
        layers.conv(8, 8, 3, groups=0)
    with pytest.raises(ValueError, match="kernel_size must be an integer of at least"):
        layers.conv(8, 8, (3, 3, 3))
    assert layers.conv(8, 4, (3, 5), groups=2).weight.axes == (4, 4, 3, 5)
    assert layers.axes == [(4, 4, 3, 5)]
    with pytest.raises(ValueError, match="width must be an integer of at least 1"):
        models.resnet(8, width=0)


def test_options_that_are_of_perceptrons() -> None:
    with pytest.raises(ValueError, match="has activations of its own"):
        small("resnet8", activation="tanh")
    with pytest.raises(ValueError, match="takes no sparse data"):
        small("resnet8", sparse_input=True)
    with pytest.raises(ValueError, match="keep_dense names layer 99"):
        small("resnet8", keep_dense=[99])


def test_summary_counts_multiplications() -> None:
    model = models.lenet5(0.5, caffe=True, seed=0)
    first, second, *rest = weights(model)
    macs = first.nnz * 24 * 24 + second.nnz * 8 * 8 + sum(w.nnz for w in rest)
    text = model.summary()
    assert f"{macs:,}" in text
    assert "20 x 1 x 5 x 5" in text
    assert model.training
    unknown = nn.Sequential(nn.ReLU(), nn.Linear(6, 4, 0.5, seed=0))
    nbytes = str(unknown[1].weight.nbytes)
    cells = ["1.weight", "4", "x", "6", "12", "0.5"]
    assert unknown.summary().splitlines()[2].split() == [*cells, nbytes]
    assert unknown.summary((6,)).splitlines()[2].split() == [*cells, "12", nbytes]
