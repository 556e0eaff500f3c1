"""Gradient flow: connections go and come by what they do to the gradient's norm."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from sparsenn.sparse import SparseParameter
from sparsenn.topology import score as scores
from sparsenn.topology.drop import lowest
from sparsenn.topology.grow import Grow, flow, gradient, random
from sparsenn.topology.layer import Layer
from sparsenn.topology.methods.recipe import choose
from sparsenn.topology.newborn import NEWBORNS
from sparsenn.topology.schedule import Decay, Periodic
from sparsenn.topology.score import Score
from sparsenn.topology.updater import TopologyUpdater

if TYPE_CHECKING:
    from sparsenn.optim import Optimizer


def GradientFlow(
    params: Iterable[Any],
    optimizer: Optimizer | None = None,
    *,
    drop_fraction: float = 0.3,
    every: int = 100,
    end_step: int | None = None,
    decay: Decay | None = None,
    drop: Literal["flow", "grasp", "magnitude"] = "flow",
    growth: Literal["flow", "gradient", "random"] = "flow",
    regrow: bool = False,
    newborn: Literal["zero", "resample"] = "zero",
    protect: int = 0,
    after: Iterable[Callable[[Sequence[Layer]], None]] = (),
    exempt: Iterable[SparseParameter] = (),
    seed: int | np.random.Generator | None = 0,
) -> TopologyUpdater:
    """Saliency by gradient flow: GraSP's quantity while training, both ways.

    With g the gradient of the connections and H the Hessian of the loss, ``w * (H g)``
    says what removing a weight costs the norm of the gradient, and ``|(H g)_j|`` how
    much a new one at j can move it. An update takes two backward passes more, one of
    them recorded; use ``topo.backward(loss)`` in place of ``loss.backward()``.

    Parameters
    ----------
    params, optimizer
        What to evolve, and the optimiser whose state follows.
    drop_fraction, every, end_step, decay
        As RigL's: a cosine to 0 at `end_step` if there is one. An update replaces the
        optimiser's step.
    drop : {"flow", "grasp", "magnitude"}
        "flow" removes the smallest ``|w * (H g)|`` of each layer, "grasp" the largest
        ``-w * (H g)``: GraSP's sign, which makes the gradient larger. Of a network that
        has learned that removes what it has learned.
    growth : {"flow", "gradient", "random"}
        Where connections are born: at the largest ``|(H g)_j|``, at the largest
        ``|g_j|``, which is the exact maximiser of the norm of the gradient after growth
        (newborns weigh 0, so that g stays as it is), or anywhere.
    regrow : bool
        Whether what was just dropped may return; then it keeps value and state.
    newborn : {"zero", "resample"}
        Value of grown connections.
    protect : int
        Updates during which a newborn cannot be dropped; its score is near 0 while its
        weight is.
    after : iterable of callable
        Called with the layers after every update.
    exempt : iterable of SparseParameter
        Parameters that stay as they are.
    seed : int, Generator or None

    Notes
    -----
    The loss is taken as it is; GraSP before training divides the logits by 200.

    References
    ----------
    Wang, Zhang & Grosse, "Picking winning tickets before training by preserving
    gradient flow", arXiv:2002.07376; Evci et al., "Gradient flow in sparse neural
    networks and how lottery tickets win", arXiv:2010.03533.
    """
    grows: dict[str, Grow] = {
        "flow": flow(regrow=regrow),
        "gradient": gradient(regrow=regrow, revive=regrow),
        "random": random(regrow=regrow),
    }
    by: dict[str, Score] = {
        "flow": scores.Flow(),
        "grasp": scores.Flow(signed=True),
        "magnitude": scores.magnitude,
    }
    if decay is None:
        decay = "constant" if end_step is None else "cosine"
    return TopologyUpdater(
        params,
        optimizer,
        drop=lowest(choose("drop", drop, by)),
        grow=choose("growth", growth, grows),
        newborn=choose("newborn", newborn, NEWBORNS),
        schedule=Periodic(drop_fraction, every, end_step, decay),
        protect=protect,
        replaces_step=True,
        after=after,
        exempt=exempt,
        seed=seed,
    )
