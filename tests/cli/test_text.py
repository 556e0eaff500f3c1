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
    ("arch", "message"),
    [
        ("16-8-10", "the data has text in windows of 16 tokens; use gpt:2x128"),
        ("resnet20", "takes images, the data has text in windows"),
        ("bigru:8", "would see the tokens that it is to predict; use gru"),
    ],
)
def test_architectures_that_do_not_fit(
    arch: str, message: str, text: str, cli: Callable
) -> None:
    found = cli("train", text, "--arch", arch, "--context", 16, "--out", "run")
    assert message in found.failed_with(2)


def test_other_data(text: str, cli: Callable) -> None:
    message = cli("train", "digits", "--arch", "gpt:1x8", "--out", "run").failed_with(2)
    assert "takes text, the data has rows of 64 features" in message
    message = cli("train", "digits", "--context", 8, "--out", "run").failed_with(2)
    assert "digits: context is of a text, which this is not" in message
    save(models.gpt(13, 16, 1, 8, seed=0), "text.safetensors")
    save(models.mlp([64, 10], seed=0), "rows.safetensors")
    message = cli("evaluate", "text.safetensors", "digits").failed_with(2)
    assert "text.safetensors takes text, digits is no text" in message
    for missing in ("nowhere.csv", "nowhere.txt", "nowhere"):
        found = cli("evaluate", "rows.safetensors", missing).failed_with(2)
        assert f"{missing}: no " in found
    message = cli("evaluate", "rows.safetensors", text).failed_with(2)
    assert f"takes no text, {text} is one" in message


def test_texts_that_do_not_fit(text: str, tmp_path: Path, cli: Callable) -> None:
    save(models.gpt(13, 16, 1, 8, seed=0), "a.safetensors")
    assert cli("evaluate", "a.safetensors", text, "--json").json["samples"] == 23
    longer = cli("evaluate", "a.safetensors", text, "--context", 32).failed_with(2)
    assert "takes at most 16 characters; use --context 16" in longer
    assert "--context" in cli("evaluate", "a.safetensors", "--context", 0).failed_with(
        2
    )
    short = tmp_path / "short.txt"
    short.write_text("abc" * 9)
    message = cli("train", short, "--out", "run").failed_with(2)
    assert "context is 128, it must lie in 1..21: the training part has 22" in message


def test_a_text_with_other_characters(text: str, tmp_path: Path, cli: Callable) -> None:
    words = ("--arch", "gpt:1x8", "--density", 0.5, "--epochs", 1)
    cli("train", text, *words, *OPTIONS, "--out", "run")
    other = tmp_path / "other.txt"
    other.write_text("A cat. " * 30)
    message = cli("evaluate", "run", other).failed_with(2)
    assert "has the character '.', which is not one of the 13" in message


def test_fine_tuning_remembers_context_and_name(text: str, cli: Callable) -> None:
    words = ("--arch", "gpt:1x16", "--density", 0.5, "--epochs", 2)
    cli("train", text, *words, *OPTIONS, "--out", "run")
    tuned = ("--density", 0.4, "--finetune-epochs", 1, "--context", 8, "--quiet")
    for given in (("run",), ("run/model.safetensors", text)):
        found = cli("prune", *given, *tuned, "--out", "thin", "--json").json
        config = Path("thin/config.toml").read_text()
        assert 'arch = "gpt:1x16"' in config and "context = 8" in config
        again = cli("evaluate", "thin", "--json").json
        assert again["accuracy"] == found["accuracy"]
        for path in Path("thin").iterdir():
            path.unlink()


def test_what_does_nothing_is_told(text: str, cli: Callable) -> None:
    words = ("--arch", "gru:8", "--epochs", 1, "--method", "set", *OPTIONS[:-2])
    told = cli("train", text, *words, "--scale", "none", "--out", "a").err
    assert "warning: text has nothing to scale; --scale none is ignored; " in told
    assert "no update of the topology falls into these " in told
    words += ("--update-every", 2)
    assert "warning" not in cli("train", text, *words, "--out", "b").err


def test_tokens_have_no_constant_inputs(text: str, cli: Callable) -> None:
    words = ("--arch", "gpt:1x16", "--init-control", "shuffle-inputs", "--out", "run")
    told = cli("train", text, *words, *OPTIONS).failed_with(2)
    assert "shuffle-inputs is for rows and sequences of features, got a text" in told
