"""Architectures from the command line's words."""

from __future__ import annotations

import re
from typing import Any

from sparsenn import nn
from sparsenn.models.mlp import mlp


def parse_sizes(arch: str) -> list[int]:
    """``"784-300-100-10"`` -> [784, 300, 100, 10].

    Raises
    ------
    ValueError
        If it is anything else than two or more positive numbers joined by dashes.
    """
    if not re.fullmatch(r"[1-9][0-9]{0,8}(-[1-9][0-9]{0,8})+", arch, re.ASCII):
        raise ValueError(
            f"architecture {arch!r} is not understood; give layer sizes from input to "
            "output, such as 784-300-100-10"
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


def build(
    arch: str,
    n_features: int,
    n_classes: int,
    density: float | None = 1.0,
    **options: Any,
) -> nn.Sequential:
    """The model of an architecture's name, checked against the data.

    Parameters
    ----------
    arch : str
        Sizes joined by dashes.
    n_features, n_classes : int
        Of the data; they must be the first and the last size.
    density : float or None
        Of the whole network; None: virtual, to be pruned before it is used.
    **options
        As for :func:`mlp`.

    Raises
    ------
    ValueError
        If the name is not understood or does not fit the data.
    """
    return mlp(sizes_for(arch, n_features, n_classes), density, **options)
