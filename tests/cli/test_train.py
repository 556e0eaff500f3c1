"""`sparsenn train`: what it promises about results, files and resuming."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import sparsenn
from sparsenn.export.model import read_model
from sparsenn.topology import METHODS

Cli = Callable[..., Any]
QUICK = ("--arch", "6-20-10-3", "--epochs", 2, "--batch-size", 16, "--density", 0.3)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_json_contract(cli: Cli, small: Path) -> None:
    result = cli("train", small, *QUICK, "--out", "a", "--json").json
    promised = {
        "accuracy", "loss", "nnz", "density", "epochs", "seconds", "train_flops",
        "peak_rss_bytes", "seed", "layers",
    }  # fmt: skip
    assert promised <= set(result)
    assert 0 <= result["accuracy"] <= 1 and result["epochs"] == 2
    assert result["nnz"] == round(0.3 * (120 + 200 + 30))
    assert result["nnz"] == sum(layer["nnz"] for layer in result["layers"])
    assert [layer["shape"] for layer in result["layers"]] == [
        [20, 6],
        [10, 20],
        [3, 10],
    ]
    for layer in result["layers"]:
        assert set(layer) == {"name", "shape", "nnz", "density"}
    assert result["peak_rss_bytes"] > 10_000_000


def test_run_directory(cli: Cli, small: Path, tmp_path: Path) -> None:
    outcome = cli("train", small, *QUICK, "--out", "a")
    assert outcome.status == 0
    assert "test accuracy" in outcome.out and "epoch 2/2" in outcome.err
    files = {path.name for path in (tmp_path / "a").iterdir()}
    assert {
        "model.safetensors", "checkpoint.safetensors", "config.toml", "history.json",
    } <= files  # fmt: skip
    config = tomllib.loads((tmp_path / "a/config.toml").read_text())
    assert config["arch"] == "6-20-10-3" and config["data"] == str(small)
    history = json.loads((tmp_path / "a/history.json").read_text())
    assert [row["epoch"] for row in history["epochs"]] == [1, 2]
    file = read_model(tmp_path / "a/model.safetensors")
    assert file.scaling.kind == "unit" and file.extra["classes"] == ["0", "1", "2"]


def test_pictures(cli: Cli, tmp_path: Path, pictures: None) -> None:
    words = ("--arch", "64-20-10", "--epochs", 1, "--out", "a", "--quiet")
    assert cli("train", "digits", *words).status == 0
    for name in ("accuracy.png", "layers.png", "inputs.png"):
        assert (tmp_path / "a" / name).read_bytes().startswith(b"\x89PNG")


def test_default_directory_is_numbered(cli: Cli, small: Path, tmp_path: Path) -> None:
    for _ in range(2):
        assert cli("train", small, *QUICK, "--seed", 4).status == 0
    names = sorted(path.name for path in (tmp_path / "runs").iterdir())
    assert names == ["small-set-seed4", "small-set-seed4-2"]


def test_quiet_prints_no_progress(cli: Cli, small: Path) -> None:
    outcome = cli("train", small, *QUICK, "--out", "a", "--quiet")
    assert outcome.err == "" and "test accuracy" in outcome.out


def test_dense_warns_about_a_density(cli: Cli, small: Path) -> None:
    outcome = cli("train", small, *QUICK, "--method", "dense", "--out", "a", "--json")
    assert "warning: method dense trains every weight; density 0.3" in outcome.err
    assert outcome.json["density"] == 1.0
    words = ("--arch", "6-4-3", "--epochs", 1, "--method", "dense", "--out", "b")
    assert "warning" not in cli("train", small, *words).err


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (
            ("--method", "static", "--drop-fraction", 0.5),
            "static does not read --drop-frac",
        ),
        (
            ("--method", "dense", "--update-every", 2),
            "dense does not read --update-every",
        ),
        (("--optimizer", "adam", "--momentum", 0.5), "adam has no --momentum"),
        (("--method", "rigl", "--drop-mode", "sign"), "rigl does not read --drop-mode"),
        (("--method", "set", "--cs-start", 1), "set does not read --cs-start"),
        (("--method", "gmp", "--init", "er"), "--init er is ignored"),
        (("--method", "cs", "--density", 0.2), "density 0.2 is ignored"),
    ],
)
def test_options_that_nobody_reads_are_told(
    cli: Cli, small: Path, words: tuple[Any, ...], text: str
) -> None:
    base = ("--arch", "6-4-3", "--epochs", 1, "--batch-size", 10)
    assert text in cli("train", small, *base, *words, "--out", "a").err
    again = cli("train", "--config", "a/config.toml", "--out", "b")
    assert "ignored" not in again.err


def test_a_layer_without_connections_is_told(cli: Cli, small: Path) -> None:
    words = ("--arch", "6-40-40-3", "--epochs", 1, "--density", 0.0005, "--out", "a")
    outcome = cli("train", small, *words)
    assert outcome.status == 0
    assert "warning: no connection in " in outcome.err


@pytest.mark.parametrize("method", list(METHODS))
def test_every_method_reaches_its_density(cli: Cli, small: Path, method: str) -> None:
    words = (*QUICK, "--method", method, "--out", "a", "--exploration", "yes", "--json")
    result = cli("train", small, *words, "--quiet").json
    asked = round(0.3 * 350)
    if method in ("dense", "cs"):
        assert result["nnz"] == 350 or method == "cs"
    elif method == "srigl":
        assert 0.5 * asked <= result["nnz"] <= asked
    else:
        assert result["nnz"] == asked
    assert result["nnz"] / 350 <= result["exploration"] <= 1
    if method == "static":
        assert result["exploration"] == result["density"]


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ("snfs", ("--growth", "random")),
        ("granet", ("--scope", "uniform")),
        ("rigl", ("--protect", 2)),
        ("cs", ("--cs-mode", "ticket")),
        ("cs", ("--cs-start", -0.5, "--cs-penalty", 0.1)),
    ],
)
def test_options_of_methods_reach_the_run(
    cli: Cli, small: Path, method: str, words: tuple[Any, ...]
) -> None:
    base = (*QUICK, "--method", method, "--epochs", 6, "--json", "--quiet")
    plain = cli("train", small, *base, "--out", "a").json
    assert (
        cli("train", small, *base, *words, "--out", "b").json["loss"] != plain["loss"]
    )


def test_growth_that_a_method_does_not_have(cli: Cli, small: Path) -> None:
    words = ("--method", "granet", "--growth", "flow", "--out", "a")
    assert "growth must be one of" in cli("train", small, *QUICK, *words).failed_with(2)


def test_sparsity_is_one_minus_density(cli: Cli, small: Path, tmp_path: Path) -> None:
    words = ("--arch", "6-20-3", "--epochs", 1, "--quiet")
    cli("train", small, *words, "--sparsity", "0.9", "--out", "a")
    cli("train", small, *words, "--density", "0.1", "--out", "b")
    assert (tmp_path / "a/config.toml").read_text() == (
        tmp_path / "b/config.toml"
    ).read_text()


def test_keep_dense(cli: Cli, small: Path) -> None:
    words = (*QUICK, "--density", 0.6, "--out", "a", "--json", "--keep-dense", "last,0")
    layers = cli("train", small, *words).json["layers"]
    assert [layer["density"] == 1 for layer in layers] == [True, False, True]


@pytest.mark.parametrize(
    "words",
    [
        ("--method", "static"),
        ("--optimizer", "adam", "--schedule", "step"),
        ("--optimizer", "adamw", "--schedule", "linear", "--weight-decay", 0.1),
        ("--dtype", "float64", "--schedule", "constant", "--clip", 1.0),
        ("--drop-mode", "magnitude", "--update-every", 3, "--newborn", "resample"),
        ("--drop-mode", "article", "--drop-fraction", 0.5, "--init", "er"),
        ("--init", "uniform", "--scale", "standard", "--dropout", 0.1),
        ("--scale", "none", "--activation", "all-relu"),
    ],
)
def test_options_reach_the_run(cli: Cli, small: Path, words: tuple[Any, ...]) -> None:
    plain = cli("train", small, *QUICK, "--out", "a", "--json").json
    other = cli("train", small, *QUICK, *words, "--out", "b", "--json").json
    assert other["nnz"] == plain["nnz"]
    assert other["loss"] != plain["loss"]
    again = cli("evaluate", "b", small, "--json").json
    assert again["loss"] == other["loss"] and again["accuracy"] == other["accuracy"]


def test_validation_reports_the_best_epoch(
    cli: Cli, small: Path, tmp_path: Path
) -> None:
    words = (*QUICK, "--epochs", 6, "--lr", 0.3, "--val-fraction", 0.3, "--seed", 2)
    result = cli("train", small, *words, "--out", "a", "--json").json
    rows = json.loads((tmp_path / "a/history.json").read_text())["epochs"]
    best = max(rows, key=lambda row: row["val_accuracy"])
    assert result["epoch"] == best["epoch"] < 6  # else this test shows nothing
    assert result["accuracy"] == best["test_accuracy"]
    assert result["val_accuracy"] == best["val_accuracy"]
    assert cli("evaluate", "a", "--json").json["loss"] == best["test_loss"]


@pytest.mark.parametrize("method", ["set", "dense"])
def test_same_bytes_for_any_number_of_threads(
    cli: Cli, tmp_path: Path, method: str
) -> None:
    # Large enough that the products are shared out between threads.
    words = ("--arch", "64-1200-600-10", "--epochs", 2, "--method", method, "--quiet",
             "--batch-size", 256)  # fmt: skip
    if method == "set":
        words = (*words, "--density", 0.1, "--keep-dense", "last")
    before = sparsenn.get_num_threads()
    for n in (1, 2):
        assert cli("train", "digits", *words, "--threads", n, "--out", n).status == 0
    assert sparsenn.get_num_threads() == before
    digests = {sha256(tmp_path / str(n) / "model.safetensors") for n in (1, 2)}
    assert len(digests) == 1


def test_config_file_repeats_a_run(cli: Cli, small: Path, tmp_path: Path) -> None:
    cli("train", small, *QUICK, "--seed", 5, "--out", "a", "--quiet")
    cli("train", "--config", "a/config.toml", "--out", "b", "--quiet")
    words = ("--config", "a/config.toml", "--seed", 6)
    cli("train", *words, "--out", "c", "--quiet")
    a, b, c = (sha256(tmp_path / name / "model.safetensors") for name in "abc")
    assert a == b != c


def test_resume_of_a_finished_run_changes_nothing(
    cli: Cli, small: Path, tmp_path: Path
) -> None:
    first = cli("train", small, *QUICK, "--out", "a", "--json").json
    digest = sha256(tmp_path / "a/model.safetensors")
    (tmp_path / "a/model.safetensors").unlink()
    again = cli("train", "--resume", "a", "--json").json
    assert sha256(tmp_path / "a/model.safetensors") == digest
    assert {k: again[k] for k in ("accuracy", "loss", "train_flops", "epochs")} == {
        k: first[k] for k in ("accuracy", "loss", "train_flops", "epochs")
    }


def test_resume_sweeps_up_after_a_kill(cli: Cli, small: Path, tmp_path: Path) -> None:
    cli("train", small, *QUICK, "--out", "a", "--quiet")
    (tmp_path / "a/.checkpoint.safetensors.0123.tmp").write_bytes(b"half")
    (tmp_path / "a/.mine.tmp").write_bytes(b"mine")
    assert cli("train", "--resume", "a", "--quiet").status == 0
    assert [path.name for path in (tmp_path / "a").glob(".*")] == [".mine.tmp"]


def test_resume_begins_what_was_not_begun(
    cli: Cli, small: Path, tmp_path: Path
) -> None:
    cli("train", small, *QUICK, "--out", "a", "--quiet")
    assert cli("train", small, *QUICK, "--out", "b", "--resume", "--quiet").status == 0
    # Killed before the first checkpoint: only the settings are there.
    (tmp_path / "c").mkdir()
    text = (tmp_path / "a/config.toml").read_text()
    (tmp_path / "c/config.toml").write_text(text)
    assert cli("train", "--resume", "c", "--quiet").status == 0
    digests = {sha256(tmp_path / name / "model.safetensors") for name in "abc"}
    assert len(digests) == 1


def test_resume_with_other_settings_is_refused(cli: Cli, small: Path) -> None:
    cli("train", small, *QUICK, "--out", "a", "--quiet")
    outcome = cli("train", small, "--out", "a", "--resume", "--epochs", 3, "--lr", 0.1)
    line = outcome.failed_with(2)
    assert "cannot resume with other settings" in line
    assert "epochs 3 (the run has 2)" in line and "lr 0.1 (the run has 0.05)" in line


def test_overwrite_starts_anew(cli: Cli, small: Path, tmp_path: Path) -> None:
    cli("train", small, *QUICK, "--out", "a", "--quiet")
    (tmp_path / "a/notes.txt").write_text("mine")
    line = cli("train", small, *QUICK, "--out", "a").failed_with(2)
    assert "already holds a run" in line and "--overwrite" in line
    words = ("--out", "a", "--overwrite", "--seed", 1, "--json")
    assert cli("train", small, *QUICK, *words).json["seed"] == 1
    assert (tmp_path / "a/notes.txt").read_text() == "mine"


def test_loss_that_explodes_is_exit_status_1(
    cli: Cli, small: Path, tmp_path: Path
) -> None:
    words = ("--lr", 1e30, "--schedule", "constant", "--quiet", "--out", "a")
    line = cli("train", small, *QUICK, *words).failed_with(1)
    assert "the loss became" in line and "lower learning rate" in line
    assert not (tmp_path / "a/model.safetensors").exists()
