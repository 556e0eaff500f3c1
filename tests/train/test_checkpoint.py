"""A run that was cut anywhere and resumed ends with the same bytes."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from train.runs import SECOND, parts, trained

from sparsenn import optim, topology
from sparsenn.data import Dataset
from sparsenn.export.model import load, model_arrays, read_model
from sparsenn.export.safetensors import FormatError, read, write
from sparsenn.train import (
    Callback,
    Checkpoint,
    EarlyStopping,
    ResumeError,
    fit,
    load_checkpoint,
    save_checkpoint,
)


class Cut(Callback):
    """Ends the run as a kill would: an exception that nobody handles."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_batch_end(self, state: Any) -> None:
        if state.step == self.step:
            raise SystemError("cut")


def cut_and_resume(
    data: Dataset,
    directory: Path,
    kind: str,
    at: list[int],
    every: int | None,
    **options: Any,
) -> bytes:
    """Runs until each of the steps in turn, then to the end."""
    saved = directory / "checkpoint.safetensors"

    def callbacks() -> list[Callback]:
        kept: list[Callback] = [Checkpoint(saved, every_steps=every)]
        if "val_fraction" in options:
            kept.append(EarlyStopping("val_accuracy", patience=None))
        return kept

    for step in at:
        run = {**parts(kind), **options}
        start = saved if saved.exists() else None
        with pytest.raises(SystemError, match="cut"):
            fit(
                run.pop("model"),
                data,
                callbacks=[Cut(step), *callbacks()],
                start=start,
                **run,
            )
    start = saved if saved.exists() else None
    return trained(
        data,
        directory / "model.safetensors",
        kind,
        callbacks=callbacks(),
        start=start,
        **options,
    )


@pytest.mark.parametrize("kind", ["sgd", "adam", "adamw", "winners"])
def test_resumes_bit_for_bit(blobs: Dataset, tmp_path: Path, kind: str) -> None:
    whole = trained(blobs, tmp_path / "whole.safetensors", kind)
    assert cut_and_resume(blobs, tmp_path, kind, [13], every=None) == whole


@pytest.mark.parametrize("step", [5, 10, 13, 20])
@pytest.mark.parametrize("kind", sorted(SECOND))
def test_other_topologies_resume_bit_for_bit(
    blobs: Dataset, tmp_path: Path, kind: str, step: int
) -> None:
    whole = trained(blobs, tmp_path / "whole.safetensors", kind)
    assert cut_and_resume(blobs, tmp_path, kind, [step], every=1) == whole


@pytest.mark.parametrize("step", [1, 3, 4, 7, 8, 9, 15, 16, 23])
def test_resumes_from_every_step(blobs: Dataset, tmp_path: Path, step: int) -> None:
    whole = trained(blobs, tmp_path / "whole.safetensors")
    assert cut_and_resume(blobs, tmp_path, "sgd", [step], every=1) == whole


def test_resumes_again_and_again(blobs: Dataset, tmp_path: Path) -> None:
    options = {"val_fraction": 0.25, "clip_grad_norm": 0.5, "scaling": "standard"}
    whole = trained(
        blobs,
        tmp_path / "whole.safetensors",
        callbacks=[EarlyStopping("val_accuracy", patience=None)],
        **options,
    )
    steps = [2, 5, 9, 10, 17]
    assert cut_and_resume(blobs, tmp_path, "sgd", steps, 3, **options) == whole


def test_history_goes_on(blobs: Dataset, tmp_path: Path) -> None:
    saved = tmp_path / "checkpoint.safetensors"
    run = parts()
    full = fit(run.pop("model"), blobs, **run)
    run = parts()
    with pytest.raises(SystemError):
        fit(run.pop("model"), blobs, callbacks=[Checkpoint(saved), Cut(20)], **run)
    run = parts()
    resumed = fit(run.pop("model"), blobs, start=saved, **run)
    for row, other in zip(full, resumed, strict=True):
        assert {k: v for k, v in row.items() if k != "seconds"} == {
            k: v for k, v in other.items() if k != "seconds"
        }


