"""How many connections the network has after each round, and each layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias, final

import numpy as np

from sparsenn.pruning.weights import Weight
from sparsenn.sparse import allocate

Scope: TypeAlias = Literal["global", "layer"]


def exponential(weights: Sequence[Weight], total: int, rounds: int) -> list[int]:
    """Connections of the network after each of some rounds.

    Parameters
    ----------
    weights : sequence of Weight
    total : int
        After the last round.
    rounds : int
        At least 1.

    Returns
    -------
    list of int, length rounds
        The candidates n (of layers that are not exempt) fall to k of them as
        ``n ** (1 - r / rounds) * k ** (r / rounds)``.
    """
    if (
        isinstance(rounds, bool)
        or not isinstance(rounds, int | np.integer)
        or rounds < 1
    ):
        raise ValueError(f"rounds must be an integer of at least 1, got {rounds!r}")
    kept = sum(w.before for w in weights if w.exempt)
    n, k = sum(w.before for w in weights) - kept, total - kept
    if not k:
        return [kept] * rounds
    between = [round(n * (k / n) ** (r / rounds)) for r in range(1, rounds)]
    return [kept + step for step in between] + [total]


@final
class Shares:
    """Whether layers compete, or each is given its number of connections.

    Parameters
    ----------
    scope : {"global", "layer"}
    allocation : str
        For "layer", see :func:`sparsenn.sparse.allocate`.
    """

    def __init__(self, scope: Scope, allocation: str) -> None:
        if scope not in ("global", "layer"):
            raise ValueError(f"scope must be 'global' or 'layer', got {scope!r}")
        self.by_layer = scope == "layer"
        self.allocation = allocation

    def groups(
        self, weights: Sequence[Weight], total: int, most: Sequence[int]
    ) -> list[tuple[list[int], int]]:
        """Layers that compete, by number, and how many connections they keep together.

        Parameters
        ----------
        weights : sequence of Weight
        total : int
            Connections of the network, exempt layers included.
        most : sequence of int
            What each layer can have at most.

        Returns
        -------
        list of (numbers, count)
            Exempt layers are in none.
        """
        open_ = [w.number for w in weights if not w.exempt]
        if not self.by_layer:
            return [(open_, total - sum(w.before for w in weights if w.exempt))]
        counts = allocate(
            [w.param.axes for w in weights],
            total / sum(w.n_positions for w in weights),
            self.allocation,
            [w.number for w in weights if w.exempt],
            most,
        )
        return [([number], counts[number]) for number in open_]
