"""N:M during training: connections move, but only within their group of inputs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal, final

import numpy as np

from sparsenn.random import Purpose
from sparsenn.sparse import SparseParameter, SparsePattern, largest_in_groups
from sparsenn.topology import drop
from sparsenn.topology.layer import Layer
from sparsenn.topology.newborn import zero
from sparsenn.topology.schedule import Decay, Periodic
from sparsenn.topology.updater import TopologyUpdater

if TYPE_CHECKING:
    from sparsenn.optim import Optimizer


def NM(
    params: Iterable[Any],
    optimizer: Optimizer | None = None,
    *,
    m: int,
    drop_fraction: float = 0.3,
    every: int = 100,
    end_step: int | None = None,
    decay: Decay | None = None,
    growth: Literal["gradient", "random"] = "gradient",
    accumulate: int = 1,
    exempt: Iterable[SparseParameter] = (),
    seed: int | np.random.Generator | None = 0,
) -> TopologyUpdater:
    """RigL within groups: every m consecutive inputs of a neuron keep their number.

    Start from n:m weights: :func:`sparsenn.pruning.n_m` makes them, and so does
    ``nn.Linear(pattern=sparse.n_m_pattern(...))``. An update drops the smallest weights
    of each layer and grows, in each group, as many as that group lost, so n:m weights
    stay n:m. The gradient is evaluated in groups that lost something only, not
    everywhere.

    Parameters
    ----------
    params, optimizer
        What to evolve, and the optimiser whose state follows.
    m : int
        Inputs of a group.
    drop_fraction, every, end_step, decay, accumulate
        As RigL's. An update takes the place of the optimiser's step.
    growth : {"gradient", "random"}
        Which positions of a group are grown. What was just dropped may return, by
        gradient with its value.
    exempt : iterable of SparseParameter
        Parameters that stay as they are.
    seed : int, Generator or None

    Notes
    -----
    The methods of the literature (SR-STE, arXiv:2102.04010) mask a dense weight that
    goes on training, which cannot be had without storing it. This is the rule of
    :func:`RigL` restricted as n:m needs it; no paper that we know has it.
    """
    if decay is None:
        decay = "constant" if end_step is None else "cosine"
    return TopologyUpdater(
        params,
        optimizer,
        drop=drop.magnitude,
        grow=in_groups(m, growth, accumulate=accumulate),
        newborn=zero,
        schedule=Periodic(drop_fraction, every, end_step, decay),
        replaces_step=True,
        exempt=exempt,
        seed=seed,
    )


@final
class in_groups:
    """Grows in every group of inputs as many connections as the group lost.

    Parameters
    ----------
    m : int
        Inputs of a group; the last group of a neuron may have fewer.
    by : {"gradient", "random"}
        Where ``|gradient|`` is largest, or anywhere.
    accumulate : int
        Batches whose gradients are added before the magnitude is taken.
    """

    def __init__(
        self,
        m: int,
        by: Literal["gradient", "random"] = "gradient",
        *,
        accumulate: int = 1,
    ) -> None:
        if m < 1:
            raise ValueError(f"m must be at least 1 input, got {m}")
        if by not in ("gradient", "random"):
            raise ValueError(f"growth must be 'gradient' or 'random', got {by!r}")
        if accumulate < 1:
            raise ValueError(f"accumulate must be at least 1 batch, got {accumulate}")
        self.m = m
        self.by = by
        self.regrow = True
        self.revive = by == "gradient"
        self.window = accumulate if by == "gradient" else 0

    def __repr__(self) -> str:
        """With its options."""
        return f"in_groups({self.m}, by={self.by!r})"

    def __call__(
        self, layer: Layer, keep: np.ndarray, count: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """CSR (indptr, indices) of `count` positions."""
        pattern = layer.pattern
        n_rows, n_cols = pattern.shape
        n_groups = -(-n_cols // self.m)
        rows, columns = pattern.positions()
        groups = rows * np.int64(n_groups) + columns // self.m
        lost = np.bincount(groups[~keep], minlength=n_rows * n_groups)
        if count != len(keep) - np.count_nonzero(keep):
            raise ValueError(
                f"growth within groups replaces what was dropped, not {count} "
                "connections; allocate with `same` and without a budget"
            )
        candidates = _free_places(pattern, keep, lost[groups] > 0, self.m)
        if self.by == "random":
            ranks = candidates.ranks()
            scores = layer.stream(Purpose.GROW).uniform(elements=ranks)
        else:
            recent = layer.gradients[-self.window :]
            total = sum(recent[1:], start=recent[0])
            scores = np.abs(total.on(candidates))
        quotas = lost.reshape(n_rows, n_groups)
        grown = largest_in_groups(candidates, scores, quotas, self.m)
        return candidates.with_changes(grown).new.csr()


def _free_places(
    pattern: SparsePattern, keep: np.ndarray, concerned: np.ndarray, m: int
) -> SparsePattern:
    """The positions without a kept connection in the groups of some connections."""
    n_cols = pattern.shape[1]
    rows, columns = pattern.positions()
    first = rows[concerned].astype(np.int64) * n_cols + columns[concerned] // m * m
    first = np.unique(first)
    inside = np.minimum(n_cols - first % n_cols, m)  # the last group may be narrower
    places = np.repeat(first - np.cumsum(inside) + inside, inside)
    places += np.arange(len(places))
    taken = concerned & keep
    kept = rows[taken].astype(np.int64) * n_cols + columns[taken]
    free = np.setdiff1d(places, kept, assume_unique=True)
    indptr = np.searchsorted(free, np.arange(pattern.shape[0] + 1) * n_cols)
    return SparsePattern(pattern.shape, indptr, free % max(n_cols, 1))
