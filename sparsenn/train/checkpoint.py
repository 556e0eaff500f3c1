"""Checkpoints: everything that training needs to go on bit for bit, in one file.

A checkpoint is a model file with more in it: optimiser arrays in canonical (row,
column) order, the counters of the loop, the state of the topology and of callbacks,
and the history. Nothing random is stored, because every draw is a function of the
seed and the counters.
"""

from __future__ import annotations

import dataclasses
import json
import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sparsenn.export.model import (
    GATED,
    ModelFile,
    model_arrays,
    model_metadata,
    read_model,
)
from sparsenn.export.safetensors import FormatError, write
from sparsenn.sparse import SparseParameter
from sparsenn.train.callbacks import Callback
from sparsenn.train.jsonable import join_arrays, split_arrays
from sparsenn.train.state import State

# Of what waits: the arrays that have an element for each connection.
_ALIGNED = ("values", "momentum")

# Settings that older checkpoints do not have: what they were then.
_BEFORE = {"optimizer.lazy": False, "augment": "None"}

_PLAN = ("seed", "batch_size", "epochs", "steps_per_epoch", "val_fraction", "n_train")


class ResumeError(ValueError):
    """A checkpoint is of another run than the one that it should continue."""


@dataclass
class CheckpointFile:
    """A checkpoint that was read and checked, but not yet put to use.

    Attributes
    ----------
    file : ModelFile
        The model's part.
    training : dict
        Everything else.
    """

    file: ModelFile
    training: dict[str, Any]

    @property
    def epoch(self) -> int:
        """Finished epochs."""
        return int(self.training["counters"]["epoch"])

    @property
    def step(self) -> int:
        """Finished steps."""
        return int(self.training["counters"]["step"])


def _settings(state: State) -> dict[str, Any]:
    """What else makes a run this one, as JSON has it: options, scaling, labels.

    Functions that a user wrote (a loss, a schedule) cannot be compared and are not
    here.
    """
    labels = np.ascontiguousarray(state.labels, np.int64)
    found: dict[str, Any] = {
        "augment": repr(state.augment),
        "clip_grad_norm": state.clip_grad_norm,
        "labels": f"crc32:{zlib.crc32(labels.data):08x}",
        "scaling": None if state.scaling is None else state.scaling.to_dict(),
    }
    for name in ("betas", "eps", "momentum", "nesterov", "weight_decay"):
        if hasattr(state.optimizer, name):
            found[f"optimizer.{name}"] = getattr(state.optimizer, name)
    if hasattr(state.optimizer, "lazy"):
        found["optimizer.lazy"] = state.optimizer.lazy
    for name in ("protect", "replaces_step"):
        if hasattr(state.topology, name):
            found[f"topology.{name}"] = getattr(state.topology, name)
    for name, part in (
        ("schedule", state.schedule),
        ("topology.schedule", getattr(state.topology, "schedule", None)),
    ):
        if dataclasses.is_dataclass(part):
            found[name] = repr(part)
    return dict(json.loads(json.dumps(found)))


def save_checkpoint(path: str | os.PathLike[str], state: State) -> None:
    """Writes the present point of training, whole or not at all.

    Parameters
    ----------
    path : path
        The file, which an older one leaves only when the new one is complete.
    state : State
        Between two steps.

    Raises
    ------
    RuntimeError
        If a step is under way: half a step cannot be resumed.
    """
    if not state.between_steps:
        raise RuntimeError("a step is under way; checkpoints are taken between steps")
    # The file holds current values. That they were read must not show in the run, so
    # what waited before waits again afterwards, and in the run that resumes.
    trained = _trained(state)
    waiting = {name: state.optimizer.waiting(p) for name, p in trained.items()}
    try:
        _write(path, state, waiting)
    finally:
        for name, parameter in trained.items():
            state.optimizer.wait(parameter, waiting[name])


def _trained(state: State) -> dict[str, Any]:
    """The parameters that the optimiser steps, by name."""
    return {
        name: parameter
        for name, parameter in state.model.named_parameters()
        if any(parameter is trained for trained in state.optimizer.params)
    }


def _write(path: str | os.PathLike[str], state: State, waiting: dict[str, Any]) -> None:
    arrays = model_arrays(state.model)
    optimizer: dict[str, dict[str, np.ndarray]] = {}
    waits: dict[str, dict[str, np.ndarray]] = {}
    for name, parameter in _trained(state).items():
        optimizer[name] = {
            key: _to_canonical(parameter, array)
            for key, array in state.optimizer.state(parameter).items()
        }
        if waiting[name]:
            waits[name] = {
                key: _to_canonical(parameter, array) if key in _ALIGNED else array
                for key, array in waiting[name].items()
            }
    parts: dict[str, Any] = {
        "plan": {name: getattr(state, name) for name in _PLAN},
        "settings": _settings(state),
        "counters": state.counters(),
        "history": state.history.rows,
        "optimizer": {
            "type": type(state.optimizer).__name__,
            "steps": int(state.optimizer.steps),
            "lr": float(state.optimizer.lr),
            "state": optimizer,
            "waiting": waits,
        },
        "topology": _topology_state(state),
        "callbacks": {
            callback.name: kept
            for callback in state.callbacks
            if (kept := callback.state())
        },
    }
    plain, more = split_arrays(parts, "training")
    metadata = model_metadata(
        state.model, scaling=state.scaling, extra=None, kind="checkpoint"
    )
    if any(getattr(p, "gate", None) for p in state.model.parameters()):
        metadata[GATED] = "true"
    metadata["sparsenn.training"] = json.dumps(
        plain, sort_keys=True, separators=(",", ":")
    )
    write(path, {**arrays, **more}, metadata)