def test_history_goes_on_after_the_last_batch_of_an_epoch(
    blobs: Dataset, tmp_path: Path
) -> None:
    """Interrupted when only the evaluation of the epoch was left to do."""
    saved = tmp_path / "checkpoint.safetensors"

    class Interrupt(Callback):
        def on_batch_end(self, state: Any) -> None:
            if state.step == 16:
                raise KeyboardInterrupt

    run = parts()
    full = fit(run.pop("model"), blobs, **run)
    run = parts()
    with pytest.raises(KeyboardInterrupt):
        fit(run.pop("model"), blobs, callbacks=[Interrupt(), Checkpoint(saved)], **run)
    assert load_checkpoint(saved).epoch == 1 and load_checkpoint(saved).step == 16
    run = parts()
    resumed = fit(run.pop("model"), blobs, start=saved, **run)
    for column in ("lr", "train_loss", "test_loss", "grown", "train_flops"):
        assert resumed[column] == full[column]


def test_a_finished_run_resumes_to_itself(blobs: Dataset, tmp_path: Path) -> None:
    saved = tmp_path / "checkpoint.safetensors"
    path = tmp_path / "model.safetensors"
    whole = trained(blobs, path, callbacks=[Checkpoint(saved)])
    assert trained(blobs, path, start=saved) == whole


