"""Where connections return: ``(layers, kept, total, capacities) -> counts``.

`kept` are the connections that survive in each layer, `total` is the number to grow;
counts are integers that sum to it, within the capacities.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Protocol

import numpy as np

from sparsenn.sparse import apportion
from sparsenn.topology import score as scores
from sparsenn.topology.layer import Layer


class Allocate(Protocol):
    """Shares the connections to grow among the layers."""

    def __call__(
        self,
        layers: Sequence[Layer],
        kept: Sequence[int],
        total: int,
        capacities: Sequence[int],
    ) -> list[int]:
        """Connections to grow in each layer; sums to `total`."""


def same(
    layers: Sequence[Layer], kept: Sequence[int], total: int, capacities: Sequence[int]
) -> list[int]:
    """Every layer regrows what it dropped (SET, RigL).

    What a rising budget adds is shared in proportion to the layers' connections.
    """
    sizes = [layer.pattern.nnz for layer in layers]
    freed = [size - k for size, k in zip(sizes, kept, strict=True)]
    extra = total - sum(freed)
    if extra <= 0:
        return apportion(total, freed, capacities) if extra else freed
    room = [c - f for c, f in zip(capacities, freed, strict=True)]
    added = apportion(extra, sizes, room)
    return [f + a for f, a in zip(freed, added, strict=True)]


def by_survivors(
    layers: Sequence[Layer], kept: Sequence[int], total: int, capacities: Sequence[int]
) -> list[int]:
    """In proportion to the connections that survive in each layer (DSR).

    References
    ----------
    Mostafa & Wang, arXiv:1902.05967, algorithm 1. The authors round to the nearest and
    give what is left to a random layer; here it is the largest remainders.
    """
    return apportion(total, list(kept), capacities)


def by_momentum(
    layers: Sequence[Layer], kept: Sequence[int], total: int, capacities: Sequence[int]
) -> list[int]:
    """In proportion to the mean ``|momentum|`` of each layer's connections (SNFS).

    Means are summed in canonical order, so they do not depend on the layout.

    References
    ----------
    Dettmers & Zettlemoyer, "Sparse networks from scratch", arXiv:1907.04840, section 3.
    """
    return apportion(total, momentum_shares(layers), capacities)


def momentum_shares(layers: Sequence[Layer]) -> list[Fraction]:
    """Mean ``|momentum|`` of each layer over their sum; equal if all are zero."""
    means = []
    for layer in layers:
        ordered = layer.pattern.to_canonical(scores.momentum(layer))
        mean = float(np.mean(ordered, dtype=np.float64)) if ordered.size else 0.0
        if not np.isfinite(mean):
            raise ValueError(
                f"the momentum of parameter {layer.param.name!r} is not finite"
            )
        means.append(Fraction(mean))
    total = sum(means)
    n = len(means)
    return [m / total if total else Fraction(1, n) for m in means]
