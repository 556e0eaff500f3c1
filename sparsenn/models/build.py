"""Architectures from the command line's words."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sparsenn import nn
from sparsenn.models.lenet import lenet5
from sparsenn.models.mixer import mixer
from sparsenn.models.mlp import mlp
from sparsenn.models.recurrent import recurrent
from sparsenn.models.resnet import resnet, wide_resnet
from sparsenn.models.vgg import vgg

Image = tuple[int, int, int]

_SIZES = re.compile(r"[1-9][0-9]{0,8}(-[1-9][0-9]{0,8})+", re.ASCII)


@dataclass(frozen=True)
class Architecture:
    """A family of models for images, or for sequences.

    Attributes
    ----------
    usage : str
        How its names look.
    pattern : str
        A regular expression that names match as a whole.
    make : callable
        ``make(groups, **options)``: the model of a name, from the groups that matched.
    sequences : bool
        Whether it takes sequences, and not images.
    """

    usage: str
    pattern: str
    make: Callable[..., nn.Sequential]
    sequences: bool = False


def _widths(text: str) -> list[int]:
    return [0 if word == "m" else int(word) for word in text.split("-")]


ARCHITECTURES = (
    Architecture(
        "lenet5", r"lenet5(-caffe)?", lambda g, **o: lenet5(caffe=bool(g[0]), **o)
    ),
    Architecture("vgg16", r"(vgg(?:11|13|16|19))", lambda g, **o: vgg(g[0], **o)),
    Architecture(
        "vgg:32-m-64-m",
        r"vgg:((?:[1-9][0-9]{0,4}|m)(?:-(?:[1-9][0-9]{0,4}|m))*)",
        lambda g, **o: vgg(_widths(g[0]), **o),
    ),
    Architecture(
        "resnet20", r"resnet([1-9][0-9]{0,3})", lambda g, **o: resnet(int(g[0]), **o)
    ),
    Architecture(
        "wrn-16-4",
        r"wrn-([1-9][0-9]{0,3})-([1-9][0-9]?)",
        lambda g, **o: wide_resnet(int(g[0]), int(g[1]), **o),
    ),
    Architecture(
        "mixer:8x256/4",
        r"mixer:([1-9][0-9]{0,2})x([1-9][0-9]{0,4})/([1-9][0-9]?)",
        lambda g, **o: mixer(*map(int, g), **o),
    ),
    Architecture(
        "gru:2x128",
        r"(bi)?(rnn|gru|lstm):(?:([1-9][0-9]?)x)?([1-9][0-9]{0,5})",
        lambda g, **o: recurrent(
            g[1],
            n_hidden=int(g[3]),
            n_layers=int(g[2] or 1),
            bidirectional=bool(g[0]),
            **o,
        ),
        sequences=True,
    ),
)
"""Models for images and sequences, by name; sizes joined by dashes are an :func:`mlp`.
"""


def is_mlp(arch: str) -> bool:
    """Whether a name is one of sizes joined by dashes."""
    return _SIZES.fullmatch(arch) is not None


def parse_sizes(arch: str) -> list[int]:
    """``"784-300-100-10"`` -> [784, 300, 100, 10].

    Raises
    ------
    ValueError
        If it is anything else than two or more positive numbers joined by dashes.
    """
    if not is_mlp(arch):
        known = ", ".join(family.usage for family in ARCHITECTURES)
        raise ValueError(
            f"architecture {arch!r} is not understood; give layer sizes from input to "
            f"output, such as 784-300-100-10, or a name such as {known}"
        )
    return [int(size) for size in arch.split("-")]


def sizes_for(arch: str, n_features: int, n_classes: int) -> list[int]:
    """The layer sizes of an architecture's name, checked against the data.

    Raises
    ------
    ValueError
        If the name is not understood or does not fit the data.
    """
    sizes = parse_sizes(arch)
    if sizes[0] != n_features:
        raise ValueError(
            f"architecture {arch} takes {sizes[0]} features, the data has {n_features}"
        )
    if sizes[-1] != n_classes:
        raise ValueError(
            f"architecture {arch} has {sizes[-1]} outputs, the data has {n_classes} "
            "classes"
        )
    return sizes


def axes_of(
    arch: str,
    n_features: int,
    n_classes: int,
    image: Image | None = None,
    sequences: bool = False,
) -> list[tuple[int, ...]]:
    """(n_out, n_in[, kernel height, kernel width]) of an architecture's weights.

    Parameters and errors are those of :func:`build`.
    """
    if is_mlp(arch) and not sequences:
        sizes = sizes_for(arch, n_features, n_classes)
        return [(n_out, n_in) for n_in, n_out in itertools.pairwise(sizes)]
    # Of no connections: shapes alone.
    options: dict[str, Any] = {"image": image, "sequences": sequences}
    model = build(arch, n_features, n_classes, 0.0, seed=0, **options)
    weights = (p for p in model.parameters() if hasattr(p, "axes"))
    return [weight.axes for weight in weights]


def build(
    arch: str,
    n_features: int,
    n_classes: int,
    density: float | None = 1.0,
    *,
    image: Image | None = None,
    sequences: bool = False,
    **options: Any,
) -> nn.Sequential:
    """The model of an architecture's name, checked against the data.

    Parameters
    ----------
    arch : str
        Sizes joined by dashes, or a name as ``ARCHITECTURES`` has them.
    n_features, n_classes : int
        Of the data; of sizes they must be the first and the last.
    density : float or None
        Of the whole network; None: every connection, to be pruned before it is trained.
        A multilayer perceptron is then virtual.
    image : tuple of int, optional
        (channels, height, width) of a sample, which models for images need.
    sequences : bool
        Whether the data are sequences, which recurrent models take, and only they.
    **options
        As for :func:`mlp`; models by name have their own activations and take no
        sparse input. Recurrent ones ignore `input_rms`: their initial values are the
        same for any scale.

    Raises
    ------
    ValueError
        If the name is not understood or does not fit the data.
    """
    for family in ARCHITECTURES:
        match = re.fullmatch(family.pattern, arch, re.ASCII)
        if match is None:
            continue
        if family.sequences != sequences or (image is None and not sequences):
            rows = f"{'steps' if sequences else 'rows'} of {n_features} features"
            raise ValueError(
                f"architecture {arch} takes "
                f"{'sequences' if family.sequences else 'images'}, the data has {rows}"
            )
        if options.pop("sparse_input", False):
            raise ValueError(f"architecture {arch} takes no sparse data")
        if (activation := options.pop("activation", "relu")) != "relu":
            raise ValueError(
                f"architecture {arch} has activations of its own; --activation "
                f"{activation} is for layer sizes such as 784-300-100-10"
            )
        options |= {"density": density, "n_classes": n_classes}
        if sequences:
            options.pop("input_rms", None)
            return family.make(match.groups(), n_in=n_features, **options)
        return family.make(match.groups(), image=image, **options)
    if sequences and is_mlp(arch):
        raise ValueError(
            f"architecture {arch} takes rows of features, the data has sequences; use "
            "gru:128, say"
        )
    return mlp(sizes_for(arch, n_features, n_classes), density, **options)