def load_checkpoint(path: str | os.PathLike[str]) -> CheckpointFile:
    """Reads and checks a checkpoint.

    Raises
    ------
    FormatError
        If it is damaged, or no checkpoint.
    OSError
        If it cannot be read.
    """
    file = read_model(path)
    if file.kind != "checkpoint" or "sparsenn.training" not in file.metadata:
        raise FormatError(
            f"{file.path}: is a {file.kind}, not a checkpoint to resume from"
        )
    try:
        plain = json.loads(file.metadata["sparsenn.training"])
        training = join_arrays(plain, file.other)
        _check_training(training)
    except (ValueError, TypeError, LookupError, RecursionError) as error:
        raise FormatError(f"{file.path}: its training state is damaged: {error}") from (
            error
        )
    return CheckpointFile(file, training)


def _check_training(training: Any) -> None:
    """Raises TypeError or KeyError unless the parts are there and of their types."""
    kinds = {
        "plan": dict, "counters": dict, "history": list, "optimizer": dict,
        "topology": dict | None, "callbacks": dict,
    }  # fmt: skip
    for key, kind in kinds.items():
        if not isinstance(training[key], kind):
            raise TypeError(f"{key} is {training[key]!r:.60}")
    if not all(isinstance(row, dict) for row in training["history"]):
        raise TypeError("a row of the history is not an object")
    for key in ("epoch", "batch", "step", "samples", "correct", "train_flops"):
        value = training["counters"][key]
        if type(value) is not int or value < 0:
            raise TypeError(f"the counter {key} is {value!r:.60}")
    training["optimizer"]["type"]


def _check_counters(state: State, training: dict[str, Any]) -> None:
    """Raises ValueError unless the counters are of one moment of this plan."""
    epoch, batch, step = (training["counters"][k] for k in ("epoch", "batch", "step"))
    rows = len(training["history"])
    if (
        batch > state.steps_per_epoch
        or step != epoch * state.steps_per_epoch + batch
        or rows != epoch
    ):
        raise ValueError(
            f"step {step}, batch {batch} of epoch {epoch} and a history of {rows} "
            f"epochs contradict each other, at {state.steps_per_epoch} steps an epoch"
        )


def restore(state: State, checkpoint: CheckpointFile) -> None:
    """Puts a checkpoint's content into a state whose plan is the same.

    Raises
    ------
    ResumeError
        If the run is another one: says which numbers differ.
    FormatError
        If the parts of the file do not fit the model.
    """
    training = checkpoint.training
    path = checkpoint.file.path
    wrong = [
        f"{name} {getattr(state, name)!r} (the checkpoint has {saved!r})"
        for name, saved in training["plan"].items()
        if getattr(state, name, None) != saved
    ]
    theirs = training.get("settings")
    for name, value in _settings(state).items():
        older = _BEFORE.get(name)
        saved = theirs.get(name, older) if isinstance(theirs, dict) else None
        if value != saved:
            wrong.append(f"{name} {value!r:.80} (the checkpoint has {saved!r:.80})")
    saved_type = training["optimizer"]["type"]
    if saved_type != type(state.optimizer).__name__:
        wrong.append(
            f"optimizer {type(state.optimizer).__name__} (the checkpoint has "
            f"{saved_type})"
        )
    if (state.topology is None) != (training["topology"] is None):
        wrong.append("a topology that changes (only one of the two has it)")
    if wrong:
        raise ResumeError(f"{path}: is of another run: " + ", ".join(wrong))
    try:
        _check_counters(state, training)
    except ValueError as error:
        raise FormatError(f"{path}: its training state is damaged: {error}") from error
    misfits = ArithmeticError, AttributeError, LookupError, TypeError, ValueError
    try:
        _check_optimizer(state, training["optimizer"], checkpoint.file.arrays)
    except misfits as error:
        raise FormatError(f"{path}: its training state does not fit: {error}") from (
            error
        )
    checkpoint.file.fill(state.model)
    try:
        _restore_optimizer(state, training["optimizer"])
        if state.topology is not None:
            state.topology.load_state(_from_topology(state, training["topology"]))
        kept = training["callbacks"]
        for callback in state.callbacks:
            if callback.name in kept:
                callback.load_state(kept[callback.name])
        state.load_counters(training["counters"])
        state.history.rows[:] = training["history"]
        state.history.stop_reason = state.stop_reason
    except misfits as error:
        raise FormatError(f"{path}: its training state does not fit: {error}") from (
            error
        )


