"""Training on sparse data equals training on the same data made dense."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from sparsenn import models, optim, topology
from sparsenn.data import Dataset
from sparsenn.export.model import load
from sparsenn.export.safetensors import FormatError, read, write
from sparsenn.train import Callback, Checkpoint, ResumeError, fit

N_FEATURES, N_CLASSES = 40, 3


def documents(n: int = 120) -> tuple[sparse.csr_array, np.ndarray]:
    """Rows whose class shows in which features occur."""
    rng = np.random.default_rng(0)
    y = np.arange(n) % N_CLASSES
    x = (rng.random((n, N_FEATURES)) < 0.15) * rng.random((n, N_FEATURES))
    x[np.arange(n), y] = 1.0
    return sparse.csr_array(x), y.astype(np.int64)


def trained(x: Any, y: np.ndarray, sparse_input: bool) -> tuple[Any, Any]:
    data = Dataset("documents", x[:90], y[:90], x[90:], y[90:], N_CLASSES)
    model = models.mlp(
        [N_FEATURES, 20, N_CLASSES], 0.3, seed=1, dtype="float64",
        sparse_input=sparse_input,
    )  # fmt: skip
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    updater = topology.SET(model.parameters(), optimizer, every=5, seed=2)
    history = fit(
        model, data, epochs=3, optimizer=optimizer, topology=updater, batch_size=16,
        scaling="none", seed=3,
    )  # fmt: skip
    return model, history


@pytest.mark.parametrize("sparse_input", [False, True])
def test_sparse_data_train_like_dense_data(sparse_input: bool) -> None:
    x, y = documents()
    one, two = trained(x, y, sparse_input)[0], trained(x.toarray(), y, False)[0]
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        left, right = (
            p.to_scipy().toarray() if hasattr(p, "to_scipy") else p.data for p in (a, b)
        )
        # A hundred sums of sixteen terms each, far from any tie of SET's choices.
        np.testing.assert_allclose(left, right, rtol=0, atol=1e-11)
    assert one[0].weight.pattern.by_column == sparse_input
    np.testing.assert_allclose(one(x).data, two(x.toarray()).data, atol=1e-11)


def test_storing_by_column_changes_no_bit() -> None:
    x, y = documents()
    one, two = trained(x, y, False)[0], trained(x, y, True)[0]
    assert np.array_equal(one(x).data, two(x).data)


def lazy_run(x: Any, y: np.ndarray, lazy: bool = True, **options: Any) -> Any:
    data = Dataset("documents", x[:90], y[:90], x[90:], y[90:], N_CLASSES)
    model = models.mlp([N_FEATURES, 20, N_CLASSES], 0.3, seed=1, sparse_input=True)
    how = {"momentum": 0.9, "weight_decay": 1e-3, "nesterov": True, "lazy": lazy}
    optimizer = optim.SGD(model.parameters(), lr=0.1, **how)
    updater = topology.SET(model.parameters(), optimizer, every=9, seed=2)
    schedule = optim.Cosine(0.1, 24)
    fit(
        model, data, epochs=4, optimizer=optimizer, topology=updater, batch_size=16,
        schedule=schedule, scaling="none", seed=3, **options,
    )  # fmt: skip
    return model


class Cut(Callback):
    """Ends the run as a kill would."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_batch_end(self, state: Any) -> None:
        if state.step == self.step:
            raise SystemError("cut")


@pytest.mark.parametrize("at", [2, 5, 13, 17])
def test_a_lazy_run_resumes_with_the_same_bits(tmp_path: Path, at: int) -> None:
    x, y = documents()
    whole, path = lazy_run(x, y), tmp_path / "checkpoint.safetensors"
    callbacks = [Checkpoint(path, every_steps=1), Cut(at)]
    with pytest.raises(SystemError):
        lazy_run(x, y, callbacks=callbacks)
    resumed = lazy_run(x, y, start=path)
    for a, b in zip(whole.parameters(), resumed.parameters(), strict=True):
        left, right = (
            p.values.data if hasattr(p, "values") else p.data for p in (a, b)
        )
        assert np.array_equal(left, right)
    with pytest.raises(ResumeError, match=r"optimizer.lazy False \(the checkpoint has"):
        lazy_run(x, y, lazy=False, start=path)


def test_a_checkpoint_of_waiting_columns_must_fit(tmp_path: Path) -> None:
    x, y = documents()
    path = tmp_path / "checkpoint.safetensors"
    with pytest.raises(SystemError):
        lazy_run(x, y, callbacks=[Checkpoint(path, every_steps=1), Cut(5)])
    arrays, metadata = read(path)[:2]
    (last,) = (name for name in arrays if name.endswith("waiting/0.weight/last"))
    assert arrays[last].max() > arrays[last].min()
    for wrong in (arrays[last] + 99, arrays[last] - 99, arrays[last][1:]):
        write(path, {**arrays, last: wrong.astype(np.int32)}, metadata)
        with pytest.raises(FormatError, match="training state does not fit"):
            lazy_run(x, y, start=path)


def test_flops_of_a_sparse_first_layer_are_those_of_its_nonzeros() -> None:
    x, y = documents()
    x = x[:90]
    data = Dataset("documents", x, y[:90], None, None, N_CLASSES)
    for sparse_input in (False, True):
        model = models.mlp(
            [N_FEATURES, 20, N_CLASSES], 0.3, seed=1, sparse_input=sparse_input
        )
        first, second = (p for p in model.parameters() if hasattr(p, "pattern"))
        fan_out = (first.to_scipy().toarray() != 0).sum(0)
        optimizer = optim.SGD(model.parameters())
        history = fit(model, data, epochs=2, optimizer=optimizer, scaling="none")
        epoch = 4 * fan_out[x.indices].sum() + 6 * 90 * second.nnz
        assert history["train_flops"] == [epoch, 2 * epoch]


@pytest.mark.parametrize("lazy", [[], ["--lazy", "no"]])
def test_the_command_line_stores_the_first_layer_by_column(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], lazy: list[str]
) -> None:
    from sparsenn.cli import main

    x, y = documents()
    path, out = tmp_path / "text.svm", tmp_path / "run"
    with path.open("w") as f:
        for i, label in enumerate(y):
            row = x[[i]]
            pairs = zip(row.indices, row.data, strict=True)
            f.write(f"{label} " + " ".join(f"{j + 1}:{v:.6f}" for j, v in pairs) + "\n")
    options = ["--arch", f"{N_FEATURES}-20-{N_CLASSES}", "--density", "0.4"]
    options += [
        "--epochs",
        "20",
        "--lr",
        "0.2",
        "--batch-size",
        "16",
        "--method",
        "set",
    ]
    options += lazy
    command: Callable[..., int] = main
    assert command(["train", str(path), *options, "--out", str(out), "--quiet"]) == 0
    capsys.readouterr()
    loaded = load(out / "model.safetensors")
    model = loaded[0] if isinstance(loaded, tuple) else loaded
    assert model[0].weight.pattern.by_column
    assert (model.eval()(x).data.argmax(1) == y).mean() > 0.9
