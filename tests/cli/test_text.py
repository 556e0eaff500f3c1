"""Text through the command line: language models by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sparsenn import models
from sparsenn.export.model import save

LINES = "the cat sat on the mat; the dog sat on the cat; "
OPTIONS = ("--context", 16, "--optimizer", "adamw", "--lr", 0.02, "--batch-size", 8)
OPTIONS += ("--quiet", "--json")


@pytest.fixture
def text(tmp_path: Path) -> str:
    path = tmp_path / "lines.txt"
    path.write_text(LINES * 40)
    return str(path)


@pytest.mark.parametrize("arch", ["gpt:1x16", "gru:16"])
def test_train_evaluate_prune_and_inspect(arch: str, text: str, cli: Callable) -> None:
    words = ("--arch", arch, "--method", "rigl", "--density", 0.4, "--epochs", 6)
    trained = cli("train", text, *words, *OPTIONS, "--out", "run").json
    assert trained["arch"] == arch and trained["accuracy"] > 0.5
    positions = sum(a * b for a, b in (layer["shape"] for layer in trained["layers"]))
    assert trained["nnz"] == round(0.4 * positions)
    measured = cli("evaluate", "run", "--json").json
    assert measured["accuracy"] == trained["accuracy"]
    windows = measured["samples"]
    # The same text in shorter windows, from the model file alone.
    model = "run/model.safetensors"
    measured = cli("evaluate", model, text, "--context", 8, "--json").json
    assert measured["samples"] >= 2 * windows and measured["accuracy"] > 0.5
    assert cli("inspect", "run", "--json").json["nnz"] == trained["nnz"]
    thin = ("--density", 0.3, "--finetune-epochs", 2, "--quiet", "--json")
    pruned = cli("prune", "run", *thin, "--out", "thin").json
    assert pruned["pruned"]["nnz"] == round(0.3 * positions)
    assert cli("evaluate", "thin", "--json").json["accuracy"] > 0.5
    table = cli("sensitivity", "run", "--sparsities", "0.5,0.9", "--json", "--quiet")
    assert table.json["baseline"] == trained["accuracy"]


@pytest.mark.parametrize("init", ["uniform", "snip", "grasp", "magnitude", "synflow"])
@pytest.mark.parametrize("arch", [None, "lstm:8"])
def test_starts(init: str, arch: str | None, text: str, cli: Callable) -> None:
    named = ("--arch", arch) if arch else ()
    words = ("--method", "static", "--init", init, "--density", 0.3, "--epochs", 1)
    words += ("--init-batch-size", 4) if init in ("snip", "grasp") else ()
    trained = cli("train", text, *named, *words, *OPTIONS, "--out", "run").json
    positions = sum(a * b for a, b in (layer["shape"] for layer in trained["layers"]))
    assert trained["nnz"] == round(0.3 * positions)
    assert trained["arch"] == (arch or "gpt:2x128")


def test_a_sweep(text: str, cli: Callable) -> None:
    words = ("--archs", "gpt:1x8,gru:8", "--methods", "static,set", "--seeds", 1)
    words += (*OPTIONS, "--density", 0.5, "--epochs", 1, "--jobs", 1, "--out", "s")
    assert len(cli("sweep", text, *words).json["groups"]) == 4


@pytest.mark.parametrize(
    ("data", "arch", "message"),
    [
        ("digits", "gpt:1x8", "takes text, the data has rows of 64 features"),
        ("text", "16-8-10", "the data has text in windows of 16 tokens; use gru:128"),
        ("text", "resnet20", "takes images, the data has text in windows"),
        ("text", "bigru:8", "would see the tokens that it is to predict"),
    ],
)
def test_architectures_that_do_not_fit(
    data: str, arch: str, message: str, text: str, cli: Callable
) -> None:
    given = text if data == "text" else data
    found = cli("train", given, "--arch", arch, "--context", 16, "--out", "run")
    assert message in found.failed_with(2)


def test_other_texts_and_other_data(text: str, tmp_path: Path, cli: Callable) -> None:
    words = ("--arch", "gpt:1x8", "--density", 0.5, "--epochs", 1)
    cli("train", text, *words, *OPTIONS, "--out", "run")
    other = tmp_path / "other.txt"
    other.write_text("A cat. " * 30)
    message = cli("evaluate", "run", other).failed_with(2)
    assert "has the character '.', which is not one of the" in message
    save(models.gpt(13, 16, 1, 8, seed=0), "nameless.safetensors")
    message = cli("evaluate", "nameless.safetensors", "digits").failed_with(2)
    assert "takes text, digits is none" in message
    longer = cli("evaluate", "run", text, "--context", 32).failed_with(2)
    assert "at most 16 positions" in longer
    short = tmp_path / "short.txt"
    short.write_text("abc" * 9)
    message = cli("train", short, "--out", "other").failed_with(2)
    assert "too few for a window of 128" in message
