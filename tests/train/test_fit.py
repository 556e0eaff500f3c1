"""The training loop."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from train.runs import network, parts, trained

from sparsenn import nn, optim
from sparsenn.data import Dataset, Scaling
from sparsenn.train import (
    Callback,
    LambdaCallback,
    NonFiniteLossError,
    TerminateOnNaN,
    evaluate,
    fit,
)


def test_learns(blobs: Dataset) -> None:
    run = {**parts(), "topology": None}
    history = fit(run.pop("model"), blobs, **run)
    assert history.last["test_accuracy"] > 0.9
    assert history.last["train_accuracy"] > 0.85
    assert history["train_loss"][2] < history["train_loss"][0] / 2


def test_records_every_epoch(blobs: Dataset) -> None:
    run = parts()
    history = fit(run.pop("model"), blobs, **run)
    assert history["epoch"] == [1, 2, 3]
    assert all(0 < seconds < 60 for seconds in history["seconds"])
    # 8 steps an epoch, an update every 4: at steps 4; 8, 12; 16, 20.
    assert [grown > 0 for grown in history["grown"]] == [True, True, True]
    assert history["grown"] == history["dropped"]
    assert history["nnz"] == [round(0.3 * 288) + round(0.3 * 384) + 48] * 3


def test_last_batch_may_be_smaller(blobs: Dataset) -> None:
    sizes: list[int] = []
    before = [0]

    def size(state: Any) -> None:
        sizes.append(state.samples - before[0])
        before[0] = state.samples

    run = parts(epochs=1)
    fit(run.pop("model"), blobs, callbacks=[LambdaCallback(on_batch_end=size)], **run)
    assert sizes == [20] * 7 + [10]


def test_train_flops_leave_out_the_first_input_gradient(blobs: Dataset) -> None:
    model = nn.Sequential(nn.Linear(12, 5, nnz=20, seed=0), nn.ReLU(), nn.Linear(5, 3))
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    history = fit(model, blobs, epochs=2, optimizer=optimizer)
    per_sample = 2 * (2 * 20 + 3 * 15)
    assert history["train_flops"] == [150 * per_sample, 300 * per_sample]


def test_schedule_sets_the_rate_of_every_step(blobs: Dataset) -> None:
    rates: list[float] = []
    run = parts(epochs=2)
    run["schedule"] = lambda step: 0.01 * (step + 1)
    run["callbacks"] = [
        LambdaCallback(on_batch_end=lambda state: rates.append(state.optimizer.lr))
    ]
    history = fit(run.pop("model"), blobs, **run)
    np.testing.assert_allclose(rates, 0.01 * np.arange(1, 17))
    np.testing.assert_allclose(history["lr"], [0.08, 0.16])


def test_seed_decides_the_order(blobs: Dataset, tmp_path: Any) -> None:
    same = [trained(blobs, tmp_path / f"{i}.safetensors") for i in range(2)]
    other = trained(blobs, tmp_path / "other.safetensors", seed=12)
    assert same[0] == same[1] != other


def test_validation_part_is_held_out(blobs: Dataset) -> None:
    run = parts(epochs=1)
    history = fit(run.pop("model"), blobs, val_fraction=0.2, **run)
    assert {"val_loss", "val_accuracy", "test_accuracy"} <= set(history.last)
    per_sample = history.last["train_flops"] / 120
    assert per_sample == int(per_sample)  # 120 of the 150 samples were learned


@pytest.mark.parametrize("fraction", [0.001, 0.999])
def test_validation_part_needs_a_sample(blobs: Dataset, fraction: float) -> None:
    run = parts(epochs=1)
    with pytest.raises(ValueError, match="at least one sample"):
        fit(run.pop("model"), blobs, val_fraction=fraction, **run)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"val_fraction": 1.0}, r"val_fraction must be in \[0, 1\)"),
        ({"clip_grad_norm": 0.0}, "clip_grad_norm must be above 0"),
        ({"callbacks": [print]}, "callbacks must be Callback objects"),
        ({"scaling": "half"}, "half"),
    ],
)
def test_bad_arguments(blobs: Dataset, options: dict[str, Any], message: str) -> None:
    run = {**parts(), **options}
    with pytest.raises((ValueError, TypeError), match=message):
        fit(run.pop("model"), blobs, **run)


def test_clipping_bounds_the_step(blobs: Dataset) -> None:
    model = network()
    before = {name: _values(p).copy() for name, p in model.named_parameters()}
    optimizer = optim.SGD(model.parameters(), lr=1.0)
    moved: list[float] = []

    def measure(state: Any) -> None:
        total = 0.0
        for name, p in model.named_parameters():
            delta = _values(p).astype(np.float64) - before[name]
            total += float(np.sum(delta**2))
        moved.append(total**0.5)
        state.stop = True

    fit(
        model,
        blobs,
        epochs=1,
        optimizer=optimizer,
        clip_grad_norm=1e-2,
        callbacks=[LambdaCallback(on_batch_end=measure)],
    )
    # One step of lr 1 moves by the clipped norm; float32 rounds each of few values.
    assert moved == [pytest.approx(1e-2, rel=1e-3)]


def _values(parameter: Any) -> np.ndarray:
    return getattr(parameter, "values", parameter).data


def _explode(state: Any) -> None:
    if state.step == 5:
        _values(state.optimizer.params[-1])[...] = np.nan


def test_nan_loss_raises_a_clear_error(blobs: Dataset) -> None:
    run = parts()
    run["callbacks"] = [LambdaCallback(on_batch_end=_explode)]
    with pytest.raises(NonFiniteLossError, match=r"nan at step 6 \(epoch 1\).*lower"):
        fit(run.pop("model"), blobs, **run)


def test_terminate_on_nan_ends_quietly(blobs: Dataset) -> None:
    ended: list[int] = []
    run = parts()
    run["callbacks"] = [
        LambdaCallback(
            on_batch_end=_explode, on_train_end=lambda state: ended.append(state.step)
        ),
        TerminateOnNaN(),
    ]
    history = fit(run.pop("model"), blobs, **run)
    assert ended == [5] and len(history) == 0
    assert "step 6" in history.stop_reason


def test_interrupt_tells_the_callbacks(blobs: Dataset) -> None:
    told: list[tuple[int, bool]] = []

    class Watch(Callback):
        def on_batch_end(self, state: Any) -> None:
            if state.step == 3:
                raise KeyboardInterrupt

        def on_interrupt(self, state: Any) -> None:
            told.append((state.step, state.between_steps))

    run = parts()
    model = run.pop("model")
    with pytest.raises(KeyboardInterrupt):
        fit(model, blobs, callbacks=[Watch()], **run)
    assert told == [(3, True)]
    assert not model.training


@pytest.mark.parametrize("batch_size", [1, 7, 60, 1000])
def test_evaluate_does_not_depend_on_the_batch(blobs: Dataset, batch_size: int) -> None:
    model = network(dtype="float64")
    scaling = Scaling.fit(blobs.x_train, "unit")
    found = evaluate(
        model, blobs.x_test, blobs.y_test, scaling=scaling, batch_size=batch_size
    )
    model.eval()
    logits = model(scaling.apply(blobs.x_test, np.float64)).numpy()
    correct = np.mean(np.argmax(logits, axis=1) == blobs.y_test)
    shifted = logits - logits.max(axis=1, keepdims=True)
    nll = np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(60), blobs.y_test]
    assert found["accuracy"] == correct
    assert found["loss"] == pytest.approx(nll.mean(), rel=1e-12)


def test_evaluate_puts_the_mode_back(blobs: Dataset) -> None:
    model = network().train()
    evaluate(model, blobs.x_test, blobs.y_test)
    assert model.training
    with pytest.raises(ValueError, match="no samples"):
        evaluate(model, blobs.x_test[:0], blobs.y_test[:0])
    with pytest.raises(ValueError, match="x has 60 samples, y has 59"):
        evaluate(model, blobs.x_test, blobs.y_test[:59])


def test_sparse_input_trains(blobs: Dataset) -> None:
    from scipy.sparse import csr_array

    sparse = Dataset(
        "sparse",
        csr_array(blobs.x_train.astype(np.float32)),
        blobs.y_train,
        csr_array(blobs.x_test.astype(np.float32)),
        blobs.y_test,
        3,
    ).validate()
    run = {**parts(), "topology": None}
    history = fit(run.pop("model"), sparse, **run)
    assert history.last["test_accuracy"] > 0.9
