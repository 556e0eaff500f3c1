"""`sparsenn demo`, `evaluate`, `inspect` and `doctor`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sparsenn
from sparsenn.export.safetensors import read, write

Cli = Callable[..., Any]


@pytest.fixture
def run(cli: Cli, small: Path) -> Path:
    """A finished run."""
    words = ("--arch", "6-12-3", "--epochs", 2, "--keep-dense", "last")
    out = small.parent / "run"
    outcome = cli("train", small, *words, "--density", 0.6, "--out", out, "--quiet")
    assert outcome.status == 0
    return out


def test_evaluate_repeats_what_training_measured(
    cli: Cli, run: Path, small: Path
) -> None:
    row = json.loads((run / "history.json").read_text())["epochs"][-1]
    for words in ((run,), (run, small), (run / "model.safetensors", small)):
        found = cli("evaluate", *words, "--json").json
        assert found["accuracy"] == row["test_accuracy"]
        assert found["loss"] == row["test_loss"] and found["samples"] == 30
    assert cli("evaluate", run, "--part", "train", "--json").json["samples"] == 60
    both = [cli("evaluate", run, "--part", p, "--json").json for p in ("test", "train")]
    every = cli("evaluate", run, "--part", "all", "--json").json
    n = every["samples"]
    assert n == sum(one["samples"] for one in both)
    for key in ("accuracy", "loss"):
        mean = sum(one[key] * one["samples"] for one in both) / n
        assert every[key] == pytest.approx(mean, rel=1e-12)
    assert "test accuracy" in cli("evaluate", run).out
    line = cli("evaluate", run / "model.safetensors").failed_with(2)
    assert "DATA is missing" in line


def test_evaluate_knows_words_for_classes(cli: Cli, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    words = ["ant", "bee", "cat"]
    lines = [
        ",".join([*(f"{v:.3f}" for v in rng.normal(i % 3, 0.3, 4)), words[i % 3]])
        for i in range(60)
    ]
    (tmp_path / "all.csv").write_text("\n".join(lines) + "\n")
    cli("train", "all.csv", "--arch", "4-9-3", "--epochs", 2, "--out", "r", "--quiet")
    # Without "ant", a fresh numbering would call "bee" class 0.
    some = [line for line in lines if not line.endswith("ant")]
    (tmp_path / "some.csv").write_text("\n".join(some) + "\n")
    outcome = cli("evaluate", "r", "some.csv", "--json")
    assert outcome.status == 0, outcome.err


def test_inspect(cli: Cli, run: Path) -> None:
    found = cli("inspect", run, "--json").json
    assert found["kind"] == "model" and found["scaling"] == "unit"
    assert found["nnz"] == sum(layer["nnz"] for layer in found["layers"]) == 65
    arrays, _ = read(run / "model.safetensors")
    first, last = found["layers"]
    values = arrays["0.weight.values"].astype(np.float64)
    assert first["mean"] == values.mean() and first["max"] == values.max()
    assert first["bytes"] == 8 * values.size + 4 * 13
    assert last["full"] and last["density"] == 1.0 and last["bytes"] == 4 * 36
    assert {tensor["name"] for tensor in found["tensors"]} == {"0.bias", "2.bias"}
    text = cli("inspect", run, "--check").out
    assert "65 of 108 weights exist (60.19 %)" in text and "checked" in text
    assert cli("inspect", run / "checkpoint.safetensors", "--json").json["kind"] == (
        "checkpoint"
    )


def test_layers_are_in_the_order_of_the_network(cli: Cli, small: Path) -> None:
    words = ("--arch", "6-9-8-7-6-5-4-3", "--epochs", 1, "--out", "deep", "--quiet")
    assert cli("train", small, *words).status == 0
    layers = cli("inspect", "deep", "--json").json["layers"]
    assert [layer["name"] for layer in layers] == [
        f"{number}.weight" for number in range(0, 14, 2)
    ]
    assert cli("evaluate", "deep", small).status == 0


def test_inspect_check_finds_values_that_are_not_finite(cli: Cli, run: Path) -> None:
    path = run / "model.safetensors"
    arrays, metadata = read(path)
    arrays["0.bias"][2] = np.nan
    write(path, arrays, metadata)
    found = cli("inspect", path, "--json").json
    assert found["tensors"][0]["not_finite"] == 1
    line = cli("inspect", path, "--check").failed_with(2)
    assert "0.bias has 1 values that are not finite" in line


def test_unfinished_run_says_what_to_do(cli: Cli, run: Path) -> None:
    (run / "model.safetensors").unlink()
    line = cli("inspect", run).failed_with(2)
    assert "training has not finished" in line and "--resume" in line


def test_demo(cli: Cli, tmp_path: Path, pictures: None) -> None:
    outcome = cli("demo", "--epochs", 2, "--out", "d")
    assert outcome.status == 0
    rows = [line.split() for line in outcome.out.splitlines()]
    assert [row[0] for row in rows if row and row[0] in ("dense", "static", "SET")] == [
        "dense",
        "static",
        "SET",
    ]
    for name in ("dense", "static", "set"):
        model = sparsenn.load(tmp_path / "d" / f"{name}.safetensors")
        assert not model.training
    document = json.loads((tmp_path / "d/demo.json").read_text())
    nnz = {name: row["nnz"] for name, row in document["networks"].items()}
    assert nnz["static"] == nnz["set"] < nnz["dense"] / 10
    if document["picture"]:
        assert (tmp_path / "d/demo.png").read_bytes().startswith(b"\x89PNG")


def test_demo_json(cli: Cli) -> None:
    found = cli("demo", "--epochs", 1, "--out", "d", "--json", "--quiet").json
    assert set(found["networks"]) == {"dense", "static", "set"}
    assert {"seconds", "peak_rss_bytes", "seed"} <= set(found)


def test_doctor(cli: Cli) -> None:
    found = cli("doctor", "--json").json
    assert found["sparsenn"] == sparsenn.__version__
    assert found["isa"] in found["available_isas"]
    assert "num_threads" in cli("doctor").out


@pytest.mark.parametrize("command", ["", "demo", "train", "evaluate", "inspect"])
def test_help_and_version(cli: Cli, command: str) -> None:
    words = [command] if command else []
    outcome = cli(*words, "--help")
    assert outcome.status == 0 and "usage: sparsenn" in outcome.out
    if command:
        assert "--json" in outcome.out
    assert cli("--version").out == f"sparsenn {sparsenn.__version__}\n"


def test_bugs_are_exit_status_1(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    from sparsenn.cli import doctor

    def broken(args: object) -> int:
        raise RuntimeError("two\nlines")

    monkeypatch.setattr(doctor, "run", broken)
    line = cli("doctor").failed_with(1)
    assert line.startswith("sparsenn doctor: error: RuntimeError: two lines")
    monkeypatch.setenv("SPARSENN_DEBUG", "1")
    with pytest.raises(RuntimeError):
        cli("doctor")
