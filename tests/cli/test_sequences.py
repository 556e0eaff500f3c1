"""Sequences through the command line: recurrent models by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sparsenn.cli import main
from sparsenn.export.model import load


@pytest.fixture
def sequences(tmp_path: Path) -> str:
    """The class is the feature that is largest on average."""
    rng = np.random.default_rng(0)
    lines = ["@data"]
    for i in range(90):
        x = 0.3 * rng.standard_normal((3, rng.integers(2, 8)))
        x[i % 3] += 1
        rows = [",".join(f"{v:.4f}" for v in row) for row in x]
        lines.append(":".join([*rows, "abc"[i % 3]]))
    path = tmp_path / "toy.ts"
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def result(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert main([*words, "--json", "--quiet"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


OPTIONS = ["--optimizer", "adam", "--lr", "0.02", "--batch-size", "16"]


@pytest.mark.parametrize("arch", [None, "lstm:2x8", "birnn:8"])
def test_train_evaluate_prune_and_inspect(
    arch: str | None,
    sequences: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = str(tmp_path / "run")
    named = [] if arch is None else ["--arch", arch]
    words = ["train", sequences, *named, *OPTIONS, "--epochs", "15", "--out", out]
    words += ["--method", "rigl", "--density", "0.3"]
    trained = result(capsys, *words)
    assert trained["arch"] == (arch or "gru:128")
    assert trained["accuracy"] > 0.8
    positions = sum(np.prod(layer["shape"]) for layer in trained["layers"])
    assert trained["nnz"] == round(0.3 * positions)
    measured = result(capsys, "evaluate", out)
    assert measured["accuracy"] == trained["accuracy"]
    assert result(capsys, "inspect", out)["nnz"] == trained["nnz"]
    thin = str(tmp_path / "thin")
    words = ["prune", out, "--density", "0.2", "--finetune-epochs", "2", "--out", thin]
    assert result(capsys, *words)["pruned"]["nnz"] == round(0.2 * positions)
    assert result(capsys, "evaluate", thin)["accuracy"] > 0.8


@pytest.mark.parametrize("init", ["uniform", "snip", "grasp", "magnitude"])
def test_starts(
    init: str, sequences: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", sequences, "--arch", "gru:8", *OPTIONS, "--epochs", "2"]
    words += ["--method", "static", "--init", init, "--density", "0.3"]
    trained = result(capsys, *words, "--out", str(tmp_path / "run"))
    assert trained["nnz"] == round(0.3 * (24 * 3 + 24 * 8 + 3 * 8))


@pytest.mark.parametrize(
    ("data", "arch", "message"),
    [
        ("digits", "gru:8", "takes sequences and text, the data has rows of 64"),
        ("sequences", "3-8-3", "the data has steps of 3 features; use gru:128"),
        ("sequences", "resnet20", "takes images, the data has steps of 3 features"),
        ("sequences", "gru:0", "is not understood"),
    ],
)
def test_architectures_that_do_not_fit(
    data: str,
    arch: str,
    message: str,
    sequences: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = sequences if data == "sequences" else data
    out = str(tmp_path / "run")
    assert main(["train", given, "--arch", arch, "--out", out]) == 2
    assert message in capsys.readouterr().err


def test_a_model_of_rows_says_that_it_takes_no_sequences(
    sequences: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text(
        "".join(f"{i % 7},{i % 5},{i % 3},{'abc'[i % 3]}\n" for i in range(60))
    )
    out = str(tmp_path / "run")
    words = ["train", str(rows), "--arch", "3-8-3", "--epochs", "1", "--quiet"]
    assert main([*words, "--out", out]) == 0
    assert main(["evaluate", out, sequences]) == 2
    assert "takes no sequences" in capsys.readouterr().err


@pytest.mark.parametrize("arch", ["gru:8", "bilstm:2x4"])
def test_shuffled_connections_keep_to_inputs_that_vary(
    arch: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    lines = ["@data"]
    for i in range(12):
        x = rng.standard_normal((3, 4))
        x[1] = 0.5  # the second feature says nothing
        lines.append(":".join([*(",".join(map(str, row)) for row in x), "ab"[i % 2]]))
    path = tmp_path / "still.ts"
    path.write_text("\n".join(lines) + "\n")
    words = ["train", str(path), "--arch", arch, "--density", "0.3", "--epochs", "1"]
    words += ["--method", "static", "--init-control", "shuffle-inputs"]
    result(capsys, *words, "--out", str(tmp_path / "run"))
    layer = load(tmp_path / "run/model.safetensors")[0]
    entered = [p for name, p in layer.named_parameters() if "weight_ih_l0" in name]
    assert len(entered) == (2 if arch.startswith("bi") else 1)
    for weight in entered:
        connected = (weight.to_scipy().toarray() != 0).any(0)
        assert connected.tolist() == [True, False, True]
