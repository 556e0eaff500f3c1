"""DSR, dynamic sparse reparameterisation: one adaptive threshold for all layers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from sparsenn.sparse import SparseParameter
from sparsenn.topology.allocate import by_survivors
from sparsenn.topology.drop import threshold
from sparsenn.topology.grow import random
from sparsenn.topology.schedule import Periodic
from sparsenn.topology.updater import TopologyUpdater, sparse_parameters

if TYPE_CHECKING:
    from sparsenn.optim import Optimizer


def DSR(
    params: Iterable[Any],
    optimizer: Optimizer | None = None,
    *,
    target: int | None = None,
    threshold_start: float = 1e-3,
    tolerance: float = 0.1,
    every: int = 100,
    doublings: tuple[int, ...] = (),
    end_step: int | None = None,
    regrow: bool = False,
    protect: int = 0,
    exempt: Iterable[SparseParameter] = (),
    seed: int | np.random.Generator | None = 0,
) -> TopologyUpdater:
    """Dynamic sparse reparameterisation: layers trade connections freely.

    Every ``|w|`` below one global threshold goes; layers get new connections, at
    random, in proportion to those that survived in them; the threshold doubles or
    halves towards a wanted number of exchanges. Full layers take part. An update comes
    before the optimiser's step.

    Parameters
    ----------
    params, optimizer
        What to evolve, and the optimiser whose state follows.
    target : int or None
        Connections to exchange in an update (N_p: 600 for the authors' MNIST network,
        20,000 for their WRN-28-2). None: a tenth of those there are.
    threshold_start : float
        First threshold (H).
    tolerance : float
        The threshold moves when the number is off by more than this share.
    every : int
        Steps between updates.
    doublings : tuple of int
        Steps from which on `every` counts double (the authors: at 1/8, 2/5 and 7/10).
    end_step : int or None
        No update at this step or later (the authors stop at 95 %).
    regrow : bool
        Whether a connection dropped in this update may return at once; not in DSR.
    protect : int
        Updates during which a newborn cannot be dropped. In DSR it is dropped unless it
        has grown above the threshold by the next update.
    exempt : iterable of SparseParameter
        Parameters that stay as they are.
    seed : int, Generator or None

    References
    ----------
    Mostafa & Wang, "Parameter efficient training of deep convolutional neural networks
    by dynamic sparse reparameterization", arXiv:1902.05967.
    """
    params = list(params)
    exempt = list(exempt)
    if target is None:
        left_alone = {id(p) for p in exempt}
        sparse = sparse_parameters(params)
        nnz = sum(p.nnz for p in sparse if id(p) not in left_alone)
        target = max(round(0.1 * nnz), 1)
    return TopologyUpdater(
        params,
        optimizer,
        drop=threshold(target, threshold_start, tolerance),
        allocate=by_survivors,
        grow=random(regrow=regrow),
        schedule=Periodic(0.0, every, end_step, doublings=doublings),
        full=True,
        protect=protect,
        replaces_step=False,
        exempt=exempt,
        seed=seed,
    )
