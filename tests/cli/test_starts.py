"""`--init`: starts that score connections, before any method."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sparsenn.cli.config import make_config
from sparsenn.cli.prepare import prepare
from sparsenn.cli.starts import STARTS, _balanced
from sparsenn.export.model import load
from sparsenn.sparse import ALLOCATIONS
from sparsenn.topology import METHODS

Cli = Callable[..., Any]
QUICK = ("--arch", "6-20-10-3", "--epochs", 2, "--batch-size", 16, "--density", 0.3)
ROUNDS = {"force": ("--init-rounds", 3), "synflow": ("--init-rounds", 5)}
ALL = 350


@pytest.mark.parametrize("init", [*ALLOCATIONS, *STARTS])
def test_every_start_has_its_density(cli: Cli, small: Path, init: str) -> None:
    words = (*QUICK, "--init", init, *ROUNDS.get(init, ()), "--method", "static")
    result = cli("train", small, *words, "--out", "a", "--json", "--quiet").json
    assert result["nnz"] == round(0.3 * ALL) and result["init"] == init
    assert ("start_seconds" in result) == (init in STARTS)
    again = cli("train", small, *words, "--out", "b", "--json", "--quiet").json
    assert again["loss"] == result["loss"]


@pytest.mark.parametrize("method", [name for name in METHODS if name != "dense"])
def test_every_method_follows_a_start(cli: Cli, small: Path, method: str) -> None:
    words = (*QUICK, "--init", "snip", "--method", method, "--out", "a", "--quiet")
    result = cli("train", small, *words, "--json").json
    if method not in ("cs", "srigl"):
        assert result["nnz"] == round(0.3 * ALL)
    assert result["nnz"] > 0


@pytest.mark.parametrize("init", list(STARTS))
def test_layers_that_stay_dense(cli: Cli, small: Path, init: str) -> None:
    words = (*QUICK, "--init", init, *ROUNDS.get(init, ()), "--keep-dense", "last")
    result = cli("train", small, *words, "--out", "a", "--json", "--quiet").json
    assert result["nnz"] == round(0.3 * ALL)
    assert [layer["density"] == 1 for layer in result["layers"]] == [False, False, True]


@pytest.mark.parametrize(
    ("init", "words"),
    [
        ("snip", ("--init-batches", 2)),
        ("snip", ("--init-batch-size", 7)),
        ("snip", ("--init-values", "keep")),
        ("grasp", ("--init-batch-size", 9)),
        ("synflow", ("--init-rounds", 1)),
        ("synflow", ("--init-control", "shuffle")),
        ("snip", ("--init-control", "invert")),
        ("erk", ("--init-values", "isometry")),
        ("snip", ("--init-values", "isometry")),
    ],
)
def test_options_reach_the_start(
    cli: Cli, small: Path, init: str, words: tuple[Any, ...]
) -> None:
    base = (*QUICK, "--method", "static", "--init", init, "--init-batch-size", 16,
            "--json", "--quiet")  # fmt: skip
    plain = cli("train", small, *base, "--out", "a").json
    assert (
        cli("train", small, *base, *words, "--out", "b").json["loss"] != plain["loss"]
    )


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (
            ("--init", "synflow", "--init-batches", 2),
            "does not read --init-batches",
        ),
        (("--init", "erk", "--init-rounds", 2), "does not read --init-rounds"),
        (("--init", "er", "--init-values", "keep"), "read --init-values keep"),
        (("--init", "er", "--init-control", "invert"), "read --init-control invert"),
    ],
)
def test_options_that_a_start_does_not_read(
    cli: Cli, small: Path, words: tuple[Any, ...], text: str
) -> None:
    assert text in cli("train", small, *QUICK, *words, "--out", "a").err


def test_shuffles_keep_the_counts_of_layers(
    cli: Cli, tmp_path: Path, small: Path
) -> None:
    # Two inputs of eight are constant.
    with np.load(small) as data:
        parts = {name: data[name] for name in data}
    for name in ("x_train", "x_test"):
        still = np.full((len(parts[name]), 2), 0.5, np.float32)
        parts[name] = np.hstack([parts[name], still])
    np.savez("still.npz", **parts)
    words = ("train", "still.npz", "--arch", "8-40-3", "--density", 0.3, "--epochs", 1,
             "--method", "static", "--init", "snip", "--quiet")  # fmt: skip
    counts, masks = [], []
    for control in ("none", "shuffle", "shuffle-inputs"):
        result = cli(*words, "--init-control", control, "--out", control, "--json").json
        counts.append([layer["nnz"] for layer in result["layers"]])
        first = load(tmp_path / control / "model.safetensors").chain()[0]
        masks.append(first.to_scipy().toarray() != 0)
    assert counts[0] == counts[1] == counts[2]
    assert masks[1][:, 6:].any() and not masks[2][:, 6:].any()
    assert (masks[0] != masks[2]).any()


@pytest.mark.parametrize("method", ["static", "set", "dsr", "srigl", "granet", "rigl"])
def test_a_run_cut_short_goes_on_with_its_own_start(
    cli: Cli, small: Path, tmp_path: Path, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = (*QUICK, "--epochs", 4, "--init", "snip", "--method", method, "--quiet")
    whole = cli("train", small, *words, "--out", "whole", "--json").json
    from sparsenn.train import Checkpoint

    plain = Checkpoint.on_epoch_end

    def cut(self: Any, state: Any) -> None:
        plain(self, state)
        if state.epoch == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "on_epoch_end", cut)
        assert cli("train", small, *words, "--out", "cut").status == 130
        patch.setattr("sparsenn.cli.prepare.choose", None)  # it is not made again
        patch.setattr(Checkpoint, "on_epoch_end", plain)
        again = cli("train", "--resume", "cut", "--quiet", "--json").json
    assert again["start_seconds"] > 0 and again["loss"] == whole["loss"]
    assert (tmp_path / "cut/model.safetensors").read_bytes() == (
        tmp_path / "whole/model.safetensors"
    ).read_bytes()


def test_validation_samples_are_not_looked_at(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sparsenn import pruning

    seen: list[np.ndarray] = []

    def spy(model: Any, loss: Any, batches: Any, density: float, **more: Any) -> Any:
        seen.extend(x for x, _ in batches)
        return pruning.magnitude(model, density, keep_dense=more["keep_dense"])

    monkeypatch.setattr(pruning, "snip", spy)
    given = {"init": "snip", "val_fraction": 0.5, "init_batches": 9, "arch": "6-20-3",
             "init_batch_size": 8}  # fmt: skip
    prepare(make_config(str(small), given, {}))
    assert [len(x) for x in seen] == [8, 8, 8, 6]  # all of the 30 that are learned


def test_turns_of_classes() -> None:
    y = np.array([0, 0, 0, 1, 2, 2, 0, 1])
    order = np.arange(8)[::-1]
    assert _balanced(order, y, 3).tolist() == [6, 7, 5, 2, 3, 4, 1, 0]
