"""Architectures from the command line's words."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sparsenn import nn
from sparsenn.models.gpt import gpt
from sparsenn.models.lenet import lenet5
from sparsenn.models.mixer import mixer
from sparsenn.models.mlp import mlp
from sparsenn.models.recurrent import LAYERS, char_rnn, recurrent
from sparsenn.models.resnet import resnet, wide_resnet
from sparsenn.models.vgg import vgg

Image = tuple[int, int, int]

_SIZES = re.compile(r"[1-9][0-9]{0,8}(-[1-9][0-9]{0,8})+", re.ASCII)


@dataclass(frozen=True)
class Architecture:
    """A family of models for some kinds of data.

    Attributes
    ----------
    usage : str
        How its names look.
    pattern : str
        A regular expression that names match as a whole.
    make : callable
        ``make(groups, **options)``: the model of a name, from the groups that matched.
    takes : tuple of str
        Of "images", "sequences" and "text".
    """

    usage: str
    pattern: str
    make: Callable[..., nn.Sequential]
    takes: tuple[str, ...] = ("images",)


def _widths(text: str) -> list[int]:
    return [0 if word == "m" else int(word) for word in text.split("-")]


_RECURRENT = rf"(bi)?({'|'.join(LAYERS)}):(?:([1-9][0-9]?)x)?([1-9][0-9]{{0,5}})"


def _recurrent(groups: tuple[str, ...], **options: Any) -> nn.Sequential:
    both_ways, kind, n_layers, n_hidden = groups
    options |= {"n_hidden": int(n_hidden), "n_layers": int(n_layers or 1)}
    if "vocab" not in options:
        return recurrent(kind, bidirectional=bool(both_ways), **options)
    if both_ways:
        raise ValueError(
            f"architecture bi{kind} would see the tokens that it is to predict; use "
            f"{kind}"
        )
    options.pop("context")  # any will do
    return char_rnn(kind=kind, **options)


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
    Architecture("gru:2x128", _RECURRENT, _recurrent, ("sequences", "text")),
    Architecture(
        "gpt:6x384",
        r"gpt:([1-9][0-9]{0,2})x([1-9][0-9]{0,4})",
        lambda g, **o: gpt(layers=int(g[0]), width=int(g[1]), **o),
        ("text",),
    ),
)
"""Models by name; sizes joined by dashes are an :func:`mlp`."""

DEFAULT_ARCHITECTURES = {"sequences": "gru:128", "text": "gpt:2x128"}
"""Names for kinds of data that an :func:`mlp` does not take."""


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
    kind: str = "rows",
) -> list[tuple[int, ...]]:
    """(n_out, n_in[, kernel height, kernel width]) of an architecture's weights.

    Parameters and errors are those of :func:`build`.
    """
    if is_mlp(arch) and kind == "rows":
        sizes = sizes_for(arch, n_features, n_classes)
        return [(n_out, n_in) for n_in, n_out in itertools.pairwise(sizes)]
    # Of no connections: shapes alone.
    options: dict[str, Any] = {"image": image, "kind": kind}
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
    kind: str = "rows",
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
    kind : {"rows", "sequences", "text"}
        Of the data. Of text `n_features` is the number of tokens of a sample, and
        `n_classes` that of different ones.
    **options
        As for :func:`mlp`; models by name have their own activations and take no
        sparse input. Those for sequences and text ignore `input_rms`: their initial
        values are the same for any scale.

    Raises
    ------
    ValueError
        If the name is not understood or does not fit the data.
    """
    for family in ARCHITECTURES:
        match = re.fullmatch(family.pattern, arch, re.ASCII)
        if match is None:
            continue
        is_a = "images" if kind == "rows" and image is not None else kind
        if is_a not in family.takes:
            raise ValueError(
                f"architecture {arch} takes {' and '.join(family.takes)}, the data "
                f"has {_described(kind, n_features)}"
            )
        if options.pop("sparse_input", False):
            raise ValueError(f"architecture {arch} takes no sparse data")
        if (activation := options.pop("activation", "relu")) != "relu":
            raise ValueError(
                f"architecture {arch} has activations of its own; --activation "
                f"{activation} is for layer sizes such as 784-300-100-10"
            )
        options["density"] = density
        if is_a == "images":
            options |= {"image": image, "n_classes": n_classes}
        else:
            options.pop("input_rms", None)
        if is_a == "sequences":
            options |= {"n_in": n_features, "n_classes": n_classes}
        if is_a == "text":
            options |= {"vocab": n_classes, "context": n_features}
        return family.make(match.groups(), **options)
    if kind != "rows" and is_mlp(arch):
        raise ValueError(
            f"architecture {arch} takes rows of features, the data has "
            f"{_described(kind, n_features)}; use {DEFAULT_ARCHITECTURES[kind]}, say"
        )
    return mlp(sizes_for(arch, n_features, n_classes), density, **options)


def _described(kind: str, n_features: int) -> str:
    what = {"sequences": "steps", "text": "text in windows"}.get(kind, "rows")
    return f"{what} of {n_features} {'tokens' if kind == 'text' else 'features'}"
