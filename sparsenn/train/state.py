"""What a training run is at one moment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from sparsenn.data import Augmentation
    from sparsenn.train.callbacks import Callback
    from sparsenn.train.history import History


@dataclass
class State:
    """Everything a callback may look at, and the few things that it may set.

    Counters count what is *done*: in ``on_epoch_end`` of the first epoch, ``epoch`` is
    1 and ``batch`` is 0. Callbacks may set ``stop`` (and ``stop_reason``) to end
    training after the current step or epoch.

    Attributes
    ----------
    model, optimizer, schedule, topology, loss, scaling
        What was given to `fit`.
    seed, batch_size, epochs, steps_per_epoch, val_fraction : int or float
        The plan of the run. ``epochs`` is the number planned.
    n_train, labels
        Number and classes of the samples that are learned.
    clip_grad_norm : float or None
        As given.
    augment : Augmentation or None
        As given.
    epoch, batch, step : int
        Finished epochs; finished batches of the current epoch; finished steps in all.
    samples, loss_sum, correct
        Sums over the batches of the current epoch; of a text over its tokens.
    batch_loss : float
        Mean loss of the last batch.
    logs : dict
        The record of the last finished epoch (the last row of ``history``).
    between_steps : bool
        Whether the model and the optimiser agree; False only while a step is under way.
    epoch_seen : bool
        Whether all callbacks but the ``last`` ones have seen the end of the epoch;
        False only while they are called.
    stop : bool
        Ends training when set.
    stop_reason : str
        One line that says why.
    """

    model: Any
    optimizer: Any
    history: History
    schedule: Callable[[int], float] | None = None
    topology: Any = None
    loss: Callable[..., Any] | None = None
    scaling: Any = None
    seed: int = 0
    batch_size: int = 128
    epochs: int = 0
    steps_per_epoch: int = 0
    val_fraction: float = 0.0
    n_train: int = 0
    labels: Any = ()
    clip_grad_norm: float | None = None
    augment: Augmentation | None = None
    epoch: int = 0
    batch: int = 0
    step: int = 0
    samples: int = 0
    loss_sum: float = 0.0
    correct: int = 0
    epoch_seconds: float = 0.0
    train_flops: int = 0
    dropped: int = 0
    grown: int = 0
    batch_loss: float = float("nan")
    logs: dict[str, Any] = field(default_factory=dict)
    between_steps: bool = True
    epoch_seen: bool = True
    stop: bool = False
    stop_reason: str = ""
    callbacks: tuple[Callback, ...] = ()

    COUNTERS: ClassVar[tuple[str, ...]] = (
        "epoch", "batch", "step", "samples", "loss_sum", "correct", "epoch_seconds",
        "train_flops", "dropped", "grown", "stop", "stop_reason",
    )  # fmt: skip

    def counters(self) -> dict[str, Any]:
        """The numbers that a checkpoint must hold."""
        return {name: getattr(self, name) for name in self.COUNTERS}

    def load_counters(self, counters: dict[str, Any]) -> None:
        """Sets the numbers that `counters` returned."""
        for name in self.COUNTERS:
            setattr(self, name, type(getattr(self, name))(counters[name]))
