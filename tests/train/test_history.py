"""The record of a run, and the values that go into JSON."""

from __future__ import annotations

import json

import numpy as np
import pytest

from sparsenn.train import History
from sparsenn.train.jsonable import join_arrays, jsonable, split_arrays


def test_columns_and_rows() -> None:
    history = History([{"epoch": 1, "seconds": 2.0}])
    history.append({"epoch": 2, "seconds": 3.0, "val_loss": 0.5})
    assert len(history) == 2 and history.last["epoch"] == 2
    assert history["val_loss"] == [None, 0.5]
    assert history.columns() == ["epoch", "seconds", "val_loss"]
    assert history.seconds == 5.0
    with pytest.raises(KeyError, match=r"no column 'loss'.*epoch, seconds, val_loss"):
        history["loss"]


def test_best_takes_the_first_of_equals() -> None:
    values = [0.5, 0.75, 0.75, None]
    history = History([{"epoch": i, "a": v} for i, v in enumerate(values)])
    assert history.best("a")["epoch"] == 1
    assert history.best("a", "min")["epoch"] == 0
    with pytest.raises(ValueError, match="mode"):
        history.best("a", "up")


def test_json_has_no_nan_and_comes_back() -> None:
    history = History([{"epoch": np.int64(1), "x": float("nan"), "y": 0.1}])
    history.stop_reason = "why"
    text = history.to_json()
    assert json.loads(text)["epochs"][0] == {"epoch": 1, "x": None, "y": 0.1}
    back = History.from_json(text)
    assert back.rows[0]["y"] == 0.1 and back.stop_reason == "why"


def test_repr() -> None:
    assert repr(History()) == "History(no epochs)"
    history = History([{"epoch": 1, "train_loss": 0.25}])
    assert repr(history) == "History(1 epochs, last: train_loss=0.25)"


def test_jsonable() -> None:
    value = {1: (np.float32(0.5), float("inf"), np.bool_(True), None, np.arange(2))}
    assert jsonable(value) == {"1": [0.5, None, True, None, [0, 1]]}


def test_arrays_beside_json() -> None:
    value = {"a": [np.arange(3), {"b": np.ones(2)}], "c": np.int32(4), "d": None}
    plain, arrays = split_arrays(value, "top")
    assert sorted(arrays) == ["top/a/0", "top/a/1/b"]
    back = join_arrays(json.loads(json.dumps(plain)), arrays)
    np.testing.assert_array_equal(back["a"][0], np.arange(3))
    np.testing.assert_array_equal(back["a"][1]["b"], np.ones(2))
    assert back["c"] == 4 and back["d"] is None
