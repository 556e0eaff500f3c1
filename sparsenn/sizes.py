"""Sizes as users give them: whole numbers, one for all axes or one for each."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np


def whole(name: str, value: Any, least: int = 1) -> int:
    """The value as an int.

    Raises
    ------
    ValueError
        If it is not an integer (2.0 and True are none), or below `least`.
    """
    if not _is_whole(value, least):
        raise ValueError(
            f"{name} must be an integer of at least {least}, got {value!r}"
        )
    return int(value)


def each(name: str, value: Any, least: int = 1, axes: int = 2) -> tuple[int, ...]:
    """An int for each axis: those of the value, or the value for all.

    Raises
    ------
    ValueError
        If there are not as many as axes, or one is not as :func:`whole` takes it.
    """
    values = tuple(value) if isinstance(value, Iterable) else (value,) * axes
    if len(values) != axes or not all(_is_whole(n, least) for n in values):
        raise ValueError(
            f"{name} must be an integer of at least {least}, or {axes} of them, got "
            f"{value!r}"
        )
    return tuple(int(n) for n in values)


def pair(name: str, value: Any, least: int = 1) -> tuple[int, int]:
    """Height and width, as of :func:`each`."""
    height, width = each(name, value, least)
    return height, width


def _is_whole(value: Any, least: int) -> bool:
    number = isinstance(value, int | np.integer) and not isinstance(value, bool)
    return number and bool(value >= least)
