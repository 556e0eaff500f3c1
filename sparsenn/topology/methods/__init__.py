"""Named methods: the parts that each paper chose, with its defaults.

One file a method. :data:`METHODS` is what ``--method`` takes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from sparsenn.sparse import SparseParameter
from sparsenn.topology.methods.cs import ContinuousSparsification
from sparsenn.topology.methods.deepr import DeepR
from sparsenn.topology.methods.dsr import DSR
from sparsenn.topology.methods.gradient_flow import GradientFlow
from sparsenn.topology.methods.gradual import GMP, GraNet
from sparsenn.topology.methods.itop import ITOP
from sparsenn.topology.methods.mest import MEST
from sparsenn.topology.methods.n_m import NM
from sparsenn.topology.methods.recipe import Plan, Recipe, choose
from sparsenn.topology.methods.rigl import RigL
from sparsenn.topology.methods.set import SET, SET_DROPS
from sparsenn.topology.methods.snfs import SNFS
from sparsenn.topology.methods.srigl import SRigL
from sparsenn.topology.methods.switch import Switch
from sparsenn.topology.updater import TopologyUpdater

if TYPE_CHECKING:
    from sparsenn.optim import Optimizer

__all__ = [
    "DSR",
    "GMP",
    "ITOP",
    "MEST",
    "METHODS",
    "NM",
    "REFUSED",
    "SET",
    "SET_DROPS",
    "SNFS",
    "ContinuousSparsification",
    "DeepR",
    "GraNet",
    "GradientFlow",
    "Plan",
    "Recipe",
    "RigL",
    "SRigL",
    "Switch",
    "make",
]


def _set(params: Any, opt: Any, plan: Plan, **options: Any) -> TopologyUpdater:
    options.setdefault("every", plan.steps_per_epoch)
    if options.get("decay", "constant") != "constant":
        options.setdefault("end_step", plan.total_steps)
    return SET(params, opt, **options)


def _rigl(params: Any, opt: Any, plan: Plan, **options: Any) -> TopologyUpdater:
    options.setdefault("every", plan.interval(100))
    options.setdefault("end_step", plan.until(0.75))
    return RigL(params, opt, **options)


def _srigl(params: Any, opt: Any, plan: Plan, **options: Any) -> TopologyUpdater:
    options.setdefault("every", plan.interval(100))
    options.setdefault("end_step", plan.until(0.75))
    return SRigL(params, opt, **options)


def _deepr(params: Any, opt: Any, plan: Plan, **options: Any) -> TopologyUpdater:
    return DeepR(params, opt, **options)


def _cs(
    params: Any, opt: Any, plan: Plan, seed: int = 0, **options: Any
) -> ContinuousSparsification:
    rounds = options.setdefault("rounds", 1)
    tickets = options.get("mode") == "ticket"
    length = max(plan.total_steps // (rounds + tickets), 2)
    epochs = length // plan.steps_per_epoch
    # Beta rises every epoch, and more often where there are few.
    every = plan.steps_per_epoch if epochs >= 10 else max(length // 20, 1)
    options.setdefault("every", every)
    options.setdefault("rewind_step", min(2 * plan.steps_per_epoch, length // 10))
    return ContinuousSparsification(params, opt, round_steps=length, **options)


def _gradient_flow(
    params: Any, opt: Any, plan: Plan, **options: Any
) -> TopologyUpdater:
    options.setdefault("every", plan.interval(100))
    options.setdefault("end_step", plan.until(0.75))
    return GradientFlow(params, opt, **options)


def _dsr(params: Any, opt: Any, plan: Plan, **options: Any) -> TopologyUpdater:
    options.setdefault("every", plan.interval(100))
    options.setdefault("end_step", plan.until(0.95))
    return DSR(params, opt, **options)


def _snfs(params: Any, opt: Any, plan: Plan, **options: Any) -> TopologyUpdater:
    options.setdefault("every", plan.steps_per_epoch)
    options.setdefault("end_step", plan.total_steps)
    return SNFS(params, opt, **options)


def _mest(params: Any, opt: Any, plan: Plan, **options: Any) -> TopologyUpdater:
    options.setdefault("every", plan.interval(5 * plan.steps_per_epoch))
    options.setdefault("end_step", plan.total_steps)
    return MEST(params, opt, **options)


def _gmp(params: Any, opt: Any, plan: Plan, **options: Any) -> TopologyUpdater:
    options.setdefault("every", plan.interval(100, 20))
    options.setdefault("end_step", max(plan.until(0.75), options["every"]))
    # At high sparsity the same share of every layer leaves a small last one nothing.
    options.setdefault("scope", "global")
    return GMP(params, opt, density=plan.density, **options)


def _granet(params: Any, opt: Any, plan: Plan, **options: Any) -> TopologyUpdater:
    options.setdefault("every", plan.interval(1000, 20))
    options.setdefault("end_step", max(plan.until(0.69), options["every"]))
    options.setdefault("total_steps", plan.total_steps)
    return GraNet(params, opt, density=plan.density, **options)


METHODS: dict[str, Recipe | None] = {
    "dense": None,
    "static": None,
    "set": Recipe(
        _set, ("drop_fraction", "decay", "drop", "newborn", "every", "protect")
    ),
    "dsr": Recipe(_dsr, ("every", "protect")),
    "snfs": Recipe(_snfs, ("drop_fraction", "decay", "every", "growth", "protect")),
    "rigl": Recipe(_rigl, ("drop_fraction", "decay", "newborn", "every", "protect")),
    "gradient-flow": Recipe(
        _gradient_flow, ("drop_fraction", "newborn", "every", "growth", "protect")
    ),
    "srigl": Recipe(_srigl, ("drop_fraction", "every")),
    "cs": Recipe(
        _cs, ("mode", "rounds", "start", "penalty"), start=lambda density: 1.0
    ),
    "deepr": Recipe(_deepr, ("every",)),
    "mest": Recipe(_mest, ("drop_fraction", "every", "protect")),
    "gmp": Recipe(_gmp, ("every", "scope"), start=lambda density: 1.0),
    "granet": Recipe(
        _granet,
        ("drop_fraction", "every", "growth", "scope", "protect"),
        start=lambda density: max(density, 0.5),
    ),
}
"""Training methods by name; None for those whose topology never changes."""

REFUSED = {
    "top-kast": "keeps a dense weight behind the sparse one",
    "ac/dc": "trains a dense network in every other phase",
    "soft-deepr": "lets every absent connection walk at random, a dense array",
    "cht": "grows by paths, which is not written",
    "chts": "grows by paths, which is not written",
}
"""Methods that are not here, and why."""


def make(
    method: str,
    params: Iterable[Any],
    optimizer: Optimizer,
    *,
    steps_per_epoch: int,
    total_steps: int | None = None,
    density: float = 0.1,
    exempt: Iterable[SparseParameter] = (),
    seed: int = 0,
    **options: Any,
) -> TopologyUpdater | None:
    """The updater of a named method, None if its topology never changes.

    Parameters
    ----------
    method : str
        A key of :data:`METHODS`.
    params, optimizer
        What to evolve, and the optimiser whose state follows.
    steps_per_epoch, total_steps : int
        What intervals and ends are derived from unless they are given; by default ten
        epochs in all.
    density : float
        Of the whole network at the end, for the methods that change it.
    exempt : iterable of SparseParameter
        Parameters that stay as they are.
    seed : int
    **options
        Of recipes (:func:`SET`, ...); those that are None keep their default, and those
        that this method does not take are left out.

    Raises
    ------
    ValueError
        For an unknown method, or one of `REFUSED`.
    """
    if method in REFUSED:
        raise ValueError(
            f"{method} is not here: it {REFUSED[method]}; see "
            "docs/methods/refused.md for what comes closest"
        )
    recipe: Recipe | None = choose("method", method, METHODS)
    if recipe is None:
        return None
    given = {k: options[k] for k in recipe.options if options.get(k) is not None}
    plan = Plan(steps_per_epoch, total_steps or 10 * steps_per_epoch, density)
    return recipe.build(params, optimizer, plan, exempt=exempt, seed=seed, **given)
