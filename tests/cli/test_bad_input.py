"""Bad usage and bad input: exit status 2, one line, nothing written."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sparsenn.export.safetensors import read, write

Cli = Callable[..., Any]
SMALL = "small.npz"


def snapshot(directory: Path) -> dict[str, tuple[int, int]]:
    """Every file below a directory with its size and time."""
    return {
        str(path): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


TABLE = [
    ((), "the following arguments are required: COMMAND"),
    (("frobnicate",), "invalid choice: 'frobnicate'"),
    (("train",), "DATA is missing"),
    (("train", SMALL, "--frob"), "unrecognized arguments: --frob"),
    (("train", SMALL, "--epoch", 3), "--epoch 3; did you mean --epochs?"),
    (("train", SMALL, "--frob"), "(see sparsenn train --help)"),
    (("train", "nothing.npz"), "nothing.npz: no such file"),
    (("train", "mnit"), "Did you mean mnist"),
    (("train", "x" * 5000), "File name too long"),
    (("inspect", "x" * 5000), "File name too long"),
    (("train", SMALL, "--out", "x" * 5000), "File name too long"),
    (("train", SMALL, "--resume", "x" * 5000), "File name too long"),
    (("train", SMALL, "--update-every", "9" * 400), "--update-every must be below"),
    (("train", SMALL, "--seed", 2**64), "--seed must be"),
    (("train", SMALL, "--arch", "7-10-3"), "takes 7 features, the data has 6"),
    (("train", SMALL, "--arch", "6-10-4"), "has 4 outputs, the data has 3"),
    (("train", SMALL, "--arch", "6-0-3"), "'6-0-3' is not understood"),
    (("train", SMALL, "--arch", "transformer"), "'transformer' is not understood"),
    (("train", SMALL, "--density", 0), "--density must be above 0 and at most 1"),
    (("train", SMALL, "--density", 1.5), "got 1.5"),
    (("train", SMALL, "--density", "nan"), "--density must be above 0"),
    (("train", SMALL, "--density", "much"), "--density must be a number, got 'much'"),
    (("train", SMALL, "--sparsity", 1), "--sparsity must be at least 0 and below 1"),
    (("train", SMALL, "--sparsity", 0.9, "--density", 0.1), "not both"),
    (("train", SMALL, "--epochs", 0), "--epochs must be at least 1"),
    (("train", SMALL, "--epochs", "3.5"), "--epochs must be an integer, got '3.5'"),
    (("train", SMALL, "--batch-size", -1), "--batch-size must be at least 1"),
    (("train", SMALL, "--seed", -1), "--seed must be at least 0"),
    (("train", SMALL, "--lr", 0), "--lr must be above 0"),
    (("train", SMALL, "--lr", "inf"), "--lr must be above 0, got inf"),
    (("train", SMALL, "--momentum", 1), "--momentum must be at least 0 and below 1"),
    (("train", SMALL, "--dropout", 1), "--dropout must be at least 0 and below 1"),
    (("train", SMALL, "--drop-fraction", 1), "--drop-fraction must be"),
    (("train", SMALL, "--method", "magic"), "must be one of dense, static, set"),
    (("train", SMALL, "--init", "snap"), "--init must be one of uniform, er, erk"),
    (("train", SMALL, "--optimizer", "lbfgs"), "must be one of sgd, adam, adamw"),
    (("train", SMALL, "--activation", "bent"), "activation must be one of"),
    (("train", SMALL, "--threads", 0), "--threads must be at least 1"),
    (("train", SMALL, "--checkpoint-every", 0), "--checkpoint-every must be at least"),
    (("train", SMALL, "--val-fraction", 0.001), "at least one sample"),
    (("train", SMALL, "--keep-dense", "middle"), "--keep-dense takes first, last"),
    (("train", SMALL, "--keep-dense", "first,9"), "got '9'"),
    (
        ("train", SMALL, "--arch", "6-9-3", "--density", 0.1, "--keep-dense", "0"),
        "dense",
    ),
    (("train", SMALL, "--label", "x"), "label names a column of a .csv file"),
    (("train", SMALL, "--config", "no.toml"), "no.toml: no such file"),
    (("train", SMALL, "--resume"), "--resume needs the run"),
    (("train", "--resume", "nowhere"), "nowhere: holds no run to resume"),
    (("train", "--resume", "a", "--out", "b"), "are two runs"),
    (("train", "--resume", "a", "--overwrite"), "give one of them"),
    (("train", SMALL, "--out", SMALL), "exists and is not a directory"),
    (("train", SMALL, "--out", f"{SMALL}/run"), "is not a directory"),
    (("evaluate", "nowhere", SMALL), "nowhere: no such file or directory"),
    (("evaluate", SMALL, SMALL), "small.npz"),
    (("inspect", "nowhere"), "nowhere: no such file or directory"),
    (("inspect", "."), "holds no model.safetensors"),
    (("inspect", SMALL), "small.npz"),
    (("demo", "--epochs", 0), "--epochs must be at least 1"),
    (("demo", "--out", SMALL), "small.npz"),
]


@pytest.mark.parametrize(("words", "text"), TABLE, ids=lambda v: str(v)[:60])
def test_bad_usage(
    cli: Cli, small: Path, tmp_path: Path, words: tuple[Any, ...], text: str
) -> None:
    before = snapshot(tmp_path)
    line = cli(*words).failed_with(2)
    assert text in line
    command = words[0] if words and words[0] != "frobnicate" else ""
    assert line.startswith(f"sparsenn {command}".strip() + ": error: ")
    assert snapshot(tmp_path) == before
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epochs = ", "not valid TOML"),
        ("epochs = " + "9" * 5000, "not valid TOML"),
        ("epochs = " + "9" * 4000, "--epochs must be below 2**64"),
        ("lr = " + "9" * 400, "--lr must be below 2**64"),
        ("data = " + "[" * 20_000, "not valid TOML"),
        ("epocs = 3", "unknown setting 'epocs'"),
        ('epochs = "3"', "bad.toml: --epochs must be an integer, got '3'"),
        ("epochs = true", "--epochs must be an integer, got True"),
        ("density = 2", "--density must be above 0 and at most 1"),
        ("data = 3", "data must be text"),
        ("keep_dense = [1]", "--keep-dense must be a list of names"),
        ("drop-mode = 'sign'\ndrop_mode = 'sign'", "drop_mode is set twice"),
    ],
)
def test_bad_config(
    cli: Cli, small: Path, tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "bad.toml").write_text(text)
    before = snapshot(tmp_path)
    assert message in cli("train", small, "--config", "bad.toml").failed_with(2)
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("part", ["train", "test"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_features_that_are_not_finite(
    cli: Cli, small: Path, tmp_path: Path, part: str, value: float
) -> None:
    arrays = dict(np.load(small))
    arrays[f"x_{part}"][7, 2] = value
    np.savez(tmp_path / "bad.npz", **arrays)
    line = cli("train", "bad.npz", "--out", "a").failed_with(2)
    assert f"{part} part: sample 7, feature 2 is {value}" in line
    assert not (tmp_path / "a").exists()


def test_directory_that_cannot_be_written(
    cli: Cli, small: Path, tmp_path: Path
) -> None:
    if os.geteuid() == 0:
        pytest.skip("the superuser may write anywhere")
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    line = cli("train", small, "--out", locked / "a").failed_with(2)
    assert "cannot be written to" in line


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a small trained model."""
    from sparsenn.cli import main

    directory = tmp_path_factory.mktemp("model")
    x = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)
    np.savez(directory / "d.npz", x_train=x, y_train=np.arange(40) % 3)
    words = ["--arch", "6-12-3", "--epochs", "1", "--quiet", "--keep-dense", "last"]
    out = directory / "run"
    words += ["--density", "0.6", "--out", str(out)]
    assert main(["train", str(directory / "d.npz"), *words]) == 0
    return (out / "model.safetensors").read_bytes()


