"""Convolutional layers."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from typing import Any

import numpy as np
import pytest

import sparsenn as snn
from sparsenn import nn, ops, optim, pruning, topology
from sparsenn.autograd import Tensor
from sparsenn.nn.config import from_config, to_config
from sparsenn.ops.conv_shape import ConvShape
from sparsenn.sparse import SparsePattern


def dense(layer: Any, x: np.ndarray) -> np.ndarray:
    """What a layer should give, by loops over taps."""
    w = layer.weight.to_scipy().toarray().astype(np.float64)
    kernel, axes = layer.kernel_size, layer.axes
    w = w.reshape(layer.n_out, -1, *kernel)
    if axes == 1:
        x, w = x[:, :, None], w[:, :, None]
    kernel = w.shape[2:]
    lift = (lambda s, low: (low, *s)) if axes == 1 else (lambda s, low: s)
    stride, padding = lift(layer.stride, 1), lift(layer.padding, 0)
    dilation = lift(layer.dilation, 1)
    shape = ConvShape.of(x.shape, kernel, stride, padding, dilation, layer.groups)
    padded = np.pad(x, ((0, 0), (0, 0), *((p, p) for p in padding)))
    y = np.zeros((len(x), layer.n_out, *shape.out))
    outs, ins = layer.n_out // layer.groups, layer.n_in // layer.groups
    for h in range(shape.out[0]):
        for v in range(shape.out[1]):
            for i in range(kernel[0]):
                for j in range(kernel[1]):
                    row = h * stride[0] + i * dilation[0]
                    column = v * stride[1] + j * dilation[1]
                    for g in range(layer.groups):
                        part = padded[:, g * ins : (g + 1) * ins, row, column]
                        to = slice(g * outs, (g + 1) * outs)
                        y[:, to, h, v] += part @ w[to, :, i, j].T
    if layer.bias is not None:
        y += layer.bias.data[:, None, None]
    return y[:, :, 0] if axes == 1 else y


LAYERS = {
    "3x3": lambda **k: nn.Conv2d(4, 6, 3, 0.3, padding=1, seed=0, **k),
    "strided": lambda **k: nn.Conv2d(4, 6, (3, 2), 0.3, stride=(2, 3), seed=0, **k),
    "dilated": lambda **k: nn.Conv2d(4, 6, 3, 0.3, dilation=2, padding=2, seed=0, **k),
    "grouped": lambda **k: nn.Conv2d(4, 6, 3, 0.5, groups=2, seed=0, **k),
    "depthwise": lambda **k: nn.Conv2d(4, 4, 3, groups=4, padding=1, seed=0, **k),
    "pointwise": lambda **k: nn.Conv2d(4, 6, 1, 0.5, seed=0, **k),
    "1x1 strided": lambda **k: nn.Conv2d(4, 6, 1, 0.5, stride=2, seed=0, **k),
    "full": lambda **k: nn.Conv2d(20, 18, 3, padding=1, seed=0, **k),
    "empty": lambda **k: nn.Conv2d(4, 6, 3, 0.0, seed=0, **k),
    "1d": lambda **k: nn.Conv1d(4, 6, 3, 0.5, stride=2, padding=1, seed=0, **k),
}


def images(layer: Any, dtype: Any = np.float64, batch: int = 3) -> np.ndarray:
    rng = np.random.default_rng(0)
    sizes = (9,) if layer.axes == 1 else (7, 8)
    return rng.standard_normal((batch, layer.n_in, *sizes)).astype(dtype)


@pytest.mark.parametrize("name", LAYERS)
def test_forward_is_the_dense_one(name: str) -> None:
    layer = LAYERS[name](dtype=np.float64)
    layer.bias.data[...] = np.arange(layer.n_out)
    x = images(layer)
    expected = dense(layer, x)
    np.testing.assert_allclose(layer(x).data, expected, atol=1e-12)
    fused = nn.Sequential(layer, nn.ReLU())(x)
    np.testing.assert_array_equal(fused.data, ops.relu(layer(x)).data)
    layer.bias = None
    np.testing.assert_allclose(
        layer(x).data,
        expected - np.arange(layer.n_out).reshape(-1, *(1,) * layer.axes),
        atol=1e-12,
    )


@pytest.mark.parametrize("name", LAYERS)
def test_gradients_are_those_of_finite_differences(name: str) -> None:
    layer = LAYERS[name](dtype=np.float64)
    x = Tensor(images(layer), requires_grad=True)
    target = np.random.default_rng(1).standard_normal(layer(x).shape)
    (ops.sum(layer(x) * target)).backward()
    rng = np.random.default_rng(2)
    step = rng.standard_normal(x.shape)
    forward = np.sum(layer(x.data + 0.5 * step).data * target)
    backward = np.sum(layer(x.data - 0.5 * step).data * target)
    np.testing.assert_allclose(np.sum(x.grad.data * step), forward - backward)
    values = layer.weight.values.data.copy()
    if len(values):
        k = len(values) // 2
        found = []
        for change in (0.5, -0.5):
            layer.weight.values.data[...] = values
            layer.weight.values.data[k] += change
            found.append(np.sum(layer(x.data).data * target))
        np.testing.assert_allclose(layer.weight.grad.data[k], found[0] - found[1])


@pytest.mark.parametrize("name", LAYERS)
def test_configuration_and_file(name: str, tmp_path: Any) -> None:
    layer = LAYERS[name]()
    again = from_config(to_config(layer))
    assert again.config() == layer.config()
    assert again.weight.kernel == layer.weight.kernel == layer.kernel_size
    model = nn.Sequential(layer, nn.ReLU(), nn.Flatten())
    snn.save(model, tmp_path / "m.safetensors")
    loaded = snn.load(tmp_path / "m.safetensors")
    x = images(layer, np.float32)
    np.testing.assert_array_equal(loaded(x).data, model(x).data)
    assert type(layer).__name__ in repr(layer)


@pytest.mark.parametrize("name", ["3x3", "strided", "grouped", "pointwise", "1d"])
def test_growth_by_gradient_sees_the_dense_gradient(name: str) -> None:
    layer = LAYERS[name]()
    x = images(layer, np.float32)
    # Whole numbers, so that sums are exact in any order.
    x = np.rint(2 * x)
    layer.weight.factors = []
    y = layer(x)
    target = np.rint(3 * np.random.default_rng(1).standard_normal(y.shape))
    ops.sum(y * target.astype(np.float32)).backward()
    outer = ops.OuterSum(layer.weight.factors)
    shape = layer.weight.shape
    full = type(layer)(
        layer.n_in, layer.n_out, layer.kernel_size, stride=layer.stride,
        padding=layer.padding, groups=layer.groups, seed=0,
    )  # fmt: skip
    ops.sum(full(x) * target.astype(np.float32)).backward()
    gradient = full.weight.grad.data.reshape(shape)
    for first, tile in outer.tiles():
        np.testing.assert_array_equal(tile, gradient[first : first + len(tile)])
    np.testing.assert_array_equal(
        outer.on(layer.weight.pattern), layer.weight.grad.data
    )
    outside = np.ones(shape, bool)
    outside[layer.weight.positions()] = False
    k = 5
    indptr, indices = outer.largest_outside(layer.weight.pattern, k)
    rows = np.repeat(np.arange(shape[0]), np.diff(indptr))
    score = np.where(outside, np.abs(gradient), -1).reshape(-1)
    best = np.sort(np.argsort(-score, kind="stable")[:k])
    np.testing.assert_array_equal(rows * shape[1] + indices, best)


def network(density: float = 0.3) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(2, 8, 3, density, padding=1, seed=0),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, density, stride=2, seed=0, number=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(72, 5, density, seed=0, number=2),
    )


def batch() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((16, 2, 8, 8)).astype(np.float32)
    return x, rng.integers(0, 5, 16)


@pytest.mark.parametrize(
    "name", [n for n in topology.METHODS if n not in ("dense", "static")]
)
def test_every_evolving_method_trains_it(name: str) -> None:
    recipe = topology.METHODS[name]
    assert recipe is not None
    model = network(recipe.start(0.3))
    x, y = batch()
    optimizer = optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    topo = topology.make(
        name, model.parameters(), optimizer, steps_per_epoch=2, total_steps=12,
        density=0.3, seed=0,
    )  # fmt: skip
    before = [w.pattern for w in weights(model)]
    for _ in range(12):
        topo.backward(nn.functional.cross_entropy(model(x), y))
        topo.step() or optimizer.step()
        optimizer.zero_grad()
    topo.finish()
    assert np.isfinite(model(x).data).all()
    assert topo.updates
    patterns = [w.pattern for w in weights(model)]
    for old, new in zip(before, patterns, strict=True):
        assert not np.array_equal(old.to_mask(), new.to_mask())
    total = sum(pattern.nnz for pattern in patterns)
    if name == "cs":  # its density is an outcome
        assert 0 < total < sum(pattern.nnz for pattern in before)
    elif name == "srigl":  # as many for each neuron, from the start on
        assert total == sum(pattern.nnz for pattern in before)
    else:
        assert total == round(
            0.3 * sum(w.shape[0] * w.shape[1] for w in weights(model))
        )


def weights(model: nn.Module) -> list[Any]:
    return [p for p in model.parameters() if hasattr(p, "pattern")]


@pytest.mark.parametrize("name", ["snip", "grasp", "force", "random", "magnitude"])
def test_pruning_before_training(name: str) -> None:
    model, (x, y) = network(1.0), batch()
    loss = nn.functional.cross_entropy
    if name in ("random", "magnitude"):
        getattr(pruning, name)(model, 0.2)
    else:
        getattr(pruning, name)(model, loss, [(x, y)], 0.2)
    total = sum(w.shape[0] * w.shape[1] for w in weights(model))
    assert sum(w.nnz for w in weights(model)) == round(0.2 * total)


def test_wanda_knows_the_inputs_of_a_kernel() -> None:
    layer = nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2, seed=0)
    x = images(layer, np.float32)
    shape = ConvShape.of(x.shape, (3, 3), (2, 2), (1, 1), (1, 1), 2)
    patches = ops.Patches(x, shape)
    pattern = SparsePattern.full((6, 18))
    one = np.asfortranarray(np.ones((patches.shape[0], 6)))
    squared = ops.Patches(x.astype(np.float64) ** 2, shape)
    by_group = squared.on(one, pattern).reshape(6, 18)
    np.testing.assert_allclose(patches.squares(), by_group[[0, 3]])
    norms = np.sqrt(by_group)
    scores = np.abs(layer.weight.values.data.reshape(6, 18)) * norms
    pruning.wanda(nn.Sequential(layer), [x], 0.5)
    kept = np.argsort(-scores, axis=1)[:, :9]
    assert np.array_equal(np.nonzero(layer.weight.pattern.to_mask())[1].reshape(6, 9),
                          np.sort(kept, axis=1))  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kernel_size": 2.5}, "kernel_size must be an integer of at least 1, or 2"),
        ({"kernel_size": (2.7, 3)}, r"or 2 of them, got \(2.7, 3\)"),
        ({"stride": 0}, "stride must be an integer of at least 1"),
        ({"padding": "same"}, "padding must be an integer of at least 0, or 2 of them"),
        ({"groups": 2.0}, "groups must be an integer of at least 1, got 2.0"),
        ({"n_in": 4.0}, "n_in must be an integer of at least 1, got 4.0"),
        ({"nnz": 5, "pattern": SparsePattern.full((6, 36))}, "nnz or a pattern"),
    ],
)
def test_sizes_are_whole_and_given_once(arguments: Any, message: str) -> None:
    usual = {"n_in": 4, "n_out": 6, "kernel_size": 3}
    with pytest.raises(ValueError, match=message):
        nn.Conv2d(**usual | arguments)


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match="groups must divide"):
        nn.Conv2d(4, 6, 3, groups=4)
    with pytest.raises(ValueError, match="kernel_size must be an integer of at least"):
        nn.Conv2d(4, 6, (3, 3, 3))
    with pytest.raises(ValueError, match="at least 1"):
        nn.Conv2d(0, 6, 3)
    with pytest.raises(ValueError, match="cannot be virtual"):
        nn.Conv2d(4, 6, 3, None)
    with pytest.raises(ValueError, match="does not fit into 2 pixels"):
        nn.Conv2d(4, 6, 3)(np.ones((1, 4, 2, 5), np.float32))
    with pytest.raises(ValueError, match=r"\(batch, 4, height, width\)"):
        nn.Conv2d(4, 6, 3)(np.ones((1, 3, 5, 5), np.float32))
    with pytest.raises(ValueError, match="length"):
        nn.Conv1d(4, 6, 3)(np.ones((1, 4, 5, 5), np.float32))
    with pytest.raises(TypeError, match="no link of a chain"):
        nn.Conv2d(4, 6, 3).chain()


def test_bad_sizes_of_the_function() -> None:
    x = np.ones((2, 64, 9, 9), np.float32)
    weight = nn.Linear(32 * 9, 65, 1.0, bias=False, seed=0).weight
    good = {"kernel": (3, 3), "groups": 1}
    for change, message in (
        ({"groups": 2}, "no rows for 2 group"),  # 65 rows, and BLAS computes them
        ({"kernel": (5, 5)}, "no columns for kernels"),
        ({"kernel": (0, 3)}, "kernel must be an integer of at least 1"),
        ({"kernel": (3,)}, "kernel must be"),
        ({"stride": (0, 1)}, "stride must be an integer of at least 1"),
        ({"dilation": (-1, 1)}, "dilation must be an integer of at least 1"),
        ({"padding": (-1, -1)}, "padding must be an integer of at least 0"),
        ({"groups": 0}, "groups must be an integer of at least 1"),
    ):
        with pytest.raises(ValueError, match=message):
            ops.conv2d(x, weight, **{**good, **change})


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs RLIMIT_AS")
def test_nothing_dense_is_made() -> None:
    # Dense, the wide weight would be 151 MB; im2col of the images 205 MB.
    code = """
        import resource
        import numpy as np
        import sparsenn as snn
        from sparsenn import nn, optim, topology

        snn.set_num_threads(2)

        def train(layer, x):
            optimizer = optim.SGD(layer.parameters(), lr=0.01, momentum=0.9)
            topo = topology.RigL(layer.parameters(), optimizer, every=2)
            nnz = layer.weight.nnz
            for _ in range(3):
                y = layer(x)
                topo.backward((y * y).mean())
                topo.step() or optimizer.step()
                optimizer.zero_grad()
            assert topo.updates == 1 and layer.weight.nnz == nnz

        train(nn.Conv2d(40, 40, 3, 0.1, padding=1, seed=0), np.ones((9, 40, 9, 9)))
        wide = nn.Conv2d(2048, 2048, 3, nnz=60_000, padding=1, seed=0)
        large = nn.Conv2d(16, 16, 7, 0.1, padding=3, seed=0)
        with open("/proc/self/statm") as file:
            pages = int(file.read().split()[0])
        limit = pages * resource.getpagesize() + 120 * 10**6
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        train(wide, np.ones((2, 2048, 4, 4), np.float32))
        train(large, np.ones((16, 16, 64, 64), np.float32))
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert result.returncode == 0, result.stderr