def test_arrays_are_in_canonical_order(blobs: Dataset, tmp_path: Path) -> None:
    saved = tmp_path / "checkpoint.safetensors"
    run = parts()
    model, optimizer = run.pop("model"), run["optimizer"]
    fit(model, blobs, callbacks=[Checkpoint(saved)], **run)
    arrays, _ = read(saved)
    weight = model.layers[0].weight
    momentum = optimizer.state(weight)
    (key,) = momentum
    np.testing.assert_array_equal(
        arrays[f"training/optimizer/state/0.weight/{key}"],
        weight.to_scipy().data * 0 + weight.pattern.to_scipy(momentum[key]).data,
    )
    assert "training/topology/born/0.weight" in arrays


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seed": 12}, r"seed 12 \(the checkpoint has 11\)"),
        ({"batch_size": 19}, "batch_size 19"),
        ({"epochs": 9}, "epochs 9"),
        ({"val_fraction": 0.5}, "val_fraction 0.5"),
        ({"topology": None}, "topology"),
    ],
)
def test_another_run_is_refused(
    blobs: Dataset, tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    saved = tmp_path / "checkpoint.safetensors"
    run = parts(epochs=1)
    fit(run.pop("model"), blobs, callbacks=[Checkpoint(saved)], **run)
    run = {**parts(epochs=1), **change}
    with pytest.raises(ResumeError, match=words):
        fit(run.pop("model"), blobs, start=saved, **run)
    run = parts("adam", epochs=1)
    with pytest.raises(ResumeError, match=r"optimizer Adam \(the checkpoint has SGD\)"):
        fit(run.pop("model"), blobs, start=saved, **run)


def test_a_model_is_no_checkpoint(blobs: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    trained(blobs, path)
    with pytest.raises(FormatError, match=r"model\.safetensors: is a model, not a"):
        load_checkpoint(path)


def test_a_checkpoint_is_a_model(blobs: Dataset, tmp_path: Path) -> None:
    saved = tmp_path / "checkpoint.safetensors"
    path = tmp_path / "model.safetensors"
    trained(blobs, path, callbacks=[Checkpoint(saved)])
    model, other = read_model(path), read_model(saved)
    assert model.architecture == other.architecture
    assert model.arrays.keys() == other.arrays.keys()
    for name, array in model.arrays.items():
        np.testing.assert_array_equal(array, other.arrays[name])


def test_a_checkpoint_with_gates_is_no_model_until_they_are_folded(
    blobs: Dataset, tmp_path: Path
) -> None:
    saved = tmp_path / "checkpoint.safetensors"
    run = parts("supermask")
    with pytest.raises(SystemError):
        fit(run.pop("model"), blobs, callbacks=[Checkpoint(saved), Cut(20)], **run)
    for into in (None, parts("sgd")["model"]):
        with pytest.raises(FormatError, match="gates that are still trained"):
            load(saved, into=into)
    run = parts("supermask")
    model = run.pop("model")
    fit(model, blobs, callbacks=[Checkpoint(saved)], start=saved, **run)
    x = np.ones((2, 12), np.float32)
    assert np.array_equal(load(saved)(x).data, model(x).data)


@pytest.mark.parametrize("damage", ["momentum", "missing", "born", "counters"])
def test_parts_that_do_not_fit_are_refused(
    blobs: Dataset, tmp_path: Path, damage: str
) -> None:
    saved = tmp_path / "checkpoint.safetensors"
    run = parts(epochs=1)
    fit(run.pop("model"), blobs, callbacks=[Checkpoint(saved)], **run)
    arrays, metadata = read(saved)
    momentum = next(n for n in arrays if n.startswith("training/optimizer"))
    if damage == "momentum":
        arrays[momentum] = arrays[momentum][:-1]
    elif damage == "missing":
        del arrays[momentum]
    elif damage == "born":
        arrays["training/topology/born/0.weight"] = np.zeros(3, np.int32)
    else:
        metadata["sparsenn.training"] = metadata["sparsenn.training"].replace(
            '"step":8', '"stop":8'
        )
    write(saved, arrays, metadata)
    run = parts(epochs=1)
    model = run.pop("model")
    before = model_arrays(model)
    with pytest.raises(FormatError, match=r"checkpoint\.safetensors: its training"):
        fit(model, blobs, start=saved, **run)
    if damage in ("momentum", "missing"):  # found before anything is changed
        for name, array in model_arrays(model).items():
            np.testing.assert_array_equal(array, before[name])


def test_half_a_step_is_not_saved(blobs: Dataset, tmp_path: Path) -> None:
    saved = tmp_path / "checkpoint.safetensors"
    kept: list[Any] = []

    class Interrupted(Callback):
        def on_batch_end(self, state: Any) -> None:
            kept.append(state)

    run = parts(epochs=1)
    model = run.pop("model")
    real = run["optimizer"].step

    def step() -> None:
        if len(kept) == 3:
            raise KeyboardInterrupt
        real()

    run["optimizer"].step = step
    with pytest.raises(KeyboardInterrupt):
        fit(model, blobs, callbacks=[Interrupted(), Checkpoint(saved)], **run)
    assert not os.path.exists(saved)
    with pytest.raises(RuntimeError, match="a step is under way"):
        save_checkpoint(saved, kept[0])


def test_checkpoint_arguments() -> None:
    with pytest.raises(ValueError, match="every_steps must be at least 1"):
        Checkpoint("x", every_steps=0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda run: run.update(clip_grad_norm=1.0), r"clip_grad_norm 1\.0"),
        (lambda run: run.update(scaling="standard"), "scaling"),
        (lambda run: run.update(schedule=optim.Cosine(0.1, 8)), "schedule 'Cosine"),
        (
            lambda run: setattr(run["optimizer"], "momentum", 0.5),
            r"optimizer\.momentum 0\.5 \(the checkpoint has 0\.9\)",
        ),
        (lambda run: setattr(run["topology"], "protect", 1), r"topology\.protect 1"),
        (
            lambda run: setattr(run["topology"], "schedule", topology.Periodic()),
            r"topology\.schedule .Periodic",
        ),
    ],
)
def test_a_run_with_other_settings_is_refused(
    blobs: Dataset, tmp_path: Path, change: Any, words: str
) -> None:
    saved = tmp_path / "checkpoint.safetensors"
    run = parts(epochs=1)
    fit(run.pop("model"), blobs, callbacks=[Checkpoint(saved)], **run)
    run = parts(epochs=1)
    change(run)
    with pytest.raises(ResumeError, match=words):
        fit(run.pop("model"), blobs, start=saved, **run)


