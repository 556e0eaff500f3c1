"""`sparsenn sweep` and `sparsenn report`: the grid, resuming, and what is written."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sparsenn.cli.errors import UsageError
from sparsenn.cli.grid import Grid, check_seeds, parse_seeds

Cli = Callable[..., Any]
BASE = ("--arch", "6-12-3", "--epochs", 1, "--batch-size", 16)


def models(path: Path) -> dict[str, str]:
    return {
        file.parent.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in path.glob("cells/*/model.safetensors")
    }


def test_a_grid_has_no_cell_twice() -> None:
    values = {
        "method": ["dense", "gmp", "set"],
        "init": ["er", "erk"],
        "density": [0.1, 0.05],
    }
    names = [cell.name for cell in Grid("digits", values, [0, 7]).cells()]
    assert names == [
        "dense-seed0", "dense-seed7",
        "gmp-0.1-seed0", "gmp-0.1-seed7", "gmp-0.05-seed0", "gmp-0.05-seed7",
        "set-er-0.1-seed0", "set-er-0.1-seed7",
        "set-er-0.05-seed0", "set-er-0.05-seed7",
        "set-erk-0.1-seed0", "set-erk-0.1-seed7",
        "set-erk-0.05-seed0", "set-erk-0.05-seed7",
    ]  # fmt: skip


def test_any_option_may_be_listed() -> None:
    values = {"method": ["set"], "lr": [0.1, 0.05], "epochs": [2, 3]}
    cells = Grid("digits", values, [0]).cells()
    assert [(c.config.settings["epochs"], c.config.settings["lr"]) for c in cells] == [
        (2, 0.1), (2, 0.05), (3, 0.1), (3, 0.05),
    ]  # fmt: skip
    assert cells[0].name == "set-erk-0.1-lr0.1-epochs2-seed0"


def test_what_nobody_reads_makes_no_cell() -> None:
    values = {
        "method": ["static", "set"],
        "init": ["er", "snip"],
        "drop_fraction": [0.1, 0.3],
        "init_values": ["keep", "redraw"],
    }
    names = [cell.name for cell in Grid("digits", values, [0]).cells()]
    assert len(names) == 1 + 2 + 2 + 4
    assert "static-er-0.1-seed0" in names
    assert "set-snip-0.1-dropfraction0.3-initvalueskeep-seed0" in names


def test_seeds() -> None:
    assert parse_seeds("3") == [0, 1, 2] and parse_seeds("2", 5) == [5, 6]
    assert parse_seeds("4,2,4") == [4, 2] and check_seeds([9]) == [9]
    for wrong in ("", "x", "0", "-1,2"):
        with pytest.raises(UsageError):
            parse_seeds(wrong)


def test_sweep_from_beginning_to_end(cli: Cli, small: Path, tmp_path: Path) -> None:
    words = ("sweep", small, *BASE, "--out", "s")
    first = cli(*words, "--methods", "dense,set", "--densities", "0.5,0.3", "--seeds",
                2, "--jobs", 2, "--json")  # fmt: skip
    assert first.status == 0, first.err
    groups = first.json["groups"]
    assert [(g["method"], g["density"]) for g in groups] == [
        ("dense", 1.0),
        ("set", 0.5),
        ("set", 0.3),
    ]
    assert all(g["seeds"] == [0, 1] and g["accuracy_half"] >= 0 for g in groups)
    assert groups[2]["nnz"] == round(0.3 * 108)
    assert "6/6" in first.err and first.json["failed"] == {}
    assert sorted(path.name for path in (tmp_path / "s").iterdir()) == [
        "README.md", "cells", "results.csv", "results.json", "runs.csv", "sweep.toml",
    ]  # fmt: skip
    cell = tmp_path / "s/cells/set-erk-0.3-seed1"
    assert sorted(path.name for path in cell.iterdir()) == [
        "config.toml", "history.json", "model.safetensors", "result.json",
    ]  # fmt: skip
    with (tmp_path / "s/runs.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 6
    assert "| set | erk | 50" in (tmp_path / "s/README.md").read_text()

    # A cell is an ordinary run, and the same bytes as one.
    single = (*BASE, "--method", "set", "--density", 0.3, "--seed", 1, "--out", "one")
    cli("train", small, *single, "--quiet")
    digest = hashlib.sha256((tmp_path / "one/model.safetensors").read_bytes())
    assert models(tmp_path / "s")["set-erk-0.3-seed1"] == digest.hexdigest()
    assert cli("evaluate", cell, "--json").json["accuracy"] >= 0

    # The same again is refused, with --resume it has nothing to do.
    assert "already holds a sweep" in cli(*words).failed_with(2)
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "s/cells").glob("*/*")}
    again = cli("sweep", "--resume", "--out", "s", "--json")
    assert again.json["groups"] == groups
    assert {p: p.stat().st_mtime_ns for p in before} == before

    # Lists grow; other settings are refused.
    line = cli("sweep", "--resume", "--out", "s", "--lr", 0.3).failed_with(2)
    assert "lr 0.3 (the sweep has 0.05)" in line
    line = cli("sweep", "digits", "--resume", "--out", "s").failed_with(2)
    assert "other data" in line
    more = cli("sweep", "--resume", "--out", "s", "--methods", "static", "--json")
    assert {g["method"] for g in more.json["groups"]} == {"dense", "set", "static"}
    assert {p: p.stat().st_mtime_ns for p in before} == before
    grid = tomllib.loads((tmp_path / "s/sweep.toml").read_text())
    assert grid["methods"] == ["dense", "set", "static"] and grid["seeds"] == [0, 1]

    # Reports from what is on disk.
    told = cli("report", "s", "--json").json
    assert told["groups"] == more.json["groups"] and told["out"] == "s"
    mixed = cli("report", "s", "one")
    assert "are the same run" in mixed.failed_with(2)
    two = cli("report", "one", "s/cells/dense-seed0", "--out", "r")
    assert two.status == 0 and "dense" in two.out
    assert (tmp_path / "r/results.csv").exists()

    # The grid's file repeats the sweep, with other jobs, byte for byte.
    words = ("sweep", "--config", "s/sweep.toml", "--seeds", 1, "--out", "t", "--quiet")
    outcome = cli(*words, "--threads", 2)
    assert outcome.err == "" and "accuracy" in outcome.out
    assert models(tmp_path / "t").items() <= models(tmp_path / "s").items()
    assert len(models(tmp_path / "t")) == 5


def test_a_run_that_fails_leaves_the_others(
    cli: Cli, small: Path, tmp_path: Path
) -> None:
    words = ("--methods", "static", "--lr", "0.05,1e30", "--seeds", 1, "--json",
             "--schedule", "constant", "--epochs", 3, "--densities", 0.5)  # fmt: skip
    outcome = cli("sweep", small, *BASE, *words, "--out", "s")
    assert outcome.status == 1
    (failed,) = outcome.json["failed"].items()
    assert "lr1e+30" in failed[0] and "the loss became" in failed[1]
    assert len(outcome.json["groups"]) == 1
    assert "the loss became" in outcome.err
    assert f"Failed: {failed[0]}: {failed[1]}" in Path("s/README.md").read_text()


def test_pictures_of_a_sweep(
    cli: Cli, small: Path, tmp_path: Path, pictures: None
) -> None:
    words = ("--methods", "static", "--seeds", 1, "--out", "s", "--quiet")
    assert cli("sweep", small, *BASE, *words).status == 0
    for name in ("accuracy.png", "curves.png"):
        assert (tmp_path / "s" / name).read_bytes().startswith(b"\x89PNG")
        assert f"({name})" in (tmp_path / "s/README.md").read_text()
    assert not list((tmp_path / "s/cells").glob("*/*.png"))


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--methods", "set,nothing"), "--method must be one of"),
        (("--methods", ","), "lists nothing"),
        (("--densities", "0.1,2"), "--density must be above 0 and at most 1"),
        (("--densities", "0.1", "--sparsities", "0.9"), "not both"),
        (("--seeds", "0"), "--seeds must be 1"),
        (("--seeds", "x"), "--seeds takes"),
        (("--seed", "1,2"), "list several with --seeds"),
        (("--archs", "6-12-3,7-12-3"), "takes 7 features, the data has 6"),
        (("--keep-dense", "9"), "--keep-dense takes"),
        (("--densities", "0.1", "--keep-dense", "0"), "raise the density"),
        (("--resume", "--overwrite"), "give one of them"),
        (("--jobs", "0"), "--jobs must be at least 1"),
    ],
)
def test_bad_sweeps_write_nothing(
    cli: Cli, small: Path, tmp_path: Path, words: tuple[str, ...], text: str
) -> None:
    base = BASE[2:] if "--archs" in words else BASE
    assert text in cli("sweep", small, *base, *words, "--out", "s").failed_with(2)
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    ("toml", "text"),
    [
        ("methods = ['set']\nmethod = 'set'", "method is set twice"),
        ("nothing = 1", "unknown setting 'nothing'"),
        ("densities = []", "lists nothing"),
        ("lr = ['a']", "--lr must be a number"),
        ("data = 3", "data must be text"),
        ("seeds = -1", "--seeds must be"),
    ],
)
def test_bad_grids(cli: Cli, tmp_path: Path, toml: str, text: str) -> None:
    (tmp_path / "g.toml").write_text(toml)
    line = cli("sweep", "digits", "--config", "g.toml", "--out", "s").failed_with(2)
    assert text in line and not (tmp_path / "s").exists()


def test_reports_of_nothing(cli: Cli, tmp_path: Path) -> None:
    assert "no such file" in cli("report", "nowhere").failed_with(2)
    (tmp_path / "a").mkdir()
    assert "holds no finished run" in cli("report", "a").failed_with(2)
    (tmp_path / "a/sweep.toml").write_text("data = 'digits'\nseeds = [0]\n")
    assert "no cell of this sweep" in cli("report", "a").failed_with(2)


def test_interrupted_and_resumed_is_the_same_bytes(tmp_path: Path) -> None:
    path = os.pathsep.join(p or os.getcwd() for p in sys.path)
    words = [sys.executable, "-m", "sparsenn.cli", "sweep", "digits", "--arch",
             "64-400-10", "--methods", "set", "--seeds", "2", "--epochs", "3",
             "--batch-size", "32", "--quiet", "--out"]  # fmt: skip

    def start(*more: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*words, *more],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": path},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    cut = start("cut", "--jobs", "2")
    checkpoint = tmp_path / "cut/cells/set-erk-0.1-seed0/checkpoint.safetensors"
    deadline = time.monotonic() + 60
    while not checkpoint.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    cut.send_signal(signal.SIGINT)
    _, err = cut.communicate(timeout=60)
    assert cut.returncode == 130, err
    assert "sparsenn sweep --resume --out cut goes on" in err
    assert checkpoint.exists()
    assert not (checkpoint.parent / "result.json").exists()
    again = start("cut", "--resume", "--jobs", "2")
    assert again.wait(120) == 0
    again.communicate()
    whole = start("whole")
    assert whole.wait(120) == 0
    whole.communicate()
    assert models(tmp_path / "cut") == models(tmp_path / "whole")
    assert len(models(tmp_path / "cut")) == 2
    rows = json.loads((tmp_path / "cut/results.json").read_text())["runs"]
    assert [row["seed"] for row in rows] == [0, 1]
