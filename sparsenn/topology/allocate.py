"""Where freed connections return: ``(layers, freed, capacities) -> counts``.

Counts are integers with the same sum as `freed` and at most the capacities.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from sparsenn.topology.layer import Layer


class Allocate(Protocol):
    """Shares the connections that were dropped among the layers."""

    def __call__(
        self, layers: Sequence[Layer], freed: Sequence[int], capacities: Sequence[int]
    ) -> list[int]:
        """Connections to grow in each layer; sums to ``sum(freed)``."""


def same(
    layers: Sequence[Layer], freed: Sequence[int], capacities: Sequence[int]
) -> list[int]:
    """Every layer regrows what it dropped (SET, RigL)."""
    return list(freed)