def test_a_run_on_other_labels_is_refused(blobs: Dataset, tmp_path: Path) -> None:
    saved = tmp_path / "checkpoint.safetensors"
    run = parts(epochs=1)
    fit(run.pop("model"), blobs, callbacks=[Checkpoint(saved)], **run)
    other = dataclasses.replace(blobs, y_train=blobs.y_train[::-1].copy())
    run = parts(epochs=1)
    with pytest.raises(ResumeError, match="labels 'crc32:"):
        fit(run.pop("model"), other, start=saved, **run)


DAMAGE: list[tuple[str, Any]] = [
    ("plan", []),
    ("plan", None),
    ("counters", {}),
    ("counters", "x"),
    ("history", {}),
    ("history", [1]),
    ("history", []),
    ("optimizer", []),
    ("optimizer", {"type": "SGD"}),
    ("optimizer", {"type": "SGD", "steps": 1e999, "lr": 0.1, "state": {}}),
    ("optimizer", {"type": "SGD", "steps": 8, "lr": 0.1, "state": []}),
    ("topology", []),
    ("topology", {"steps": 1e999, "updates": 1, "seed": 5, "born": {}}),
    ("topology", {"steps": 8, "updates": 1, "seed": 5, "born": 3}),
    ("topology", {"steps": 8, "updates": 1, "seed": 5, "born": {"0.weight": "x"}}),
    ("callbacks", []),
    ("callbacks", {"EarlyStopping(train_loss)": 5}),
    ("callbacks", {"EarlyStopping(train_loss)": {"best": 1, "best_epoch": "x"}}),
]


@pytest.mark.parametrize(("part", "value"), DAMAGE)
def test_training_state_that_lies_is_refused(
    blobs: Dataset, tmp_path: Path, part: str, value: Any
) -> None:
    saved = tmp_path / "checkpoint.safetensors"
    run = parts(epochs=1)
    fit(run.pop("model"), blobs, callbacks=[Checkpoint(saved)], **run)
    arrays, metadata = read(saved)
    training = json.loads(metadata["sparsenn.training"])
    training[part] = value
    metadata["sparsenn.training"] = json.dumps(training)
    write(saved, arrays, metadata)
    run = parts(epochs=1)
    watching = [EarlyStopping("train_loss")]
    with pytest.raises((FormatError, ResumeError), match=r"checkpoint\.safetensors: "):
        fit(run.pop("model"), blobs, start=saved, callbacks=watching, **run)


@pytest.mark.parametrize("name", ["epoch", "batch", "step"])
@pytest.mark.parametrize("value", [-1, 3, 2**70, 1.5, True, None])
def test_counters_that_lie_are_refused(
    blobs: Dataset, tmp_path: Path, name: str, value: Any
) -> None:
    saved = tmp_path / "checkpoint.safetensors"
    run = parts(epochs=1)
    fit(run.pop("model"), blobs, callbacks=[Checkpoint(saved)], **run)
    arrays, metadata = read(saved)
    training = json.loads(metadata["sparsenn.training"])
    training["counters"][name] = value
    metadata["sparsenn.training"] = json.dumps(training)
    write(saved, arrays, metadata)
    run = parts(epochs=1)
    with pytest.raises(FormatError, match="its training state is damaged"):
        fit(run.pop("model"), blobs, start=saved, **run)


def test_cut_while_the_end_of_an_epoch_is_told_around(
    blobs: Dataset, tmp_path: Path
) -> None:
    saved = tmp_path / "checkpoint.safetensors"

    class Impatient(Callback):
        def on_epoch_end(self, state: Any) -> None:
            if state.epoch == 2:
                raise KeyboardInterrupt

    def best(*others: Callback, start: Any = None) -> tuple[Any, ...]:
        run = parts(epochs=3)
        watching = EarlyStopping("val_loss", patience=1)
        history = fit(
            run.pop("model"),
            blobs,
            val_fraction=0.25,
            callbacks=[*others, watching],
            start=start,
            **run,
        )
        return watching.best, watching.best_epoch, len(history)

    expected = best()
    with pytest.raises(KeyboardInterrupt):
        best(Impatient(), Checkpoint(saved))
    assert load_checkpoint(saved).epoch == 1
    assert best(start=saved) == expected
