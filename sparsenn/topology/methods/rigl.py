"""RigL: drop small weights, grow where the gradient is largest."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from sparsenn.sparse import SparseParameter
from sparsenn.topology import drop
from sparsenn.topology.grow import gradient
from sparsenn.topology.methods.recipe import choose
from sparsenn.topology.newborn import NEWBORNS
from sparsenn.topology.schedule import Decay, Periodic
from sparsenn.topology.updater import TopologyUpdater

if TYPE_CHECKING:
    from sparsenn.optim import Optimizer


def RigL(
    params: Iterable[Any],
    optimizer: Optimizer | None = None,
    *,
    drop_fraction: float = 0.3,
    every: int = 100,
    end_step: int | None = None,
    decay: Decay | None = None,
    regrow: bool = True,
    accumulate: int = 1,
    newborn: Literal["zero", "resample"] = "zero",
    protect: int = 0,
    exempt: Iterable[SparseParameter] = (),
    seed: int | np.random.Generator | None = 0,
) -> TopologyUpdater:
    """Rigging the lottery: drop the smallest weights, grow by the dense gradient.

    The gradient of positions without a connection is searched in tiles, by its factors,
    and only at updates. An update takes the place of the optimiser's step.

    Parameters
    ----------
    params, optimizer
        What to evolve, and the optimiser whose state follows.
    drop_fraction : float
        Alpha of the paper.
    every : int
        Steps between updates (Delta T).
    end_step : int or None
        No update at this step or later; the paper stops at 75 % of training.
    decay : str or None
        Of the drop fraction; by default "cosine" if there is an `end_step`, as in the
        paper, else "constant".
    regrow : bool
        Whether what was just dropped may return, with its value, as in the paper.
    accumulate : int
        Batches whose gradients are added up before growing (1 in the paper).
    newborn : {"zero", "resample"}
        Value of grown connections; the paper finds none better than 0.
    protect : int
        Updates during which a newborn cannot be dropped; the paper has none.
    exempt : iterable of SparseParameter
        Parameters that stay as they are.
    seed : int, Generator or None

    References
    ----------
    Evci, Gale, Menick, Castro & Elsen, "Rigging the lottery: making all tickets
    winners", arXiv:1911.11134, algorithm 1.
    """
    if decay is None:
        decay = "constant" if end_step is None else "cosine"
    return TopologyUpdater(
        params,
        optimizer,
        drop=drop.magnitude,
        grow=gradient(regrow=regrow, revive=regrow, accumulate=accumulate),
        newborn=choose("newborn", newborn, NEWBORNS),
        schedule=Periodic(drop_fraction, every, end_step, decay),
        protect=protect,
        replaces_step=True,
        exempt=exempt,
        seed=seed,
    )
