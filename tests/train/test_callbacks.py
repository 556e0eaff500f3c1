"""Callbacks, one by one."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from train.runs import parts

from sparsenn.data import Dataset
from sparsenn.export.model import model_arrays
from sparsenn.train import (
    Boosting,
    Callback,
    CSVLogger,
    EarlyStopping,
    JSONLogger,
    LambdaCallback,
    ProgressBar,
    fit,
)


def run_with(blobs: Dataset, callbacks: list[Callback], epochs: int = 3) -> Any:
    run = parts(epochs=epochs)
    model = run.pop("model")
    return model, fit(model, blobs, callbacks=callbacks, **run)


def test_hooks_run_in_order(blobs: Dataset) -> None:
    seen: list[str] = []
    hooks = ("train_begin", "epoch_begin", "batch_end", "epoch_end", "train_end")

    def note(hook: str) -> Any:
        return lambda state: seen.append(f"{hook} {state.epoch}.{state.batch}")

    callback = LambdaCallback(**{f"on_{hook}": note(hook) for hook in hooks})
    run_with(blobs, [callback], epochs=2)
    steps = [f"batch_end {{}}.{i}" for i in range(1, 9)]
    expected = ["train_begin 0.0"]
    for epoch in range(2):
        expected.append(f"epoch_begin {epoch}.0")
        expected += [step.format(epoch) for step in steps]
        expected.append(f"epoch_end {epoch + 1}.0")
    assert seen == [*expected, "train_end 2.0"]


def test_late_callbacks_run_after_the_others(blobs: Dataset) -> None:
    seen: list[str] = []

    class Late(Callback):
        last = True

        def on_epoch_end(self, state: Any) -> None:
            seen.append("late")

    early = LambdaCallback(on_epoch_end=lambda state: seen.append("early"))
    run_with(blobs, [Late(), early], epochs=1)
    assert seen == ["early", "late"]


def test_two_callbacks_that_remember_need_two_names(blobs: Dataset) -> None:
    with pytest.raises(ValueError, match=r"two callbacks are named"):
        run_with(blobs, [EarlyStopping("test_loss"), EarlyStopping("test_loss")])


class Scripted(Callback):
    """Replaces a measured column by given numbers."""

    def __init__(self, values: list[float]) -> None:
        self.values = values

    def on_epoch_end(self, state: Any) -> None:
        state.logs["val_loss"] = self.values[state.epoch - 1]


def test_early_stopping_waits_and_restores(blobs: Dataset) -> None:
    weights: dict[int, Any] = {}
    keep = LambdaCallback(
        on_epoch_end=lambda state: weights.update(
            {state.epoch: model_arrays(state.model)}
        )
    )
    script = Scripted([3.0, 2.0, 2.5, float("nan"), 1.0, 0.5])
    stopping = EarlyStopping("val_loss", patience=2)
    model, history = run_with(blobs, [script, keep, stopping], epochs=6)
    assert len(history) == 4
    assert stopping.best_epoch == 2
    assert "has not improved for 2 epochs (best 2 in epoch 2)" in history.stop_reason
    final = model_arrays(model)
    assert final.keys() == weights[2].keys()
    for name, array in final.items():
        np.testing.assert_array_equal(array, weights[2][name])
    changed = [n for n in final if not np.array_equal(final[n], weights[4][n])]
    assert changed


@pytest.mark.parametrize(
    ("options", "values", "epochs"),
    [
        ({"monitor": "val_accuracy"}, [0.1, 0.2, 0.1, 0.1], 4),
        ({"mode": "max"}, [0.1, 0.2, 0.1, 0.1], 4),
        ({"mode": "min"}, [0.2, 0.1, 0.1, 0.1], 4),
        ({"min_delta": 0.5, "mode": "min"}, [1.0, 0.9, 0.8, 0.4], 3),
        ({"patience": None}, [1.0, 2.0, 2.0, 2.0], 4),
    ],
)
def test_early_stopping_directions(
    options: dict[str, Any], values: list[float], epochs: int
) -> None:
    stopping = EarlyStopping(**{"monitor": "val_loss", "patience": 2, **options})
    stopping.restore_best = False
    state: Any = type("S", (), {"stop": False, "logs": {}, "epoch": 0})()
    for value in values:
        state.epoch += 1
        state.logs = {stopping.monitor: value}
        stopping.on_epoch_end(state)
        if state.stop:
            break
    assert state.epoch == epochs


def test_early_stopping_needs_its_column(blobs: Dataset) -> None:
    with pytest.raises(ValueError, match=r"val_loss.*columns: epoch, train_loss"):
        run_with(blobs, [EarlyStopping()], epochs=1)
    for bad in ({"mode": "up"}, {"patience": 0}, {"min_delta": -1.0}):
        with pytest.raises(ValueError, match=r"must"):
            EarlyStopping(**bad)  # type: ignore[arg-type]


def test_loggers_hold_the_whole_history(blobs: Dataset, tmp_path: Path) -> None:
    table, lines = tmp_path / "log.csv", tmp_path / "log.jsonl"
    _, history = run_with(blobs, [CSVLogger(table), JSONLogger(lines)])
    with table.open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["train_loss"]) for row in rows] == history["train_loss"]
    parsed = [json.loads(line) for line in lines.read_text().splitlines()]
    assert parsed == history.rows


def test_progress_prints_lines_where_there_is_no_terminal(blobs: Dataset) -> None:
    stream = io.StringIO()
    run_with(blobs, [ProgressBar(stream, label="SET")])
    lines = stream.getvalue().splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("SET  epoch 1/3  loss ")
    assert "regrown" in lines[0] and "249 connections" in lines[0]


def test_progress_draws_a_bar_on_a_terminal(blobs: Dataset) -> None:
    pytest.importorskip("tqdm")

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    run_with(blobs, [ProgressBar(stream, every=2)])
    text = stream.getvalue()
    assert "epoch 1/3" in text and "/8" in text
    done = [line for line in text.replace("\r", "\n").splitlines() if "loss" in line]
    assert [line.split()[1] for line in done] == ["1/3", "2/3", "3/3"]


def test_boosting_fades_with_the_epochs(blobs: Dataset) -> None:
    run = parts("winners")
    model = run.pop("model")
    fit(model, blobs, callbacks=[Boosting()], **run)
    assert model[5].strength[0] == pytest.approx(0.9**3)
    assert model[5].duty_cycle.any()
