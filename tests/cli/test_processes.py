"""Real processes: killed, interrupted, and with a reader that leaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sparsenn.export.model import read_model

COMMAND = [sys.executable, "-m", "sparsenn.cli"]
RUN = ["train", "digits", "--arch", "64-400-200-10", "--density", "0.1", "--quiet",
       "--keep-dense", "last", "--batch-size", "32", "--epochs", "3"]  # fmt: skip


def environment() -> dict[str, str]:
    """This process's, with its import path."""
    path = os.pathsep.join(p or os.getcwd() for p in sys.path)
    return {**os.environ, "PYTHONPATH": path}


def hear_interrupts() -> None:
    """A job in the background inherits that Ctrl-C is ignored; a user's does not."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start(*words: str, cwd: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, *words],
        cwd=cwd,
        env=environment(),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=hear_interrupts,
    )


def checkpoint_after(path: Path, since: float, process: subprocess.Popen[str]) -> None:
    """Waits until a checkpoint has been written that is newer than a time."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if path.exists() and path.stat().st_mtime > since:
            return
        if process.poll() is not None:
            return
        time.sleep(0.002)
    raise AssertionError("no checkpoint within a minute")


def test_killed_and_resumed_is_the_same_bytes(tmp_path: Path) -> None:
    whole = start(*RUN, "--out", "whole", cwd=tmp_path)
    assert whole.wait(120) == 0, whole.communicate()
    words = [*RUN, "--out", "cut", "--checkpoint-every", "10", "--resume"]
    saved = tmp_path / "cut" / "checkpoint.safetensors"
    kills = 0
    for pause in (0.0, 0.03, 0.01):
        since = saved.stat().st_mtime if saved.exists() else 0.0
        process = start(*words, cwd=tmp_path)
        checkpoint_after(saved, since, process)
        time.sleep(pause)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        kills += process.returncode == -signal.SIGKILL
    assert kills >= 1 and read_model(saved).kind == "checkpoint"
    last = start("train", "--resume", "cut", "--json", cwd=tmp_path)
    out, err = last.communicate(timeout=120)
    assert last.returncode == 0, err
    assert json.loads(out)["epochs"] == 3
    assert (tmp_path / "cut/model.safetensors").read_bytes() == (
        tmp_path / "whole/model.safetensors"
    ).read_bytes()


def test_interrupted_is_130_and_resumes(tmp_path: Path) -> None:
    words = [*RUN, "--epochs", "60", "--out", "a", "--checkpoint-every", "20"]
    process = start(*words, cwd=tmp_path)
    checkpoint_after(tmp_path / "a/checkpoint.safetensors", 0.0, process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == ""
    assert err == "sparsenn train: interrupted; sparsenn train --resume a goes on\n"
    saved = read_model(tmp_path / "a/checkpoint.safetensors")
    step = json.loads(saved.metadata["sparsenn.training"])["counters"]["step"]
    assert step > 0 and not (tmp_path / "a/model.safetensors").exists()


def test_a_reader_that_leaves(tmp_path: Path) -> None:
    process = start("doctor", cwd=tmp_path)
    assert process.stdout is not None
    process.stdout.close()
    process.wait(60)
    assert process.stderr is not None
    assert "Traceback" not in process.stderr.read()


@pytest.mark.parametrize("word", ["--version", "--help"])
def test_starts_quickly_without_the_heavy_imports(tmp_path: Path, word: str) -> None:
    code = (
        "import sys; from sparsenn.cli import main; "
        f"status = main([{word!r}]); "
        "assert not {'matplotlib', 'scipy', 'tqdm', 'pooch'} & set(sys.modules); "
        "sys.exit(status)"
    )
    subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
    )
