"""Networks for images on the command line, from training to the heatmap."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest


@pytest.fixture
def images(tmp_path: Path) -> str:
    """A file of 60 small colour images, whose class is the brightest channel."""
    rng = np.random.default_rng(0)
    y = np.arange(60) % 3
    x = rng.integers(0, 100, (60, 8, 8, 3), dtype=np.uint8)
    x[np.arange(60), :, :, y] += 120
    path = tmp_path / "images.npz"
    np.savez(path, x_train=x[:45], y_train=y[:45], x_test=x[45:], y_test=y[45:])
    return str(path)


RESNET = ("--arch", "resnet8", "--density", "0.2", "--batch-size", "15")


def test_one_command_trains_and_another_draws_the_heatmap(
    cli: Any, images: str, tmp_path: Path
) -> None:
    run = str(tmp_path / "run")
    trained = cli(
        "train", images, *RESNET, "--method", "rigl", "--epochs", "4", "--scale",
        "channels", "--keep-dense", "last", "--out", run, "--json", "--augment",
    ).json  # fmt: skip
    assert trained["accuracy"] > 0.6
    assert trained["nnz"] == round(0.2 * 74_352)
    assert trained["layers"][-1]["density"] == 1
    assert trained["effective_density"] <= trained["density"]
    assert not trained["collapsed"]
    assert trained["train_flops"] > 4 * 6 * 45 * trained["nnz"]
    measured = cli("evaluate", run, "--json").json
    assert measured["accuracy"] == trained["accuracy"]
    told = cli("inspect", run, "--json").json
    assert told["effective_density"] == trained["effective_density"]
    found = cli("sensitivity", run, "--sparsities", "0,0.5,1", "--json").json
    assert found["blocks"] == [
        "1.weight", "block 1", "block 2", "block 3", "8.weight",
    ]  # fmt: skip
    assert [len(names) for names in found["layers"]] == [1, 2, 2, 2, 1]
    assert all(row[0] == trained["accuracy"] for row in found["values"])


def test_resumed_runs_are_the_same_bits(cli: Any, images: str, tmp_path: Path) -> None:
    common = ("train", images, *RESNET, "--method", "set", "--epochs", "2", "--augment")
    one, two = tmp_path / "one", tmp_path / "two"
    assert cli(*common, "--out", str(one)).status == 0
    assert cli(*common, "--out", str(two), "--checkpoint-every", "1").status == 0
    (two / "model.safetensors").unlink()
    assert cli("train", "--resume", str(two)).status == 0
    models = [(d / "model.safetensors").read_bytes() for d in (one, two)]
    assert models[0] == models[1]


@pytest.mark.parametrize("init", ["snip", "synflow", "er"])
def test_starts_and_pruning(cli: Any, images: str, tmp_path: Path, init: str) -> None:
    run = str(tmp_path / "run")
    trained = cli(
        "train", images, "--arch", "vgg:4-m-8", "--density", "0.5", "--init", init,
        "--method", "static", "--epochs", "1", "--out", run, "--json",
        *(("--init-rounds", "3") if init == "synflow" else ()),
    ).json  # fmt: skip
    assert trained["nnz"] == round(0.5 * (108 + 288 + 24))
    pruned = cli(
        "prune", run, "--density", "0.25", "--finetune-epochs", "1", "--out",
        str(tmp_path / "pruned"), "--json",
    ).json  # fmt: skip
    assert pruned["nnz"] == round(0.25 * 420)


def test_a_sweep_of_two(cli: Any, images: str, tmp_path: Path) -> None:
    out = tmp_path / "sweep"
    done = cli(
        "sweep", images, "--archs", "vgg:4-m-8,resnet8", "--methods", "static",
        "--densities", "0.3", "--epochs", "1", "--out", str(out), "--jobs", "1",
    )  # fmt: skip
    assert done.status == 0, done.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--arch", "resnet9"), "depth must be 6 n + 2"),
        (("--arch", "resnet"), "not understood"),
        (("--arch", "lenet5-caffe"), "at least 16 pixels"),
        (("--arch", "resnet8", "--activation", "tanh"), "activations of its own"),
        (("--arch", "resnet8", "--keep-dense", "8"), "numbers from 0 to 7"),
        (("--augment", "rotate"), "--augment must be one of"),
    ],
)
def test_what_cannot_be(
    cli: Any, images: str, tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    outcome = cli("train", images, *options, "--out", str(tmp_path / "run"))
    assert message in outcome.failed_with(2)
    assert not (tmp_path / "run").exists()


def test_rows_are_no_images(cli: Any, tmp_path: Path) -> None:
    path = tmp_path / "rows.npz"
    np.savez(path, x_train=np.eye(6, dtype=np.uint8), y_train=np.arange(6) % 2)
    for options, message in (
        (("--arch", "resnet8"), "takes images"),
        (("--augment",), "augmentation takes images"),
        (("--scale", "channels"), "takes images"),
    ):
        outcome = cli("train", str(path), *options, "--out", str(tmp_path / "run"))
        assert message in outcome.failed_with(2)


def test_pixels_are_no_inputs_of_a_convolution(cli: Any, images: str) -> None:
    words = (*RESNET, "--init-control", "shuffle-inputs", "--out", "run")
    told = cli("train", images, *words).failed_with(2)
    assert "for rows and sequences of features, got a convolution of images" in told
    assert not Path("run").exists()
