"""`sparsenn prune` and `sparsenn sensitivity` on a small trained run."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sparsenn.export.model import load, save

Cli = Callable[..., Any]
TRAIN = ("--arch", "6-20-10-3", "--epochs", 4, "--batch-size", 16, "--lr", 0.2)


@pytest.fixture
def trained(cli: Cli, small: Path) -> str:
    """A dense run, of 350 weights."""
    words = (*TRAIN, "--method", "dense", "--out", "run", "--quiet")
    assert cli("train", small, *words).status == 0
    return "run"


@pytest.mark.parametrize("method", ["magnitude", "lamp", "wanda", "random"])
def test_density_is_met(cli: Cli, trained: str, tmp_path: Path, method: str) -> None:
    words = ("--method", method, "--density", 0.3, "--out", "p.safetensors")
    result = cli("prune", trained, *words, "--json").json
    assert result["before"]["nnz"] == 350 and result["pruned"]["nnz"] == 105
    model = load(tmp_path / "p.safetensors")
    assert sum(p.nnz for p in model.chain()) == 105
    # What is measured is the file's.
    again = cli("evaluate", "p.safetensors", "small.npz", "--json").json
    assert again["accuracy"] == result["pruned"]["accuracy"]
    kept = load(tmp_path / "p.safetensors").chain()[0].to_scipy()
    full = load(tmp_path / "run/model.safetensors").chain()[0].to_scipy().toarray()
    np.testing.assert_array_equal(kept.data, full[kept.nonzero()])


def test_n_of_m(cli: Cli, trained: str, tmp_path: Path) -> None:
    for method in ("2:4", "wanda-2:4"):
        words = ("--method", method, "--out", "p.safetensors", "--keep-dense", "last")
        assert cli("prune", trained, *words, "--samples", 20).status == 0
        weights = load(tmp_path / "p.safetensors").chain()
        assert weights[2].pattern.is_full
        mask = weights[1].to_scipy().toarray() != 0  # of shape (10, 20)
        assert (mask.reshape(10, 5, 4).sum(2) == 2).all()


def test_fine_tuning_is_a_run(cli: Cli, trained: str, tmp_path: Path) -> None:
    words = ("--method", "lamp", "--sparsity", 0.8, "--finetune-epochs", 3)
    result = cli("prune", trained, *words, "--out", "tuned", "--json", "--quiet").json
    assert result["nnz"] == 70 and result["epochs"] == 3
    assert result["accuracy"] == cli("evaluate", "tuned", "--json").json["accuracy"]
    digest = (tmp_path / "tuned/model.safetensors").read_bytes()
    patterns = [p.pattern for p in load(tmp_path / "tuned/model.safetensors").chain()]
    cli("prune", trained, *words[:4], "--out", "p.safetensors", "--quiet")
    for pattern, weight in zip(
        patterns, load(tmp_path / "p.safetensors").chain(), strict=True
    ):
        np.testing.assert_array_equal(pattern.indices, weight.pattern.indices)
    # It goes on, also from before its first step, with the network that was pruned.
    (tmp_path / "tuned/model.safetensors").unlink()
    assert cli("train", "--resume", "tuned", "--quiet").status == 0
    assert (tmp_path / "tuned/model.safetensors").read_bytes() == digest
    assert "already holds a run" in cli("prune", trained, *words, "--out", "tuned").err


def test_a_file_without_a_run(cli: Cli, trained: str, small: Path) -> None:
    words = ("--density", 0.5, "--method", "lamp", "--json")
    found = cli("prune", "run/model.safetensors", *words, "--out", "a.safetensors").json
    assert found["pruned"]["accuracy"] is None and found["data"] is None
    words = (*words, "--finetune-epochs", 1, "--lr", 0.1, "--out", "b", "--quiet")
    assert "DATA is missing" in cli("prune", "a.safetensors", *words).failed_with(2)
    assert cli("prune", "a.safetensors", small, *words).json["nnz"] == 175


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ((), "--density is missing"),
        (("--density", 0.5, "--sparsity", 0.5), "not both"),
        (("--density", 0.5, "--method", "nothing"), "--method must be one of"),
        (("--density", 0.5, "--method", "snip"), "before training: train --init snip"),
        (("--density", 0.5, "--method", "2:4"), "has its own density"),
        (("--method", "5:4"), "1 <= N <= M"),
        (("--density", 0.5, "--method", "wanda", "--samples", 0), "--samples must be"),
        (("--density", 0.1, "--method", "lamp", "--keep-dense", "1"), "raise the den"),
        (("--density", 0.1, "--method", "lamp", "--keep-dense", "7"), "numbered 0..2"),
    ],
)
def test_bad_prunings_write_nothing(
    cli: Cli, trained: str, tmp_path: Path, words: tuple[Any, ...], text: str
) -> None:
    line = cli("prune", trained, *words, "--out", "p.safetensors").failed_with(2)
    assert text in line and not (tmp_path / "p.safetensors").exists()


def test_sensitivity(cli: Cli, trained: str, tmp_path: Path) -> None:
    words = ("--sparsities", "0,0.5,1", "--json")
    result = cli("sensitivity", trained, *words).json
    assert result["blocks"] == ["0.weight", "2.weight", "4.weight"]
    whole = cli("evaluate", trained, "--json").json["accuracy"]
    assert result["baseline"] == whole
    assert [row[0] for row in result["values"]] == [whole] * 3
    # Without a layer the output does not depend on the input: one class of three.
    assert [row[2] for row in result["values"]] == [pytest.approx(1 / 3)] * 3
    saved = json.loads((tmp_path / "run/sensitivity.json").read_text())
    assert saved["values"] == result["values"]
    with (tmp_path / "run/sensitivity.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 12
    blocks = ("--blocks", "first=0;rest=1,last", "--sparsities", "0.5", "--out", "s")
    told = cli("sensitivity", trained, *blocks)
    assert "rest" in told.out and (tmp_path / "s/sensitivity.csv").exists()


def test_heatmap(cli: Cli, trained: str, tmp_path: Path, pictures: None) -> None:
    assert cli("sensitivity", trained, "--sparsities", "0.5").status == 0
    assert (tmp_path / "run/sensitivity.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--sparsities", "a"), "must be numbers"),
        (("--sparsities", "2"), "from 0 to 1"),
        (("--sparsities", ","), "from 0 to 1"),
        (("--blocks", "a"), "NAME=LAYERS"),
        (("--blocks", "a=0;a=1"), "twice"),
        (("--blocks", "a=9"), "numbered 0..2"),
        (("--blocks", ";"), "lists nothing"),
    ],
)
def test_bad_sensitivities(
    cli: Cli, trained: str, words: tuple[str, ...], text: str
) -> None:
    assert text in cli("sensitivity", trained, *words).failed_with(2)


def test_inspect_tells_of_paths(cli: Cli, trained: str, tmp_path: Path) -> None:
    plain = cli("inspect", trained, "--json").json
    assert plain["effective_density"] == 1.0 and plain["collapsed"] is False
    model = load(tmp_path / "run/model.safetensors")
    last = model.chain()[2]
    keep = np.zeros(last.nnz, np.bool_)
    keep[0] = True
    last.replace(last.pattern.with_changes(keep))
    save(model, "thin.safetensors")
    thin = cli("inspect", "thin.safetensors", "--json").json
    assert thin["dead_neurons"] == 9 and 0 < thin["effective_density"] < 0.5
    assert "9 hidden neurons lie on none" in cli("inspect", "thin.safetensors").out
    last.replace(last.pattern.with_changes(np.zeros(1, np.bool_)))
    save(model, "cut.safetensors")
    text = cli("inspect", "cut.safetensors").out
    assert "collapsed: no path leads" in text and "4.weight has none" in text
