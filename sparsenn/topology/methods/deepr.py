"""DEEP R, deep rewiring: connections whose weight changes sign go, others come."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, final

import numpy as np

from sparsenn.optim import Optimizer
from sparsenn.random import Purpose, Stream
from sparsenn.sparse import SparseParameter, TopologyChange
from sparsenn.topology.grow import random
from sparsenn.topology.layer import Layer
from sparsenn.topology.updater import TopologyUpdater

if TYPE_CHECKING:
    from sparsenn.autograd import Tensor

NEWBORN = 1e-12
"""Magnitude of a connection's first weight."""


@final
class DeepR(TopologyUpdater):
    """Deep rewiring: a random walk over networks of as many connections.

    A weight is ``sign * theta`` with a sign that never changes and ``theta > 0``. A
    step moves theta along the gradient, by ``-lr * l1`` towards zero and by noise of
    deviation ``lr * noise``; connections that reach ``theta <= 0`` go, and as many come
    at random positions (those just left included), of random sign and ``theta =
    1e-12``.

    :meth:`step` makes the optimiser's step itself, with ``sign * l1`` and the noise
    added to the gradient of every connection, and always replaces it: ``topo.step() or
    opt.step()`` as with every method.

    Parameters
    ----------
    params : iterable
        A model's parameters; dense tensors and full weights are only optimised.
    optimizer : Optimizer
        With SGD without momentum or weight decay a step is the paper's. Momentum
        carries the noise on, and a newborn begins without.
    every : int
        Steps between rewirings, 1 in the paper. In between a weight may cross zero; it
        goes if its sign is another one when the time comes.
    end_step : int or None
        No rewiring at this step or later; then signs may change.
    l1 : float
        Alpha of the paper, as the authors' code multiplies it with the learning rate.
    noise : float
        Deviation of the normal noise. The authors' code has 1e-5; the paper's walk at
        temperature T is ``sqrt(2 T / lr)``.
    exempt : iterable of SparseParameter
        Parameters that are only optimised.
    seed : int, Generator or None

    Notes
    -----
    Every step may change the patterns, which makes this the slowest of the methods on
    sparse storage. The authors' mask version keeps a sign for every position; here, as
    in their sparse version, a connection that comes draws a new one. Their soft variant
    lets absent connections walk too, which needs a dense array, and is not here.

    References
    ----------
    Bellec, Kappel, Maass & Legenstein, "Deep rewiring: training very sparse deep
    networks", arXiv:1711.05136, algorithm 1.
    """

    def __init__(
        self,
        params: Iterable[Any],
        optimizer: Optimizer | None = None,
        *,
        every: int = 1,
        end_step: int | None = None,
        l1: float = 1e-5,
        noise: float = 1e-5,
        exempt: Iterable[SparseParameter] = (),
        seed: int | np.random.Generator | None = 0,
    ) -> None:
        if optimizer is None:
            raise ValueError(
                "DeepR makes the optimiser's step itself, between its noise and its "
                "rewiring; give it the optimizer"
            )
        if every < 1:
            raise ValueError(f"every must be at least 1 step, got {every}")
        for name, value in (("l1", l1), ("noise", noise)):
            if not 0 <= value < np.inf:
                raise ValueError(f"{name} must be finite and not negative, got {value}")
        self.every = every
        self.end_step = end_step
        self.l1 = l1
        self.noise = noise
        self._signs: dict[int, np.ndarray] = {}
        super().__init__(
            params,
            optimizer,
            drop=self._crossed,
            grow=random(regrow=True),
            newborn=_tiny,
            schedule=self._when,
            exempt=exempt,
            seed=seed,
        )

    def _when(self, step: int) -> float | None:
        """0, for any number, after the steps that a rewiring follows."""
        due = (step + 1) % self.every == 0
        return 0.0 if due and (self.end_step is None or step < self.end_step) else None

    def step(self) -> bool:
        """Makes the optimiser's step, and rewires where weights changed sign.

        Returns
        -------
        bool
            True: the optimiser's step has been made.
        """
        layers = self._layers()
        for layer in layers:
            signs = self._signs_of(layer)
            if layer.param.grad is not None:
                self._perturb(layer, signs)
        assert self.optimizer is not None
        self.optimizer.step()
        due = self._when(self.steps) is not None
        if due and not all(keep.all() for keep in self._crossed(layers, 0.0)):
            self.update(0.0)
        self.steps += 1
        if due or (self.end_step is not None and self.steps > self.end_step):
            self._signs.clear()  # they are those of the weights
        return True

    def apply(self, layer: Layer, change: TopologyChange) -> None:
        """Moves everything along."""
        super().apply(layer, change)
        self._signs.pop(layer.index, None)

    def _signs_of(self, layer: Layer) -> np.ndarray:
        """Where weights are negative, as of the last rewiring; shape (nnz,)."""
        signs = self._signs.get(layer.index)
        if signs is None:
            signs = self._signs[layer.index] = np.signbit(layer.values)
        return signs

    def _perturb(self, layer: Layer, negative: np.ndarray) -> None:
        """Adds the pull to zero and the noise to a gradient."""
        values: Tensor = layer.param.values
        assert values.grad is not None
        gradient = values.grad.data
        dtype = gradient.dtype
        if self.l1:
            gradient += np.where(negative, dtype.type(-self.l1), dtype.type(self.l1))
        if self.noise:
            stream = Stream(self.seed, Purpose.NOISE, layer.index, self.steps)
            draws = layer.pattern.from_canonical(
                stream.normal(layer.pattern.nnz, dtype)
            )
            gradient -= dtype.type(self.noise) * draws
        values.grad.touch()

    def _crossed(self, layers: Sequence[Layer], fraction: float) -> list[np.ndarray]:
        """Masks of the connections that keep their sign."""
        keeps = []
        for layer in layers:
            negative = self._signs_of(layer)
            keeps.append(np.where(negative, layer.values < 0, layer.values > 0))
        return keeps

    def state(self) -> dict[str, Any]:
        """What resuming needs: counters, and signs that weights may have lost."""
        signs = {
            self.params[i].name: negative.astype(np.int8)
            for i, negative in self._signs.items()
        }
        return super().state() | {"signs": signs}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restores what `state` gave, on the patterns of that moment."""
        super().load_state(state)
        self._signs = {
            i: np.asarray(state["signs"][param.name]).astype(bool)
            for i, param in enumerate(self.params)
            if param.name in state["signs"]
        }


def _tiny(layer: Layer, change: TopologyChange) -> np.ndarray:
    """Newborns of random sign, almost zero."""
    values = change.remap(layer.values)
    slots = change.new.to_canonical(change.newborn)
    draws = layer.stream(Purpose.NEWBORN).bits(int(np.count_nonzero(slots)))
    fresh = np.zeros(change.new.nnz, values.dtype)
    fresh[slots] = np.where(draws & 1, NEWBORN, -NEWBORN)
    return np.where(change.newborn, change.new.from_canonical(fresh), values)
