"""Residual networks: of basic blocks, of bottlenecks, and wide ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

from sparsenn import nn
from sparsenn.models.budget import Layers, with_budget
from sparsenn.sizes import whole

Image = tuple[int, int, int]
Shortcut = Literal["A", "B"]

# Blocks of each of the four stages of the article's networks for large images.
_STAGES = {
    18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}  # fmt: skip
_BOTTLENECK = 50  # from this depth on
_EXPANSION = 4  # of a bottleneck's last convolution
_LARGE = 64  # pixels, from which on the first layers shrink the image


def resnet(
    depth: int = 20,
    density: float | None = 1.0,
    *,
    image: Image = (3, 32, 32),
    n_classes: int = 10,
    width: int | None = None,
    shortcut: Shortcut | None = None,
    dropout: float = 0.0,
    **options: Any,
) -> nn.Sequential:
    """A residual network.

    Parameters
    ----------
    depth : int
        Layers with weights on the longest path. 20, 32, 44, ... (6 n + 2): three stages
        of n basic blocks, the article's networks for CIFAR. 18 and 34: four stages of
        basic blocks; 50, 101 and 152: of bottlenecks.
    density : float or None
        Of the whole network, see :func:`sparsenn.models.with_budget`.
    image : tuple of int
        (channels, height, width) of the input. Four-stage networks begin with a
        convolution of 7 x 7 and pooling for images of 64 pixels or more, and with one
        of 3 x 3 for smaller ones.
    n_classes : int
    width : int, optional
        Channels of the first stage: 16 with three stages, else 64.
    shortcut : {"A", "B"}, optional
        Where sizes change: "A", every second pixel and zero channels; "B", a
        convolution of 1 x 1. By default A with three stages, else B.
    dropout : float
        Before the last layer.
    **options
        As for :func:`sparsenn.models.with_budget`.

    References
    ----------
    He et al., "Deep residual learning for image recognition", arXiv:1512.03385.
    """
    stages: tuple[int, ...]
    if depth in _STAGES:
        stages = _STAGES[depth]
    elif depth >= 8 and depth % 6 == 2:
        stages = ((depth - 2) // 6,) * 3
    else:
        known = ", ".join(map(str, _STAGES))
        raise ValueError(f"depth must be 6 n + 2 or one of {known}; got {depth}")
    small = len(stages) == 3
    if width is None:
        width = 16 if small else 64
    if shortcut is None:
        shortcut = "A" if small else "B"
    if shortcut not in ("A", "B"):
        raise ValueError(f"shortcut must be 'A' or 'B', got {shortcut!r}")
    build = partial(
        _resnet,
        stages=stages,
        width=whole("width", width),
        block=bottleneck if not small and depth >= _BOTTLENECK else basic_block,
        image=image,
        n_classes=n_classes,
        shortcut=shortcut,
        dropout=dropout,
    )
    return with_budget(build, density, **options)


def _resnet(
    layers: Layers,
    stages: Sequence[int],
    width: int,
    block: Callable[..., nn.Sequential],
    image: Image,
    n_classes: int,
    shortcut: Shortcut,
    dropout: float,
) -> nn.Sequential:
    large = len(stages) > 3 and min(image[1:]) >= _LARGE
    stem = layers.conv(image[0], width, 7 if large else 3, stride=2 if large else 1)
    modules: list[nn.Module] = [nn.ToImage(*image), stem, layers.batch_norm(width)]
    modules.append(nn.ReLU())
    if large:
        modules.append(nn.MaxPool2d(3, 2, 1))
    n_in = width
    for stage, n_blocks in enumerate(stages):
        n_out = width << stage
        if block is bottleneck:
            n_out *= _EXPANSION
        for number in range(n_blocks):
            stride = 2 if stage and not number else 1
            modules.append(block(layers, n_in, n_out, stride, shortcut))
            n_in = n_out
    modules.append(nn.GlobalAvgPool())
    if dropout:
        modules.append(nn.Dropout(dropout, seed=layers.seed))
    return nn.Sequential(*modules, layers.linear(n_in, n_classes, gain=1.0))


def basic_block(
    layers: Layers, n_in: int, n_out: int, stride: int, shortcut: Shortcut
) -> nn.Sequential:
    """Two convolutions of 3 x 3 beside a shortcut, then ReLU."""
    branch = nn.Sequential(
        layers.conv(n_in, n_out, 3, stride=stride),
        layers.batch_norm(n_out),
        nn.ReLU(),
        layers.conv(n_out, n_out, 3),
        layers.batch_norm(n_out),
    )
    short = _shortcut(layers, n_in, n_out, stride, shortcut)
    return nn.Sequential(nn.Residual(branch, short), nn.ReLU())


def bottleneck(
    layers: Layers, n_in: int, n_out: int, stride: int, shortcut: Shortcut
) -> nn.Sequential:
    """Convolutions of 1 x 1, 3 x 3 and 1 x 1 beside a shortcut, then ReLU."""
    inner = n_out // _EXPANSION
    branch = nn.Sequential(
        layers.conv(n_in, inner, 1),
        layers.batch_norm(inner),
        nn.ReLU(),
        layers.conv(inner, inner, 3, stride=stride),
        layers.batch_norm(inner),
        nn.ReLU(),
        layers.conv(inner, n_out, 1),
        layers.batch_norm(n_out),
    )
    short = _shortcut(layers, n_in, n_out, stride, shortcut)
    return nn.Sequential(nn.Residual(branch, short), nn.ReLU())


def _shortcut(
    layers: Layers, n_in: int, n_out: int, stride: int, shortcut: Shortcut
) -> nn.Module | None:
    if n_in == n_out and stride == 1:
        return None
    if shortcut == "A":
        return nn.PaddedShortcut(n_in, n_out, stride)
    conv = layers.conv(n_in, n_out, 1, stride=stride)
    return nn.Sequential(conv, layers.batch_norm(n_out))


def wide_resnet(
    depth: int = 16,
    widening: int = 4,
    density: float | None = 1.0,
    *,
    image: Image = (3, 32, 32),
    n_classes: int = 10,
    dropout: float = 0.0,
    **options: Any,
) -> nn.Sequential:
    """A wide residual network: three stages of blocks that normalise first.

    Parameters
    ----------
    depth : int
        6 n + 4: n blocks of two convolutions in each stage.
    widening : int
        Stages have 16, 32 and 64 times as many channels.
    density : float or None
        Of the whole network, see :func:`sparsenn.models.with_budget`.
    image : tuple of int
        (channels, height, width) of the input.
    n_classes : int
    dropout : float
        Between the convolutions of a block.
    **options
        As for :func:`sparsenn.models.with_budget`.

    References
    ----------
    Zagoruyko & Komodakis, "Wide residual networks", arXiv:1605.07146.
    """
    if depth < 10 or depth % 6 != 4 or widening < 1:
        raise ValueError(
            f"depth must be 6 n + 4 and widening at least 1; got {depth}, {widening}"
        )
    build = partial(
        _wide_resnet,
        n_blocks=(depth - 4) // 6,
        widening=widening,
        image=image,
        n_classes=n_classes,
        dropout=dropout,
    )
    return with_budget(build, density, **options)


def _wide_resnet(
    layers: Layers,
    n_blocks: int,
    widening: int,
    image: Image,
    n_classes: int,
    dropout: float,
) -> nn.Sequential:
    n_in = 16
    modules: list[nn.Module] = [nn.ToImage(*image), layers.conv(image[0], n_in, 3)]
    for stage in range(3):
        n_out = 16 * widening << stage
        for number in range(n_blocks):
            stride = 2 if stage and not number else 1
            modules.append(_wide_block(layers, n_in, n_out, stride, dropout))
            n_in = n_out
    return nn.Sequential(
        *modules,
        layers.batch_norm(n_in),
        nn.ReLU(),
        nn.GlobalAvgPool(),
        layers.linear(n_in, n_classes, gain=1.0),
    )


def _wide_block(
    layers: Layers, n_in: int, n_out: int, stride: int, dropout: float
) -> nn.Module:
    """Normalised first; a shortcut of 1 x 1 starts behind the first norm."""
    first: list[nn.Module] = [layers.batch_norm(n_in), nn.ReLU()]
    branch: list[nn.Module] = [
        layers.conv(n_in, n_out, 3, stride=stride),
        layers.batch_norm(n_out),
        nn.ReLU(),
    ]
    if dropout:
        branch.append(nn.Dropout(dropout, seed=layers.seed, number=len(layers.axes)))
    branch.append(layers.conv(n_out, n_out, 3))
    if n_in == n_out and stride == 1:
        return nn.Residual(nn.Sequential(*first, *branch))
    short = layers.conv(n_in, n_out, 1, stride=stride)
    return nn.Sequential(*first, nn.Residual(nn.Sequential(*branch), short))
