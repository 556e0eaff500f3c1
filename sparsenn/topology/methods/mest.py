"""MEST: mutations that shrink, and a soft bound on memory."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from sparsenn.sparse import SparseParameter
from sparsenn.topology.drop import lowest
from sparsenn.topology.grow import random
from sparsenn.topology.schedule import Decay, Periodic, Stages
from sparsenn.topology.score import magnitude_and_gradient
from sparsenn.topology.updater import TopologyUpdater, sparse_parameters

if TYPE_CHECKING:
    from sparsenn.optim import Optimizer


def MEST(
    params: Iterable[Any],
    optimizer: Optimizer | None = None,
    *,
    drop_fraction: float = 0.2,
    every: int = 2500,
    end_step: int | None = None,
    decay: Decay | None = None,
    gradient_weight: float = 0.01,
    extra: float = 0.0,
    protect: int = 0,
    exempt: Iterable[SparseParameter] = (),
    seed: int | np.random.Generator | None = 0,
) -> TopologyUpdater:
    """Memory-economic sparse training: elastic mutation, with a soft bound if wanted.

    Drops by ``|w| + gradient_weight |g|`` over the connections, grows at random. With
    `extra` the first updates grow more than they dropped, and the surplus goes in two
    stages (EM&S, "soft memory bound").

    Parameters
    ----------
    params, optimizer
        What to evolve, and the optimiser whose state follows.
    drop_fraction : float
        Of the connections; the paper mutates 2 % of all positions at density 0.1.
    every : int
        Steps between updates; the paper's is five epochs.
    end_step : int or None
        No update at this step or later.
    decay : str or None
        By default "step" if there is an `end_step`: half of the fraction from 9/16 of
        the way, nothing from 3/4 (the paper: epochs 90 and 120 of 160).
    gradient_weight : float
        Lambda. The authors' code has 0 by default, their paper's text a positive one.
    extra : float
        Share of the connections to carry on top, half as much from 9/16 of the way and
        none from 3/4; 0: the plain variant (EM). Needs `end_step`.
    protect : int
        Updates during which a newborn cannot be dropped; the paper has none.
    exempt : iterable of SparseParameter
        Parameters that stay as they are.
    seed : int, Generator or None

    References
    ----------
    Yuan et al., "MEST: accurate and fast memory-economic sparse training framework on
    the edge", arXiv:2110.14032.
    """
    if not 0 <= extra < np.inf:
        raise ValueError(f"extra must be finite and not negative, got {extra}")
    if decay is None:
        decay = "constant" if end_step is None else "step"
    params = list(params)
    budget = None
    if extra:
        if end_step is None:
            raise ValueError("extra connections need an end_step to be gone by")
        sparse = sparse_parameters(params)
        positions = sum(p.shape[0] * p.shape[1] for p in sparse)
        density = sum(p.nnz for p in sparse) / max(positions, 1)
        more, half = (min(density * (1 + extra * s), 1.0) for s in (1, 0.5))
        stages = end_step * 9 // 16, end_step * 12 // 16
        budget = Stages((more, half, density), stages)
    return TopologyUpdater(
        params,
        optimizer,
        drop=lowest(magnitude_and_gradient(gradient_weight)),
        grow=random(),
        schedule=Periodic(drop_fraction, every, end_step, decay),
        budget=budget,
        protect=protect,
        replaces_step=False,
        exempt=exempt,
        seed=seed,
    )
