"""Gradual pruning during training: GMP, and GraNet, which also regenerates."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from sparsenn.sparse import SparseParameter
from sparsenn.topology import drop
from sparsenn.topology.drop import prune_globally, prune_uniformly
from sparsenn.topology.grow import gradient, random
from sparsenn.topology.methods.recipe import choose
from sparsenn.topology.schedule import Cubic, Periodic
from sparsenn.topology.updater import Prune, TopologyUpdater, sparse_parameters

if TYPE_CHECKING:
    from sparsenn.optim import Optimizer

_SCOPES: dict[str, Prune] = {"global": prune_globally, "uniform": prune_uniformly}


def GMP(
    params: Iterable[Any],
    optimizer: Optimizer | None = None,
    *,
    density: float,
    every: int = 100,
    start_step: int = 0,
    end_step: int,
    scope: Literal["global", "uniform"] = "uniform",
    exempt: Iterable[SparseParameter] = (),
    seed: int | np.random.Generator | None = 0,
) -> TopologyUpdater:
    """Gradual magnitude pruning: from the present density to another, by a cubic law.

    Memory shrinks with the connections; from a full start it is that of a dense network
    at first. The last update meets the density exactly. An update comes before the
    optimiser's step.

    Parameters
    ----------
    params, optimizer
        What to prune, and the optimiser whose state follows.
    density : float
        Of the whole network at the end.
    every : int
        Steps between updates.
    start_step, end_step : int
        Where the density begins to fall and where it has arrived, both rounded down to
        updates.
    scope : {"global", "uniform"}
        Whether the smallest of all weights go, or the same share of every layer, as in
        the paper.
    exempt : iterable of SparseParameter
        Parameters that stay as they are.
    seed : int, Generator or None
        Not used; methods are called alike.

    References
    ----------
    Zhu & Gupta, "To prune, or not to prune", arXiv:1710.01878. Gale, Elsen & Hooker,
    "The state of sparsity in deep neural networks", arXiv:1902.09574.
    """
    params = list(params)
    budget = _falling(params, density, every, start_step, end_step)
    return TopologyUpdater(
        params,
        optimizer,
        drop=drop.magnitude,
        grow=random(),
        schedule=Periodic(0.0, every, budget.end + 1),
        budget=budget,
        prune=choose("scope", scope, _SCOPES),
        full=True,
        replaces_step=False,
        exempt=exempt,
        seed=seed,
    )


def GraNet(
    params: Iterable[Any],
    optimizer: Optimizer | None = None,
    *,
    density: float,
    drop_fraction: float = 0.5,
    every: int = 1000,
    start_step: int = 0,
    end_step: int,
    total_steps: int | None = None,
    scope: Literal["global", "uniform"] = "global",
    growth: Literal["gradient", "random"] = "gradient",
    protect: int = 0,
    exempt: Iterable[SparseParameter] = (),
    seed: int | np.random.Generator | None = 0,
) -> TopologyUpdater:
    """Gradual pruning with neuroregeneration: prune, then exchange connections as RigL.

    Parameters
    ----------
    params, optimizer
        What to evolve, and the optimiser whose state follows. The authors start from
        half of all connections.
    density : float
        Of the whole network once `end_step` is reached.
    drop_fraction : float
        Exchanged after each pruning, by cosine to 0.005 at `total_steps`.
    every : int
        Steps between updates.
    start_step, end_step : int
        Where the density begins to fall and where it has arrived.
    total_steps : int or None
        Where exchanging ends; None: with `end_step`.
    scope : {"global", "uniform"}
        Whether the smallest of all weights go, as in the paper, or the same share of
        every layer.
    growth : {"gradient", "random"}
    protect : int
        Updates during which a newborn is not exchanged; the budget may take it.
    exempt : iterable of SparseParameter
        Parameters that stay as they are.
    seed : int, Generator or None

    Notes
    -----
    A connection grown in the previous update whose weight is still exactly 0 is pruned
    before any other; the authors' code prunes all of these.

    References
    ----------
    Liu et al., "Sparse training via boosting pruning plasticity with
    neuroregeneration", arXiv:2106.10404.
    """
    params = list(params)
    budget = _falling(params, density, every, start_step, end_step)
    last = max(total_steps or 0, budget.end + 1)
    grows = {"gradient": gradient(), "random": random()}
    return TopologyUpdater(
        params,
        optimizer,
        drop=drop.magnitude,
        grow=choose("growth", growth, grows),
        schedule=Periodic(drop_fraction, every, last, "cosine", floor=0.005),
        budget=budget,
        prune=choose("scope", scope, _SCOPES),
        full=True,
        protect=protect,
        replaces_step=False,
        exempt=exempt,
        seed=seed,
    )


def _falling(
    params: list[Any], density: float, every: int, start: int, end: int
) -> Cubic:
    """The cubic law between two updates, from the density that there is."""
    if not 0 <= density <= 1:
        raise ValueError(f"density must be in [0, 1], got {density}")
    if every < 1:
        raise ValueError(f"every must be at least 1 step, got {every}")
    if end < every or start >= end:
        raise ValueError(
            f"no update every {every} steps falls between start_step={start} and "
            f"end_step={end}; update more often or train longer"
        )
    sparse = sparse_parameters(params)
    positions = sum(p.shape[0] * p.shape[1] for p in sparse)
    present = sum(p.nnz for p in sparse) / max(positions, 1)
    if density > present:
        raise ValueError(
            f"the network has density {present:g}, gradual pruning cannot reach "
            f"{density:g}; start from more connections"
        )
    return Cubic(present, density, start // every * every, end // every * every)
