"""The training loop."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from sparsenn.random import Purpose, Stream, as_seed
from sparsenn.train.callbacks import Callback, in_order
from sparsenn.train.cost import StepCost, connections
from sparsenn.train.evaluate import count_correct, cross_entropy, evaluate
from sparsenn.train.feed import feed, model_dtype, split_validation
from sparsenn.train.history import History
from sparsenn.train.state import State

if TYPE_CHECKING:
    from sparsenn.data import Augmentation, Dataset
    from sparsenn.train.checkpoint import CheckpointFile


class NonFiniteLossError(ArithmeticError):
    """The loss of a batch became NaN or infinite."""


@dataclass(frozen=True)
class _Parts:
    """The data of a run, split."""

    train: tuple[Any, np.ndarray]
    val: tuple[Any, np.ndarray] | None
    test: tuple[Any, np.ndarray] | None


def fit(
    model: Any,
    dataset: Dataset,
    *,
    epochs: int,
    optimizer: Any,
    batch_size: int = 128,
    schedule: Callable[[int], float] | None = None,
    topology: Any = None,
    loss: Callable[..., Any] = cross_entropy,
    scaling: Any = "unit",
    seed: int | np.random.Generator | None = 0,
    callbacks: Iterable[Callback] = (),
    val_fraction: float = 0.0,
    clip_grad_norm: float | None = None,
    augment: Augmentation | None = None,
    start: CheckpointFile | str | os.PathLike[str] | None = None,
) -> History:
    """Trains a model on a data set and measures it after every epoch.

    A step is: learning rate from the schedule, gradient of the mean loss of a batch,
    clipping, an update of the topology if one is due, and the optimiser's step unless
    that update replaces it. With the same arguments the result has the same bits, for
    any number of threads, and also when training was killed and resumed.

    Parameters
    ----------
    model : Module
        Trained in place; left in evaluation mode.
    dataset : Dataset
        Its training part is learned; its test part, if there is one, is only measured.
    epochs : int
        Passes over the training data, counted from the very beginning also when
        resuming.
    optimizer : Optimizer
        Over the model's parameters.
    batch_size : int
        Samples a step; the last batch of an epoch may be smaller.
    schedule : callable, optional
        Step (from 0) to learning rate; by default the optimiser's stays.
    topology : TopologyUpdater, optional
        Changes the connections while training.
    loss : callable
        ``loss(logits, y)`` with ``y`` int64 of shape (batch,), or (batch, time) of a
        text, a mean over the batch.
    scaling : {"unit", "standard", "none"}, Scaling or None
        Of the input: fitted on the training part by name, or ready. A text has none,
        whatever the name.
    seed : int or numpy.random.Generator
        Of the order of the samples and the validation split.
    callbacks : iterable of Callback
        See `sparsenn.train`.
    val_fraction : float
        Share of the training data, in [0, 1), held out for validation.
    clip_grad_norm : float, optional
        Bound on the L2 norm of all gradients together.
    augment : Augmentation, optional
        Random changes of the training images, other ones in every epoch.
    start : checkpoint or path, optional
        Where to go on; everything else must be as it was.

    Returns
    -------
    History
        One row an epoch, and the fitted scaling.

    Raises
    ------
    NonFiniteLossError
        If the loss becomes NaN or infinite (see also `TerminateOnNaN`).
    ValueError
        If an argument is out of range, or `start` is of another run.
    """
    _check(epochs, batch_size, val_fraction, clip_grad_norm)
    seed = as_seed(seed)
    parts = _split(dataset, val_fraction, seed)
    n_train = int(parts.train[0].shape[0])
    state = State(
        model=model,
        optimizer=optimizer,
        history=History(),
        schedule=schedule,
        topology=topology,
        loss=loss,
        scaling=_fitted(scaling, parts.train[0]),
        seed=seed,
        batch_size=batch_size,
        epochs=epochs,
        steps_per_epoch=-(-n_train // batch_size),
        val_fraction=val_fraction,
        n_train=n_train,
        labels=parts.train[1],
        clip_grad_norm=clip_grad_norm,
        augment=augment,
        callbacks=in_order(callbacks),
    )
    state.history.scaling = state.scaling
    if start is not None:
        from sparsenn.train.checkpoint import load_checkpoint, restore

        if isinstance(start, str | os.PathLike):
            start = load_checkpoint(start)
        restore(state, start)
    try:
        _call(state, "on_train_begin")
        while state.epoch < epochs and not state.stop:
            _call(state, "on_epoch_begin")
            _train_epoch(state, parts.train, clip_grad_norm)
            if state.stop and state.batch < state.steps_per_epoch:
                break
            if state.epoch + 1 == epochs and state.topology is not None:
                state.topology.finish()
            _finish_epoch(state, parts)
            _end_epoch(state)
        if state.topology is not None:
            state.topology.finish()  # where training was stopped before its last epoch
        state.history.stop_reason = state.stop_reason
        _call(state, "on_train_end")
    except KeyboardInterrupt:
        _call(state, "on_interrupt")
        raise
    finally:
        model.eval()
    return state.history


def _check(
    epochs: int, batch_size: int, val_fraction: float, clip: float | None
) -> None:
    if epochs < 1:
        raise ValueError(f"epochs must be at least 1, got {epochs}")
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    if not 0 <= val_fraction < 1:
        raise ValueError(f"val_fraction must be in [0, 1), got {val_fraction}")
    if clip is not None and not clip > 0:
        raise ValueError(f"clip_grad_norm must be above 0 or None, got {clip}")


def _split(dataset: Dataset, val_fraction: float, seed: int) -> _Parts:
    x, y = dataset.x_train, dataset.y_train
    test = None
    if dataset.x_test is not None and dataset.x_test.shape[0]:
        test = (dataset.x_test, dataset.y_test)
    if not val_fraction:
        return _Parts((x, y), None, test)
    train, val = split_validation(x, y, val_fraction, seed)
    return _Parts(train, val, test)


def _fitted(scaling: Any, x: Any) -> Any:
    if scaling is None or not isinstance(scaling, str):
        return scaling
    from sparsenn.data.scaling import Kind, Scaling
    from sparsenn.data.tokens import Tokens

    return None if isinstance(x, Tokens) else Scaling.fit(x, cast(Kind, scaling))


def _call(state: State, hook: str) -> None:
    for callback in state.callbacks:
        getattr(callback, hook)(state)


def _end_epoch(state: State) -> None:
    """Calls ``on_epoch_end``; until all have seen it no interrupt may save."""
    for callback in state.callbacks:
        state.epoch_seen = callback.last
        callback.on_epoch_end(state)
    state.epoch_seen = True


def _train_epoch(
    state: State, train: tuple[Any, np.ndarray], clip: float | None
) -> None:
    """The batches of an epoch that are not done yet."""
    state.model.train()
    stream = Stream(state.seed, Purpose.SHUFFLE, step=state.epoch)
    cost = StepCost(state.model)
    on_batch_end = [
        callback.on_batch_end
        for callback in state.callbacks
        if type(callback).on_batch_end is not Callback.on_batch_end
        or "on_batch_end" in vars(callback)
    ]
    batches = feed(
        *train,
        state.batch_size,
        scaling=state.scaling,
        dtype=model_dtype(state.model),
        stream=stream,
        skip=state.batch,
        augment=state.augment,
    )
    began = time.perf_counter()
    for x, y in batches:
        done = state.step
        if _step(state, x, y, cost, clip):
            cost = StepCost(state.model)
        now = time.perf_counter()
        state.epoch_seconds += now - began
        began = now
        if state.step == done:
            return  # the loss was not finite, and a callback said to stop
        for hook in on_batch_end:
            hook(state)
        if state.stop:
            return


def _step(
    state: State, x: Any, y: np.ndarray, cost: StepCost, clip: float | None
) -> bool:
    """One step; whether the topology changed."""
    optimizer = state.optimizer
    if state.schedule is not None:
        optimizer.lr = state.schedule(state.step)
    assert state.loss is not None
    flops = cost(x)  # of the connections that it passes, not of those after an update
    state.between_steps = False  # from here on buffers and values move
    logits = state.model(x)
    value = state.loss(logits, y)
    state.batch_loss = value.item()
    if not math.isfinite(state.batch_loss):
        _nonfinite(state)
        return False
    if state.topology is None:
        value.backward()
    else:
        state.topology.backward(value)
    if clip is not None:
        from sparsenn.optim import clip_grad_norm

        clip_grad_norm(optimizer.params, clip)
    changed = replaced = False
    if state.topology is not None:
        before, searches = state.topology.updates, state.topology.flops
        replaced = state.topology.step()
        changed = state.topology.updates != before
        flops += state.topology.flops - searches
        if changed:
            state.dropped += sum(c.dropped for c in state.topology.last_changes)
            state.grown += sum(c.grown for c in state.topology.last_changes)
    if not replaced:
        optimizer.step()
    optimizer.zero_grad()
    n = y.size  # of a text its tokens
    state.loss_sum += state.batch_loss * n
    state.correct += count_correct(logits.data, y)
    state.samples += n
    state.train_flops += flops
    state.batch += 1
    state.step += 1
    state.between_steps = True
    return changed


def _nonfinite(state: State) -> None:
    _call(state, "on_nonfinite_loss")
    if state.stop:
        state.between_steps = True
        return
    lr = state.optimizer.lr
    raise NonFiniteLossError(
        f"the loss became {state.batch_loss} at step {state.step + 1} (epoch "
        f"{state.epoch + 1}); use a lower learning rate (now {lr:.3g}), clip the "
        "gradient, or scale the input"
    )


def _finish_epoch(state: State, parts: _Parts) -> None:
    """Measures the model, adds a row to the history and begins the next epoch."""
    nnz, positions = connections(state.model)
    row: dict[str, Any] = {
        "epoch": state.epoch + 1,
        "train_loss": state.loss_sum / state.samples,
        "train_accuracy": state.correct / state.samples,
    }
    for name, part in (("val", parts.val), ("test", parts.test)):
        if part is not None:
            measured = evaluate(
                state.model,
                *part,
                loss=state.loss or cross_entropy,
                scaling=state.scaling,
            )
            row[f"{name}_loss"] = measured["loss"]
            row[f"{name}_accuracy"] = measured["accuracy"]
    row.update(
        seconds=state.epoch_seconds,
        nnz=nnz,
        density=nnz / positions if positions else 0.0,
        lr=float(state.optimizer.lr),
        dropped=state.dropped,
        grown=state.grown,
        train_flops=state.train_flops,
    )
    state.between_steps = False
    state.logs = row
    state.history.append(row)
    state.epoch += 1
    state.batch = state.samples = state.correct = state.dropped = state.grown = 0
    state.loss_sum = state.epoch_seconds = 0.0
    state.between_steps = True
