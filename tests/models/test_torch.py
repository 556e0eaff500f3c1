"""Whole models against PyTorch: imported weights give its outputs and gradients.

Dense, and with the connections that were pruned held at zero.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from sparsenn import models, nn
from sparsenn.sparse import SparseParameter

torch: Any = pytest.importorskip("torch")

IMAGE = (3, 16, 16)


class Sum(torch.nn.Module):
    """``branch(x) + shortcut(x)``."""

    def __init__(self, branch: Any, shortcut: Any) -> None:
        super().__init__()
        self.branch = branch
        self.shortcut = shortcut

    def forward(self, x: Any) -> Any:
        return self.branch(x) + self.shortcut(x)


class Padded(torch.nn.Module):
    """Every second pixel, and channels of zeros before and after."""

    def __init__(self, ours: nn.PaddedShortcut) -> None:
        super().__init__()
        self.stride = ours.stride
        new = ours.n_out - ours.n_in
        self.widths = (0, 0, 0, 0, new // 2, new - new // 2)

    def forward(self, x: Any) -> Any:
        x = x[:, :, :: self.stride, :: self.stride]
        return torch.nn.functional.pad(x, self.widths)


class ChannelNorm(torch.nn.LayerNorm):
    """Over the channels of images."""

    def forward(self, x: Any) -> Any:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Places(torch.nn.Module):
    """A module over the places of each channel."""

    def __init__(self, module: Any) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Any) -> Any:
        return self.module(x.flatten(2)).reshape(x.shape)


class Mean(torch.nn.Module):
    """Over all places."""

    def forward(self, x: Any) -> Any:
        return x.mean((2, 3))


def twin(module: nn.Module) -> Any:
    """The same structure of PyTorch's layers, with its initial values."""
    t = torch.nn
    bias = {"bias": getattr(module, "bias", None) is not None}
    if isinstance(module, nn.Sequential):
        return t.Sequential(*(twin(m) for m in module.layers))
    if isinstance(module, nn.Residual):
        return Sum(twin(module.branch), twin(module.shortcut))
    if isinstance(module, nn.OverPlaces):
        return Places(twin(module.module))
    if isinstance(module, nn.Conv2d):
        sizes = module.kernel_size, module.stride, module.padding, module.dilation
        return t.Conv2d(module.n_in, module.n_out, *sizes, module.groups, **bias)
    if isinstance(module, nn.Linear):
        return t.Linear(module.n_in, module.n_out, **bias)
    if isinstance(module, nn.PaddedShortcut):
        return Padded(module)
    if isinstance(module, nn.BatchNorm2d):
        return t.BatchNorm2d(module.n_features)
    if isinstance(module, nn.LayerNorm2d):
        return ChannelNorm(module.n_features)
    if isinstance(module, nn.MaxPool2d):
        return t.MaxPool2d(module.kernel_size, module.stride, module.padding)
    plain = {
        nn.ReLU: t.ReLU, nn.GELU: t.GELU, nn.Flatten: t.Flatten,
        nn.Identity: t.Identity, nn.ToImage: t.Identity, nn.GlobalAvgPool: Mean,
    }  # fmt: skip
    return plain[type(module)]()


def grouped(layers: models.Layers) -> nn.Sequential:
    """Kernels of groups, with holes, and longer than high; all keep the size."""
    return nn.Sequential(
        nn.ToImage(*IMAGE),
        layers.conv(3, 8, (1, 5)),
        layers.conv(8, 8, 7, groups=8, bias=True),
        nn.ReLU(),
        layers.conv(8, 12, (5, 3), dilation=(1, 2), groups=2),
        nn.GlobalAvgPool(),
        layers.linear(12, 5),
    )


@pytest.mark.parametrize("density", [1.0, 0.2])
@pytest.mark.parametrize(
    "arch",
    ["lenet5", "vgg:4-m-8", "resnet8", "resnet50", "wrn-10-1", "mixer:1x8/4", "own"],
)
def test_outputs_gradients_and_statistics(arch: str, density: float) -> None:
    options: dict[str, Any] = {"image": IMAGE, "seed": 0, "dtype": np.float64}
    if arch == "resnet50":  # narrower than published: time
        model = models.resnet(50, 0.0, width=4, n_classes=5, **options)
    elif arch == "own":
        del options["image"]
        model = models.with_budget(grouped, 0.0, **options)
    else:
        model = models.build(arch, math.prod(IMAGE), 5, 0.0, **options)
    torch.manual_seed(0)
    theirs = twin(model).double()
    state = theirs.state_dict()
    names = models.import_dense(model, state, density)
    found = dict(model.named_parameters())
    masks = {}
    for name, parameter in found.items():
        if isinstance(parameter, SparseParameter):
            mask = np.zeros(parameter.shape)
            mask[parameter.positions()] = 1
            masks[name] = torch.tensor(mask).reshape(parameter.axes)
            masks[name] = masks[name].reshape(state[names[name]].shape)
            state[names[name]] *= masks[name]
    theirs.load_state_dict(state)
    x = np.random.default_rng(0).standard_normal((6, *IMAGE))
    y = np.arange(6) % 5
    ours = nn.functional.cross_entropy(model(x), y)
    ours.backward()
    loss = torch.nn.functional.cross_entropy(theirs(torch.tensor(x)), torch.tensor(y))
    loss.backward()
    np.testing.assert_allclose(ours.item(), loss.item(), rtol=1e-10)
    gradients = {name: p.grad for name, p in theirs.named_parameters()}
    for name, parameter in found.items():
        wanted = gradients[names[name]]
        if isinstance(parameter, SparseParameter):
            dense = np.asarray(wanted).reshape(parameter.shape)
            wanted = dense[parameter.positions()]
        scale = max(float(np.abs(np.asarray(wanted)).max(initial=0)), 1e-3)
        np.testing.assert_allclose(
            parameter.grad.data, wanted, rtol=1e-7, atol=1e-9 * scale
        )
    for name, buffer in model.named_buffers():
        np.testing.assert_allclose(
            buffer, theirs.state_dict()[names[name]], rtol=1e-10, atol=1e-12
        )
    model.eval()
    theirs.eval()
    with torch.no_grad():
        wanted = theirs(torch.tensor(x))
    np.testing.assert_allclose(model(x).data, wanted, rtol=1e-8, atol=1e-10)
