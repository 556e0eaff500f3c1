"""LeNet-5, as published and as Caffe has it."""

from __future__ import annotations

from functools import partial
from typing import Any

from sparsenn import nn
from sparsenn.models.budget import Layers, with_budget

Image = tuple[int, int, int]


def lenet5(
    density: float | None = 1.0,
    *,
    image: Image = (1, 28, 28),
    n_classes: int = 10,
    caffe: bool = False,
    dropout: float = 0.0,
    **options: Any,
) -> nn.Sequential:
    """Two convolutions of 5 x 5, each with max-pooling, and fully connected layers.

    Parameters
    ----------
    density : float or None
        Of the whole network, see :func:`sparsenn.models.with_budget`.
    image : tuple of int
        (channels, height, width) of the input, at least 16 pixels high and wide.
    n_classes : int
    caffe : bool
        20 and 50 channels and 500 hidden units, the 430,500 weights of sparse-training
        papers; otherwise 6, 16, 120 and 84, the first convolution padded for images of
        28 pixels so that it sees them as LeCun's of 32.
    dropout : float
        Before the last layer.
    **options
        As for :func:`sparsenn.models.with_budget`.

    References
    ----------
    LeCun et al., "Gradient-based learning applied to document recognition", 1998.
    """
    build = partial(
        _lenet5, image=image, n_classes=n_classes, caffe=caffe, dropout=dropout
    )
    return with_budget(build, density, **options)


def _lenet5(
    layers: Layers, image: Image, n_classes: int, caffe: bool, dropout: float
) -> nn.Sequential:
    channels, *size = image
    first, second, hidden = (20, 50, [500]) if caffe else (6, 16, [120, 84])
    padding = 0 if caffe or min(size) > 28 else 2
    height, width = (((n + 2 * padding - 4) // 2 - 4) // 2 for n in size)
    if min(height, width) < 1:
        raise ValueError(
            f"LeNet-5 takes images of at least {16 - 2 * padding} pixels, got {size[0]}"
            f" x {size[1]}"
        )
    modules: list[nn.Module] = [
        nn.ToImage(*image),
        layers.conv(channels, first, 5, padding=padding, bias=True),
        nn.ReLU(),
        nn.MaxPool2d(2),
        layers.conv(first, second, 5, padding=0, bias=True),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
    ]
    n_in = second * height * width
    for n_out in hidden:
        modules += [layers.linear(n_in, n_out), nn.ReLU()]
        n_in = n_out
    if dropout:
        modules.append(nn.Dropout(dropout, seed=layers.seed))
    return nn.Sequential(*modules, layers.linear(n_in, n_classes))
