"""The pages on the command line and on files tell the truth."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from sparsenn.cli.options import OPTIONS

DOCS = Path(__file__).parents[2] / "docs"
CLI = (DOCS / "cli.md").read_text()
FILES = (DOCS / "files.md").read_text()


def test_every_option_is_described_with_its_default() -> None:
    train = CLI[CLI.index("## train") : CLI.index("## sweep")]
    rows = dict(re.findall(r"^\| `(--[^|]*?)`? *\| (.*?) \|", train, re.MULTILINE))
    described = {flag for row in rows for flag in re.findall(r"--[a-z-]+", row)}
    for option in OPTIONS:
        if option.name in ("label", "labels"):  # described with DATA
            assert option.flag in CLI
            continue
        assert option.flag in described, option.flag
        row = next(cells for flags, cells in rows.items() if option.flag in flags)
        if option.default not in (None, []):
            text = f"{option.default:g}" if option.kind == "float" else option.default
            assert str(text) in row, option.flag


def test_choices_are_described() -> None:
    for option in OPTIONS:
        for choice in option.choices:
            assert f"`{choice}`" in CLI, (option.name, choice)


@pytest.mark.parametrize(
    "page", ["files", "inference", "recurrent", "transformers", "vision"]
)
def test_snippets_run_in_order(page: str, tmp_path: Path) -> None:
    if page == "files":
        pytest.importorskip("safetensors")
    text = (DOCS / f"{page}.md").read_text()
    for snippet in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", snippet],
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr


def test_columns_of_the_history(tmp_path: Path) -> None:
    from sparsenn.cli import main

    words = ["train", "digits", "--arch", "64-16-10", "--epochs", "1", "--quiet"]
    words += ["--val-fraction", "0.2", "--out", str(tmp_path / "a")]
    assert main(words) == 0
    text = (tmp_path / "a/history.json").read_text()
    section = FILES[FILES.index("## Histories") :]
    found = set(re.findall(r'^   "(\w+)":', text, re.MULTILINE))
    assert found == set(re.findall(r"`(\w+)`", section)) - {"epochs", "stop_reason"}


def test_decisions_are_listed_by_number_and_title() -> None:
    folder = DOCS / "adr"
    listed = re.findall(
        r"^(\d+)\. \[(.*)\]\((.*)\)$", (folder / "README.md").read_text(), re.M
    )
    assert [int(number) for number, _, _ in listed] == list(range(1, len(listed) + 1))
    assert {name for _, _, name in listed} == {p.name for p in folder.glob("0*.md")}
    for number, title, name in listed:
        assert (folder / name).read_text().startswith(f"# {number}. {title}\n"), name
