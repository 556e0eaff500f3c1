"""VGG-like networks: convolutions of 3 x 3 in a row, with batch norm."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from sparsenn import nn
from sparsenn.models.budget import Layers, with_budget
from sparsenn.sizes import whole

Image = tuple[int, int, int]

#: Channels of each convolution; 0: max-pooling.
VGG: dict[str, tuple[int, ...]] = {
    "vgg11": (64, 0, 128, 0, 256, 256, 0, 512, 512, 0, 512, 512, 0),
    "vgg13": (64, 64, 0, 128, 128, 0, 256, 256, 0, 512, 512, 0, 512, 512, 0),
    "vgg16": (64, 64, 0, 128, 128, 0, *(256,) * 3, 0, *(512,) * 3, 0, *(512,) * 3, 0),
    "vgg19": (64, 64, 0, 128, 128, 0, *(256,) * 4, 0, *(512,) * 4, 0, *(512,) * 4, 0),
}


def vgg(
    widths: str | Sequence[int] = "vgg16",
    density: float | None = 1.0,
    *,
    image: Image = (3, 32, 32),
    n_classes: int = 10,
    dropout: float = 0.0,
    **options: Any,
) -> nn.Sequential:
    """Convolutions with batch norm and ReLU, max-pooling between, one linear layer.

    Parameters
    ----------
    widths : str or sequence of int
        A key of ``VGG``, or channels of each convolution, with 0 for a max-pooling.
    density : float or None
        Of the whole network, see :func:`sparsenn.models.with_budget`.
    image : tuple of int
        (channels, height, width) of the input.
    n_classes : int
    dropout : float
        Before the last layer.
    **options
        As for :func:`sparsenn.models.with_budget`.

    Notes
    -----
    Without the two hidden fully connected layers of the article, as is usual for small
    images: what remains of the image is averaged.

    References
    ----------
    Simonyan & Zisserman, "Very deep convolutional networks for large-scale image
    recognition", arXiv:1409.1556.
    """
    if isinstance(widths, str | int):
        if widths not in VGG:
            raise ValueError(
                f"widths must be numbers of channels or one of {', '.join(VGG)}; got "
                f"{widths!r}"
            )
        widths = VGG[str(widths)]
    build = partial(
        _vgg, widths=widths, image=image, n_classes=n_classes, dropout=dropout
    )
    return with_budget(build, density, **options)


def _vgg(
    layers: Layers,
    widths: Sequence[int],
    image: Image,
    n_classes: int,
    dropout: float,
) -> nn.Sequential:
    widths = [whole("each of the widths", width, 0) for width in widths]
    pools = sum(not width for width in widths)
    if not any(widths) or min(widths) < 0 or min(image[1:]) >> pools < 1:
        raise ValueError(
            f"a VGG has convolutions, and images of {image[1]} x {image[2]} can be "
            f"halved {min(image[1:]).bit_length() - 1} times; got {tuple(widths)}"
        )
    modules: list[nn.Module] = [nn.ToImage(*image)]
    n_in = image[0]
    for width in widths:
        if not width:
            modules.append(nn.MaxPool2d(2))
            continue
        modules += [layers.conv(n_in, width, 3), layers.batch_norm(width), nn.ReLU()]
        n_in = width
    modules.append(nn.GlobalAvgPool())
    if dropout:
        modules.append(nn.Dropout(dropout, seed=layers.seed))
    return nn.Sequential(*modules, layers.linear(n_in, n_classes, gain=1.0))
