"""Generators of `Sample`s: small inputs away from kinks and poles."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from sparsenn.autograd.registry import Sample

__all__ = ["binary", "fixed", "unary"]

Generator = Callable[[np.random.Generator], Iterator[Sample]]


def draw(
    rng: np.random.Generator,
    shape: tuple[int, ...],
    low: float = -2.0,
    high: float = 2.0,
    away: float = 0.1,
) -> np.ndarray:
    """Uniform numbers between `low` and `high`, none nearer to zero than `away`."""
    x = rng.uniform(low, high, shape)
    return np.where(np.abs(x) < away, np.where(x < 0, x - away, x + away), x)


def unary(low: float = -2.0, high: float = 2.0, **static: Any) -> Generator:
    """Scalars, vectors and matrices of numbers between `low` and `high`."""

    def sample(rng: np.random.Generator) -> Iterator[Sample]:
        for shape in ((), (4,), (3, 2), (2, 3, 2)):
            yield Sample((draw(rng, shape, low, high),), static)

    return sample


def binary(low: float = -2.0, high: float = 2.0) -> Generator:
    """Pairs of shapes that broadcast."""
    shapes: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = (
        ((), ()),
        ((4,), (4,)),
        ((3, 2), (2,)),
        ((3, 1), (1, 2)),
        ((), (2, 3)),
        ((2, 1, 2), (3, 2)),
    )

    def sample(rng: np.random.Generator) -> Iterator[Sample]:
        for a, b in shapes:
            yield Sample((draw(rng, a, low, high), draw(rng, b, low, high)))

    return sample


def fixed(*cases: tuple[tuple[tuple[int, ...], ...], dict[str, Any]]) -> Generator:
    """Inputs of given shapes, with static arguments: ``((shape, ...), static)``."""

    def sample(rng: np.random.Generator) -> Iterator[Sample]:
        for shapes, static in cases:
            yield Sample(tuple(draw(rng, s) for s in shapes), static)

    return sample