@pytest.mark.parametrize("command", ["inspect", "evaluate"])
def test_truncated_model(
    cli: Cli, small: Path, tmp_path: Path, model: bytes, command: str
) -> None:
    path = tmp_path / "m.safetensors"
    words = (command, path) if command == "inspect" else (command, path, small)
    for length in [*range(0, len(model), 97), len(model) - 1]:
        path.write_bytes(model[:length])
        assert "m.safetensors" in cli(*words).failed_with(2)


def test_flipped_bits(cli: Cli, tmp_path: Path, model: bytes) -> None:
    path = tmp_path / "m.safetensors"
    header = int.from_bytes(model[:8], "little") + 8
    rng = np.random.default_rng(1)
    places = [*range(0, header, 7), *rng.integers(header, len(model), 60)]
    for place in places:
        damaged = bytearray(model)
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        assert "m.safetensors" in cli("inspect", path).failed_with(2), place


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"0.weight.indices": (0, 6)}, "indices[0] = 6 in row 0"),
        ({"0.weight.indices": (0, -1)}, "indices[0] = -1 in row 0"),
        ({"0.weight.indptr": (0, 1)}, "indptr"),
        ({"0.weight.indptr": (3, 10**6)}, "indptr"),
        ({"0.weight.indptr": (-1, 3)}, "indptr"),
    ],
)
def test_indices_out_of_place(
    cli: Cli, tmp_path: Path, model: bytes, change: dict[str, Any], text: str
) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(model)
    arrays, metadata = read(path)
    for name, (at, value) in change.items():
        arrays[name][at] = value
    write(path, arrays, metadata)  # with a checksum that fits
    line = cli("inspect", path).failed_with(2)
    assert "m.safetensors: tensor '0.weight'" in line and text in line


def test_data_that_do_not_fit_the_model(cli: Cli, tmp_path: Path, model: bytes) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(model)
    line = cli("evaluate", path, "digits").failed_with(2)
    assert "digits" in line


def test_damaged_checkpoint(cli: Cli, small: Path, tmp_path: Path) -> None:
    words = ("--arch", "6-9-3", "--epochs", 1, "--out", "a", "--quiet")
    assert cli("train", small, *words).status == 0
    path = tmp_path / "a/checkpoint.safetensors"
    content = bytearray(path.read_bytes())
    content[-9] ^= 4
    path.write_bytes(content)
    before = snapshot(tmp_path)
    line = cli("train", "--resume", "a").failed_with(2)
    assert "checkpoint.safetensors" in line and "checksum" in line
    assert snapshot(tmp_path) == before
