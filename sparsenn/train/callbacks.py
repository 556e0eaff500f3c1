"""Callbacks: what may happen beside training, and when."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sparsenn.train.state import State

Hook = Callable[["State"], None]


class Callback:
    """Does something at fixed points of `fit`; every hook takes the one `State`.

    Override the hooks that matter. A callback that remembers something which later
    epochs depend on returns it from `state` (JSON-able values and arrays, nested in
    dicts), so that checkpoints carry it, and takes it back in `load_state`.
    """

    #: Callbacks with `last` set run after all others (checkpoints see their results).
    last = False

    @property
    def name(self) -> str:
        """Under which checkpoints keep `state`; unique among callbacks with one."""
        return type(self).__name__

    def state(self) -> dict[str, Any]:
        """What a checkpoint must hold of this callback."""
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        """Takes back what `state` returned."""

    def on_train_begin(self, state: State) -> None:
        """Before the first step; after a resumed state has been loaded."""

    def on_epoch_begin(self, state: State) -> None:
        """Before an epoch's first batch (or the rest of it, when resumed inside)."""

    def on_batch_end(self, state: State) -> None:
        """After a step."""

    def on_epoch_end(self, state: State) -> None:
        """After an epoch and its evaluation; ``state.logs`` is its record."""

    def on_nonfinite_loss(self, state: State) -> None:
        """The batch loss is NaN or infinite and the step has not been taken."""

    def on_interrupt(self, state: State) -> None:
        """Training was interrupted from the keyboard; see ``state.between_steps``."""

    def on_train_end(self, state: State) -> None:
        """After the last epoch, when training ended without an exception."""


class LambdaCallback(Callback):
    """Calls the given functions at the hooks of their names.

    Parameters
    ----------
    on_train_begin, on_epoch_begin, on_batch_end, on_epoch_end, on_train_end : callable
        Functions of the `State`; those left out do nothing.
    """

    def __init__(
        self,
        *,
        on_train_begin: Hook | None = None,
        on_epoch_begin: Hook | None = None,
        on_batch_end: Hook | None = None,
        on_epoch_end: Hook | None = None,
        on_train_end: Hook | None = None,
    ) -> None:
        hooks = {
            "on_train_begin": on_train_begin,
            "on_epoch_begin": on_epoch_begin,
            "on_batch_end": on_batch_end,
            "on_epoch_end": on_epoch_end,
            "on_train_end": on_train_end,
        }
        for name, hook in hooks.items():
            if hook is not None:
                setattr(self, name, hook)


class TerminateOnNaN(Callback):
    """Ends training, instead of raising, when a batch loss is not finite.

    The step that produced it is not taken, so the model keeps its last finite values.
    """

    def on_nonfinite_loss(self, state: State) -> None:
        state.stop = True
        state.stop_reason = (
            f"the loss became {state.batch_loss} at step {state.step + 1} "
            f"(epoch {state.epoch + 1})"
        )


def in_order(callbacks: Iterable[Callback]) -> tuple[Callback, ...]:
    """The callbacks in the order they run: as given, those with `last` at the end.

    Raises
    ------
    TypeError
        If one is not a `Callback`.
    ValueError
        If two with something to remember share a name.
    """
    given = tuple(callbacks)
    for callback in given:
        if not isinstance(callback, Callback):
            raise TypeError(
                f"callbacks must be Callback objects, got {type(callback).__name__}"
            )
    names: set[str] = set()
    for callback in given:
        if callback.name in names and callback.state():
            raise ValueError(
                f"two callbacks are named {callback.name!r}; checkpoints need "
                "different names (override the `name` property)"
            )
        names.add(callback.name)
    return tuple(sorted(given, key=lambda callback: callback.last))
