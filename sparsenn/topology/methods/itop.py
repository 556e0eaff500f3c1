"""ITOP: the same methods, with more exploration."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

from sparsenn.topology.methods.rigl import RigL
from sparsenn.topology.methods.set import SET
from sparsenn.topology.updater import TopologyUpdater

if TYPE_CHECKING:
    from sparsenn.optim import Optimizer


def ITOP(
    params: Iterable[Any],
    optimizer: Optimizer | None = None,
    *,
    total_steps: int,
    growth: Literal["gradient", "random"] = "gradient",
    every: int | None = None,
    drop_fraction: float = 0.5,
    **options: Any,
) -> TopologyUpdater:
    """In-time over-parameterisation: long intervals, no end, half of all exchanged.

    Parameters
    ----------
    params, optimizer
        What to evolve, and the optimiser whose state follows.
    total_steps : int
        Of training; the fraction falls by cosine until there.
    growth : {"gradient", "random"}
        As RigL (every 4000 steps by default) or as SET by magnitude (every 1500).
    every : int or None
    drop_fraction : float
    **options
        Others of :func:`RigL` or :func:`SET`.

    References
    ----------
    Liu et al., "Do we actually need dense over-parameterization?", arXiv:2102.02887.
    """
    common: dict[str, Any] = {
        "drop_fraction": drop_fraction,
        "end_step": total_steps,
        "decay": "cosine",
        **options,
    }
    if growth == "gradient":
        return RigL(params, optimizer, every=every or 4000, **common)
    if growth == "random":
        common.setdefault("drop", "magnitude")
        return SET(params, optimizer, every=every or 1500, **common)
    raise ValueError(f"growth must be 'gradient' or 'random', got {growth!r}")
