"""SNFS, sparse momentum: connections go where the momentum is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal, final

import numpy as np

from sparsenn.sparse import SparseParameter
from sparsenn.topology import score as scores
from sparsenn.topology.allocate import by_momentum, momentum_shares
from sparsenn.topology.drop import keep_largest
from sparsenn.topology.grow import Grow, gradient, momentum, random
from sparsenn.topology.layer import Layer
from sparsenn.topology.methods.recipe import choose
from sparsenn.topology.schedule import Decay, Periodic
from sparsenn.topology.score import NEEDS_MOMENTUM, Score
from sparsenn.topology.updater import TopologyUpdater

if TYPE_CHECKING:
    from sparsenn.optim import Optimizer

_SCORES: dict[str, Score] = {
    "magnitude": scores.magnitude,
    "momentum": scores.momentum,
}


@final
class by_share:
    """Drops a fraction of each layer, less of nearly full ones that still grow (SNFS).

    A layer of density above 0.8 whose share of the momentum is above average loses at
    most the fraction of its positions that is free. Counts are rounded up.

    Parameters
    ----------
    score : callable
        What is dropped first, see `sparsenn.topology.score`.
    """

    def __init__(self, score: Score) -> None:
        self.score = score

    def __repr__(self) -> str:
        """With its score."""
        return f"by_share({getattr(self.score, '__name__', None) or self.score!r})"

    def __call__(self, layers: Sequence[Layer], fraction: float) -> list[np.ndarray]:
        """Masks of the connections kept."""
        keeps = []
        for layer, share in zip(layers, momentum_shares(layers), strict=True):
            sparsity = 1.0 - layer.pattern.density
            nearly_full = sparsity < 0.2 and share > 1 / len(layers)
            rate = min(sparsity, fraction) if nearly_full else fraction
            count = math.ceil(rate * layer.pattern.nnz)
            keeps.append(keep_largest(layer, self.score(layer), count))
        return keeps


def SNFS(
    params: Iterable[Any],
    optimizer: Optimizer | None = None,
    *,
    drop_fraction: float = 0.5,
    every: int = 500,
    end_step: int | None = None,
    decay: Decay | None = None,
    drop: Literal["magnitude", "momentum"] = "magnitude",
    growth: Literal["gradient", "random", "momentum"] = "gradient",
    beta: float = 0.9,
    window: int = 66,
    limit_bytes: int = 1 << 30,
    protect: int = 0,
    exempt: Iterable[SparseParameter] = (),
    seed: int | np.random.Generator | None = 0,
) -> TopologyUpdater:
    """Sparse networks from scratch: momentum decides where connections return.

    Layers get new connections in proportion to the mean ``|momentum|`` of those they
    have, which is exact with the optimiser's own state. Full layers take part. An
    update comes before the optimiser's step.

    Parameters
    ----------
    params, optimizer
        What to evolve; the optimiser must keep momentum.
    drop_fraction : float
        Of every layer, at the beginning.
    every : int
        Steps between updates; the paper's is one epoch.
    end_step : int or None
        No update at this step or later.
    decay : str or None
        By default "cosine" to 0.005 at `end_step`, as in the paper, if there is one.
    drop : {"magnitude", "momentum"}
        What goes: the smallest ``|w|`` (the paper), or the smallest ``|momentum|``, so
        that a small weight on the move stays.
    growth : {"gradient", "random", "momentum"}
        Where connections are born within a layer: at the largest present gradient,
        anywhere (as the article notes), or at the largest momentum, from the factors of
        the last `window` steps (:class:`~sparsenn.topology.grow.momentum`). The paper
        has the last, with a dense array.
    beta, window, limit_bytes
        Of growth by momentum.
    protect : int
        Updates during which a newborn cannot be dropped; the paper has none.
    exempt : iterable of SparseParameter
        Parameters that stay as they are.
    seed : int, Generator or None

    References
    ----------
    Dettmers & Zettlemoyer, "Sparse networks from scratch: faster training without
    losing performance", arXiv:1907.04840.
    """
    if optimizer is not None and not {"momentum", "m"} & {*optimizer.per_weight}:
        raise ValueError(NEEDS_MOMENTUM)
    grows: dict[str, Grow] = {
        "gradient": gradient(),
        "random": random(),
        "momentum": momentum(beta=beta, window=window, limit_bytes=limit_bytes),
    }
    if decay is None:
        decay = "constant" if end_step is None else "cosine"
    return TopologyUpdater(
        params,
        optimizer,
        drop=by_share(choose("drop", drop, _SCORES)),
        allocate=by_momentum,
        grow=choose("growth", growth, grows),
        schedule=Periodic(drop_fraction, every, end_step, decay, floor=0.005),
        full=True,
        protect=protect,
        replaces_step=False,
        exempt=exempt,
        seed=seed,
    )