def _to_canonical(parameter: Any, array: np.ndarray) -> np.ndarray:
    if isinstance(parameter, SparseParameter):
        return np.array(parameter.pattern.to_canonical(array))
    return np.array(array)


def _from_canonical(parameter: Any, array: np.ndarray) -> np.ndarray:
    if isinstance(parameter, SparseParameter):
        return np.asarray(parameter.pattern.from_canonical(array))
    return array


def _check_optimizer(
    state: State, saved: dict[str, Any], weights: Mapping[str, np.ndarray]
) -> None:
    """Whether the optimiser's arrays fit the weights of the same file."""
    for name, parameter in _trained(state).items():
        live = state.optimizer.state(parameter)
        arrays = saved["state"][name]
        if set(arrays) != set(live):
            raise ValueError(
                f"optimiser arrays of {name!r} are {sorted(arrays)}, "
                f"expected {sorted(live)}"
            )
        sparse = isinstance(parameter, SparseParameter)
        shape = weights[f"{name}.values" if sparse else name].shape
        for key, array in live.items():
            new = np.asarray(arrays[key])
            if new.shape != shape or new.dtype != array.dtype:
                raise ValueError(
                    f"optimiser array {key!r} of {name!r} is {new.dtype}{new.shape}, "
                    f"expected {array.dtype}{shape}"
                )


def _restore_optimizer(state: State, saved: dict[str, Any]) -> None:
    for name, parameter in _trained(state).items():
        live = state.optimizer.state(parameter)
        # New arrays: the pattern may have another number of connections by now.
        taken = {
            key: _from_canonical(parameter, saved["state"][name][key]) for key in live
        }
        state.optimizer.put_state(
            parameter, {key: np.array(taken[key], live[key].dtype) for key in live}
        )
        waits = saved.get("waiting", {}).get(name, {})
        state.optimizer.wait(
            parameter,
            {
                key: _from_canonical(parameter, array) if key in _ALIGNED else array
                for key, array in waits.items()
            },
        )
    state.optimizer.steps = int(saved["steps"])
    state.optimizer.lr = float(saved["lr"])


def _topology_state(state: State) -> Any:
    """The updater's state, arrays of a parameter's connections in canonical order."""
    return (
        None if state.topology is None else _reorder(state, state.topology.state(), 0)
    )


def _from_topology(state: State, saved: Any) -> Any:
    return _reorder(state, saved, 1)


def _reorder(state: State, value: Any, back: int) -> Any:
    patterns = {
        parameter.name: parameter.pattern
        for _, parameter in state.model.named_parameters()
        if isinstance(parameter, SparseParameter)
    }

    def visit(item: Any, pattern: Any) -> Any:
        if isinstance(item, dict):
            return {
                key: visit(sub, patterns.get(key, pattern)) for key, sub in item.items()
            }
        if isinstance(item, list | tuple):
            return [visit(sub, pattern) for sub in item]
        if (
            isinstance(item, np.ndarray)
            and pattern is not None
            and item.shape == (pattern.nnz,)
        ):
            order = pattern.from_canonical if back else pattern.to_canonical
            return np.array(order(item))
        return item

    return visit(value, None)


class Checkpoint(Callback):
    """Saves the point that training has reached.

    Parameters
    ----------
    path : path
        The file; always a whole checkpoint once the first has been written.
    every_epochs : int or None
        Save after so many epochs (and after the last).
    every_steps : int or None
        Also save after so many steps.
    """

    last = True

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        every_epochs: int | None = 1,
        every_steps: int | None = None,
    ) -> None:
        for name, value in (
            ("every_epochs", every_epochs),
            ("every_steps", every_steps),
        ):
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1 or None, got {value}")
        self.path = Path(path)
        self.every_epochs = every_epochs
        self.every_steps = every_steps

    def on_batch_end(self, state: State) -> None:
        # The last batch of an epoch is left to on_epoch_end, which knows its results.
        due = self.every_steps is not None and state.step % self.every_steps == 0
        if due and state.batch < state.steps_per_epoch:
            save_checkpoint(self.path, state)

    def on_epoch_end(self, state: State) -> None:
        over = state.stop or state.epoch == state.epochs
        due = self.every_epochs is not None and state.epoch % self.every_epochs == 0
        if self.every_steps is not None and state.step % self.every_steps == 0:
            due = True
        if due or over:
            save_checkpoint(self.path, state)

    def on_interrupt(self, state: State) -> None:
        # Cut while the end of an epoch is told around, a file would hold the epoch
        # but not what callbacks make of it: the one before is better.
        if state.between_steps and state.epoch_seen:
            save_checkpoint(self.path, state)
