"""Every option of `train` does something, and a bad instruction set is one line."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sparsenn.cli import train
from sparsenn.cli.options import OPTIONS


def test_every_option_is_read(
    cli: Callable[..., Any], small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: set[str] = set()

    class Recorded(dict):
        def __getitem__(self, name: str) -> Any:
            read.add(name)
            return super().__getitem__(name)

        def get(self, name: str, default: Any = None) -> Any:
            read.add(name)
            return super().get(name, default)

    prepare = train.prepare

    def recording(config: Any, **more: Any) -> Any:
        config.settings = Recorded(config.settings, nothing=1)
        return prepare(config, **more)

    monkeypatch.setattr(train, "prepare", recording)
    words = ("train", small, "--arch", "6-20-3", "--epochs", 2, "--batch-size", 16)
    for method in ("set", "snfs", "cs", "gmp"):  # together they read all there is
        more = ("--method", method, "--init", "snip", "--out", method)
        assert cli(*words, *more).status == 0
    missed = {option.name for option in OPTIONS} - read
    assert not missed, f"nothing reads {sorted(missed)}"
    assert "nothing" not in read  # such as by writing all of them to config.toml


def test_an_unknown_instruction_set_is_one_line() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sparsenn.cli", "doctor"],
        env={**os.environ, "SPARSENN_ISA": "nonsense"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "SPARSENN_ISA is 'nonsense', available here:" in line
