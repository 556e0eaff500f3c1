"""Text from a saved model through the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sparsenn import models
from sparsenn.export.model import save

LINE = "sum, ok?\n"  # no character twice


def test_it_goes_on_with_what_it_learned(tmp_path: Path, cli: Callable) -> None:
    path = tmp_path / "lines.txt"
    path.write_text(LINE * 200)
    words = ("--arch", "gpt:1x16", "--method", "static", "--density", 0.5)
    words += ("--context", 16, "--epochs", 12, "--optimizer", "adamw", "--lr", 0.02)
    cli("train", path, *words, "--batch-size", 8, "--out", "run", "--quiet", "--json")
    likeliest = ("generate", "run", "--temperature", 0, "--n", len(LINE))
    found = cli(*likeliest, "--json").json
    assert found["prompt"] == "\n" and found["text"] == LINE
    assert cli(*likeliest, "--prompt", "sum").out == "sum, ok?\nsum\n"
    drawn = ("generate", "run", "--n", 30, "--top-k", 3, "--temperature", 2)
    texts = [cli(*drawn, "--seed", s, "--json").json["text"] for s in (0, 0, 1)]
    assert texts[0] == texts[1] != texts[2] and len(texts[0]) == 30


def test_bad_words(tmp_path: Path, cli: Callable) -> None:
    rows, text = tmp_path / "rows.safetensors", tmp_path / "text.safetensors"
    save(models.mlp([4, 3], seed=0), rows)
    assert "was not trained on text" in cli("generate", rows).failed_with(2)
    save(models.gpt(2, 4, 1, 8, seed=0), text)
    assert "does not hold its characters" in cli("generate", text).failed_with(2)
    save(models.gpt(2, 4, 1, 8, seed=0), text, extra={"classes": ["a", "b"]})
    assert len(cli("generate", text, "--n", 3, "--json").json["text"]) == 3
    for words, message in (
        (("--prompt", "abc"), "--prompt has the character 'c'"),
        (("--prompt", ""), "--prompt is empty"),
        (("--n", 0), "--n must be at least 1"),
        (("--temperature", -1), "--temperature must be at least 0"),
        (("--top-k", 0), "--top-k must be at least 1"),
    ):
        assert message in cli("generate", text, *words).failed_with(2)
