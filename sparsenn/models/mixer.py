"""MLP-Mixer: fully connected layers over places and over channels in turns."""

from __future__ import annotations

from functools import partial
from typing import Any

from sparsenn import nn
from sparsenn.models.budget import Layers, with_budget

Image = tuple[int, int, int]


def mixer(
    depth: int = 8,
    width: int = 256,
    patch: int = 4,
    density: float | None = 1.0,
    *,
    image: Image = (3, 32, 32),
    n_classes: int = 10,
    dropout: float = 0.0,
    **options: Any,
) -> nn.Sequential:
    """Patches of an image, mixed over places and over channels.

    Parameters
    ----------
    depth : int
        Blocks, each of which mixes places (``width / 2`` hidden units) and channels
        (``4 * width``).
    width : int
        Channels.
    patch : int
        Height and width of a patch, a divisor of those of the image.
    density : float or None
        Of the whole network, see :func:`sparsenn.models.with_budget`.
    image : tuple of int
        (channels, height, width) of the input.
    n_classes : int
    dropout : float
        After each of a block's four layers.
    **options
        As for :func:`sparsenn.models.with_budget`.

    References
    ----------
    Tolstikhin et al., "MLP-Mixer: an all-MLP architecture for vision",
    arXiv:2105.01601.
    """
    if min(depth, width, patch) < 1 or any(n % patch for n in image[1:]):
        raise ValueError(
            f"depth and width must be positive and the patch divide {image[1]} x "
            f"{image[2]}; got {depth}, {width}, {patch}"
        )
    build = partial(
        _mixer,
        depth=depth,
        width=width,
        patch=patch,
        image=image,
        n_classes=n_classes,
        dropout=dropout,
    )
    return with_budget(build, density, **options)


def _mixer(
    layers: Layers,
    depth: int,
    width: int,
    patch: int,
    image: Image,
    n_classes: int,
    dropout: float,
) -> nn.Sequential:
    stem = layers.conv(image[0], width, patch, stride=patch, padding=0, bias=True)
    modules: list[nn.Module] = [nn.ToImage(*image), stem]
    places = (image[1] // patch) * (image[2] // patch)
    for _ in range(depth):
        modules += [_places(layers, width, places, dropout), _channels(layers, width,
                    dropout)]  # fmt: skip
    return nn.Sequential(
        *modules,
        nn.LayerNorm2d(width, dtype=layers.dtype),
        nn.GlobalAvgPool(),
        layers.linear(width, n_classes, gain=1.0),
    )


def _dropout(layers: Layers, p: float) -> list[nn.Module]:
    if not p:
        return []
    return [nn.Dropout(p, seed=layers.seed, number=len(layers.axes))]


def _places(layers: Layers, width: int, places: int, p: float) -> nn.Module:
    hidden = max(width // 2, 1)
    mlp = nn.Sequential(
        layers.linear(places, hidden),
        nn.GELU(),
        *_dropout(layers, p),
        layers.linear(hidden, places, gain=1.0),
        *_dropout(layers, p),
    )
    norm = nn.LayerNorm2d(width, dtype=layers.dtype)
    return nn.Residual(nn.Sequential(norm, nn.OverPlaces(mlp)))


def _channels(layers: Layers, width: int, p: float) -> nn.Module:
    return nn.Residual(
        nn.Sequential(
            nn.LayerNorm2d(width, dtype=layers.dtype),
            layers.conv(width, 4 * width, 1, bias=True),
            nn.GELU(),
            *_dropout(layers, p),
            layers.conv(4 * width, width, 1, bias=True, gain=1.0),
            *_dropout(layers, p),
        )
    )
