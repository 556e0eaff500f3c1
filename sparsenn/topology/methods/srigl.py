"""SRigL: every neuron has as many connections as the others, or none."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, final

import numpy as np

from sparsenn.ops import OuterSum
from sparsenn.random import Purpose
from sparsenn.sparse import SparseParameter, largest
from sparsenn.topology import drop as drops
from sparsenn.topology import rows as rowwise
from sparsenn.topology.grow import gradient
from sparsenn.topology.layer import Layer
from sparsenn.topology.newborn import zero
from sparsenn.topology.plan import Edit, nothing, revive
from sparsenn.topology.schedule import Decay, Periodic
from sparsenn.topology.updater import TopologyUpdater

if TYPE_CHECKING:
    from sparsenn.optim import Optimizer


@final
class SRigL(TopologyUpdater):
    """Structured RigL: growth by gradient with constant fan-in and neuron ablation.

    Each layer has the largest constant fan-in that fits the connections it was built
    with, and is brought to it at once: rows lose their smallest weights, and what they
    lack is drawn at random. An update of a layer

    1. counts each neuron's *salient* connections, those among the largest weights that
       RigL would keep and the largest gradients that it would grow, and ablates
       (empties) neurons with less than `saliency` of the fan-in, or none;
    2. shares the layer's connections among the other neurons: the new fan-in;
    3. drops by magnitude as RigL does, then each row's smallest beyond the fan-in;
    4. grows in each row, up to the fan-in, where its gradient is largest.

    Parameters
    ----------
    params, optimizer
        What to evolve, and the optimiser whose state follows.
    drop_fraction, every, end_step, decay
        As RigL's. An update replaces the optimiser's step.
    saliency : float
        Gamma of the paper: 0.3, for vision transformers 0.95.
    ablate : bool
        Whether neurons may be ablated. Those of the last parameter never are, and of
        every layer as many stay as its connections need at full fan-in.
    accumulate : int
        Batches whose gradients are added up before growing (8 of the paper's on
        ImageNet, 1 on CIFAR).
    exempt : iterable of SparseParameter
        Parameters that stay as they are.
    seed : int, Generator or None

    Attributes
    ----------
    budgets : dict of int to int
        Connections that each layer was built with, by number; the fan-in follows.

    Notes
    -----
    The authors' code trims rows by a sort of booleans, so that which weights stay is
    arbitrary, and never finds its last layer; both are as the paper says here. An
    ablated neuron whose gradients are salient again returns, as in the code. Gradients
    count where no kept connection is, as RigL grows.

    References
    ----------
    Lasby et al., "Dynamic sparse training with structured sparsity", arXiv:2305.02299.
    """

    def __init__(
        self,
        params: Iterable[Any],
        optimizer: Optimizer | None = None,
        *,
        drop_fraction: float = 0.3,
        every: int = 100,
        end_step: int | None = None,
        decay: Decay | None = None,
        saliency: float = 0.3,
        ablate: bool = True,
        accumulate: int = 1,
        exempt: Iterable[SparseParameter] = (),
        seed: int | np.random.Generator | None = 0,
    ) -> None:
        if not 0 <= saliency <= 1:
            raise ValueError(f"saliency must be in [0, 1], got {saliency}")
        if decay is None:
            decay = "constant" if end_step is None else "cosine"
        super().__init__(
            params,
            optimizer,
            drop=drops.magnitude,
            grow=gradient(accumulate=accumulate),
            newborn=zero,
            schedule=Periodic(drop_fraction, every, end_step, decay),
            exempt=exempt,
            seed=seed,
        )
        self.saliency = saliency
        self.ablate = ablate
        self.budgets = {layer.index: layer.pattern.nnz for layer in self._layers()}
        for layer in self._layers():
            self._even_out(layer)

    def fan_in(self, index: int) -> int:
        """Connections of each neuron of a layer that has any."""
        counts = np.diff(self.params[index].pattern.indptr)
        return int(counts.max(initial=0))

    def plan(
        self, layers: Sequence[Layer], fraction: float, total: int
    ) -> Sequence[Edit]:
        """What an update does to each layer; the total follows from the fan-ins."""
        if not all(layer.gradients for layer in layers):
            raise ValueError(
                "SRigL needs the factors of the last backward pass; let step() follow "
                "every backward(), or call announce() before it"
            )
        return [self._one(layer, fraction) for layer in layers]

    def _one(self, layer: Layer, fraction: float) -> Edit:
        pattern = layer.pattern
        n_grow = int(fraction * pattern.nnz)
        if n_grow == 0:
            return Edit(np.ones(pattern.nnz, bool), nothing(pattern))
        assert isinstance(self.grow, gradient)
        outer = sum(layer.gradients[1:], start=layer.gradients[0])
        magnitudes = np.abs(layer.values)
        n_keep = min(pattern.nnz - n_grow, int(np.count_nonzero(magnitudes)))
        keep = largest(pattern, magnitudes, n_keep)
        active = self._active(layer, keep, outer, n_grow)
        fan_in = self.budgets[layer.index] // max(int(np.count_nonzero(active)), 1)
        # Ablated rows come last: others keep more of theirs.
        rows, _ = pattern.positions()
        standing = active[rows]
        scores = np.where(standing, magnitudes, magnitudes.dtype.type(-1))
        n_keep = min(n_keep, int(np.count_nonzero(standing)))
        keep = largest(pattern, scores, n_keep)
        keep = rowwise.trim(pattern, magnitudes, keep, fan_in)
        kept = pattern.with_changes(keep).new
        missing = np.where(active, fan_in - np.diff(kept.indptr), 0)
        return revive(layer, keep, rowwise.largest_outside(outer, kept, missing))

    def _active(
        self, layer: Layer, keep: np.ndarray, outer: OuterSum, n_grow: int
    ) -> np.ndarray:
        """Which neurons stand after the update, shape (n_out,)."""
        pattern = layer.pattern
        n_rows, n_cols = pattern.shape
        if not self.ablate or layer.index == len(self.params) - 1:
            return np.ones(n_rows, bool)
        kept = pattern.with_changes(keep).new
        n_grow = min(n_grow, n_rows * n_cols - kept.nnz)
        salient = np.diff(kept.indptr) + np.diff(outer.largest_outside(kept, n_grow)[0])
        wanted = max(1, int(self.saliency * self.fan_in(layer.index)))
        active = salient >= wanted
        # No neuron can have more connections than it has inputs.
        least = max(-(-self.budgets[layer.index] // n_cols), 1)
        if np.count_nonzero(active) < least:
            active = np.zeros(n_rows, bool)
            active[np.argsort(-salient, kind="stable")[:least]] = True
        return active

    def _even_out(self, layer: Layer) -> None:
        """Brings a layer to its constant fan-in, unless it has one."""
        pattern = layer.pattern
        n_rows, _ = pattern.shape
        counts = np.diff(pattern.indptr)
        if len(np.unique(counts[counts > 0])) == 1 and (
            self.ablate or counts.min() > 0
        ):
            return
        fan_in = self.budgets[layer.index] // n_rows
        if fan_in == 0:
            raise ValueError(
                f"parameter {layer.param.name!r} has {pattern.nnz} connections for "
                f"{n_rows} neurons, SRigL needs one for each; give it more, or exempt "
                "it"
            )
        everything = np.ones(pattern.nnz, bool)
        keep = rowwise.trim(pattern, np.abs(layer.values), everything, fan_in)
        kept = pattern.with_changes(keep).new
        missing = fan_in - np.diff(kept.indptr)
        added = rowwise.sample_free(kept, missing, layer.stream(Purpose.PATTERN))
        change = pattern.with_changes(keep, added)
        values = change.remap(layer.values)
        if layer.param.initializer is not None:
            slots = np.flatnonzero(change.newborn)
            stream = layer.stream(Purpose.INIT)
            values[slots] = layer.param.initializer(
                change.new, stream, values.dtype, slots
            )
        layer.param.replace(change, values)
        if self.optimizer is not None:
            self.optimizer.remap(layer.param, change)

    def state(self) -> dict[str, Any]:
        """What resuming needs."""
        budgets = {self.params[i].name: n for i, n in self.budgets.items()}
        return super().state() | {"budgets": budgets}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restores what `state` gave."""
        super().load_state(state)
        for i, param in enumerate(self.params):
            if param.name in state["budgets"]:
                self.budgets[i] = int(state["budgets"][param.name])
