"""Named methods: the parts that each paper chose, with its defaults."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from sparsenn.topology import drop as drops
from sparsenn.topology.drop import Drop
from sparsenn.topology.grow import random
from sparsenn.topology.newborn import Newborn, resample, zero
from sparsenn.topology.schedule import Periodic
from sparsenn.topology.updater import TopologyUpdater

if TYPE_CHECKING:
    from sparsenn.optim import Optimizer

SET_DROPS: dict[str, Drop] = {
    "sign": drops.sign(of_each=True),
    "magnitude": drops.magnitude,
    "article": drops.sign(of_each=False),
}
"""The three readings of which connections SET drops, by name."""

NEWBORNS: dict[str, Newborn] = {"zero": zero, "resample": resample}
"""Values of newborn connections by name."""


def SET(
    params: Iterable[Any],
    optimizer: Optimizer | None = None,
    *,
    drop_fraction: float = 0.3,
    every: int = 500,
    end_step: int | None = None,
    decay: Literal["constant", "cosine"] = "constant",
    drop: Literal["sign", "magnitude", "article"] = "sign",
    newborn: Literal["zero", "resample"] = "zero",
    regrow: bool = True,
    protect: int = 0,
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
    decay : {"constant", "cosine"}
        Of the drop fraction; the paper keeps it constant.
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
    seed : int, Generator or None

    References
    ----------
    Mocanu et al., "Scalable training of artificial neural networks with adaptive
    sparse connectivity inspired by network science", Nature Communications 2018.
    """
    return TopologyUpdater(
        params,
        optimizer,
        drop=_choose("drop", drop, SET_DROPS),
        grow=random(regrow=regrow),
        newborn=_choose("newborn", newborn, NEWBORNS),
        schedule=Periodic(drop_fraction, every, end_step, decay),
        protect=protect,
        replaces_step=False,
        seed=seed,
    )


@dataclass(frozen=True)
class Recipe:
    """A method as it is made by name.

    Attributes
    ----------
    build : callable
        ``build(params, optimizer, steps_per_epoch=..., **options)`` makes the updater.
    options : tuple of str
        Keyword arguments that `build` takes besides.
    """

    build: Callable[..., TopologyUpdater]
    options: tuple[str, ...]


def _make_set(
    params: Iterable[Any], optimizer: Optimizer, steps_per_epoch: int, **options: Any
) -> TopologyUpdater:
    options.setdefault("every", steps_per_epoch)
    return SET(params, optimizer, **options)


METHODS: dict[str, Recipe | None] = {
    "dense": None,
    "static": None,
    "set": Recipe(_make_set, ("drop_fraction", "drop", "newborn", "every", "seed")),
}
"""Training methods by name; None for those whose topology never changes."""


def make(
    method: str,
    params: Iterable[Any],
    optimizer: Optimizer,
    *,
    steps_per_epoch: int,
    **options: Any,
) -> TopologyUpdater | None:
    """The updater of a named method, None if its topology never changes.

    Parameters
    ----------
    method : str
        A key of :data:`METHODS`.
    params, optimizer
        What to evolve, and the optimiser whose state follows.
    steps_per_epoch : int
        SET updates once an epoch unless ``every`` is given.
    **options
        Of recipes (:func:`SET`); those that are None keep their default, and those
        that this method does not take are left out.

    Raises
    ------
    ValueError
        For an unknown method.
    """
    recipe: Recipe | None = _choose("method", method, METHODS)
    if recipe is None:
        return None
    given = {k: options[k] for k in recipe.options if options.get(k) is not None}
    return recipe.build(params, optimizer, steps_per_epoch=steps_per_epoch, **given)


def _choose(what: str, name: str, table: dict[str, Any]) -> Any:
    """Looks a name up, or says which there are."""
    if name not in table:
        raise ValueError(f"{what} must be one of {', '.join(table)}; got {name!r}")
    return table[name]
