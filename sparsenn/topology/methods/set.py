"""SET, sparse evolutionary training: drop small weights, grow at random."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from sparsenn.sparse import SparseParameter
from sparsenn.topology import drop as drops
from sparsenn.topology.drop import Drop
from sparsenn.topology.grow import random
from sparsenn.topology.methods.recipe import choose
from sparsenn.topology.newborn import NEWBORNS
from sparsenn.topology.schedule import Decay, Periodic
from sparsenn.topology.updater import TopologyUpdater

if TYPE_CHECKING:
    from sparsenn.optim import Optimizer

SET_DROPS: dict[str, Drop] = {
    "sign": drops.sign(of_each=True),
    "magnitude": drops.magnitude,
    "article": drops.sign(of_each=False),
}
"""The three readings of which connections SET drops, by name."""


def SET(
    params: Iterable[Any],
    optimizer: Optimizer | None = None,
    *,
    drop_fraction: float = 0.3,
    every: int = 500,
    end_step: int | None = None,
    decay: Decay = "constant",
    drop: Literal["sign", "magnitude", "article"] = "sign",
    newborn: Literal["zero", "resample"] = "zero",
    regrow: bool = True,
    protect: int = 0,
    exempt: Iterable[SparseParameter] = (),
    seed: int | np.random.Generator | None = 0,
) -> TopologyUpdater:
    """Sparse evolutionary training: drop small weights, grow at random.

    Parameters
    ----------
    params, optimizer
        What to evolve, and the optimiser whose state follows.
    drop_fraction : float
        Zeta of the paper.
    every : int
        Steps between updates; the paper's is one epoch. An update comes before the
        optimiser's step and does not replace it.
    end_step : int or None
        No update at this step or later.
    decay : str
        Of the drop fraction, see :class:`~sparsenn.topology.Periodic`; the paper keeps
        it constant.
    drop : {"sign", "magnitude", "article"}
        The three readings of SET: `drop_fraction` of each sign (the authors' code),
        the smallest magnitudes (most later codes), or half of `drop_fraction` of all
        weights from each sign (the article "The Case for Sparsity").
    newborn : {"zero", "resample"}
        Value of grown connections: 0, or drawn anew from the layer's initial
        distribution at its real fan-in. The authors' sparse code draws N(0, 0.1^2).
    regrow : bool
        Whether a connection dropped in this update may return at once.
    protect : int
        Updates during which a newborn cannot be dropped; the paper has none.
    exempt : iterable of SparseParameter
        Parameters that stay as they are.
    seed : int, Generator or None

    References
    ----------
    Mocanu et al., "Scalable training of artificial neural networks with adaptive
    sparse connectivity inspired by network science", Nature Communications 2018.
    """
    return TopologyUpdater(
        params,
        optimizer,
        drop=choose("drop", drop, SET_DROPS),
        grow=random(regrow=regrow),
        newborn=choose("newborn", newborn, NEWBORNS),
        schedule=Periodic(drop_fraction, every, end_step, decay),
        protect=protect,
        replaces_step=False,
        exempt=exempt,
        seed=seed,
    )
