"""Imports run one way, and a light import stays light."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import sparsenn

PACKAGE = Path(sparsenn.__file__).parent

# Each room may import itself, what is listed, and what those may import.
ALLOWED = {
    "_core": set(),
    "files": set(),
    "blas": set(),
    "sizes": set(),
    "config": {"_core", "blas"},
    "random": {"_core"},
    "autograd": {"_core", "config", "blas", "random", "sizes"},
    "sparse": {"_core", "random", "autograd"},
    "ops": {"autograd", "sparse"},
    "nn": {"ops"},
    "optim": {"autograd", "sparse"},
    "topology": {"optim", "ops"},
    "pruning": {"optim", "ops"},
    "data": {"sparse", "random", "autograd", "files"},
    "models": {"nn", "topology", "export"},
    "export": {"nn", "files", "data"},
    "train": {"export", "models", "topology", "optim", "data"},
    "plot": {"train", "files"},
    "report": {"plot", "train", "files"},
    "cli": {"train", "plot", "export", "models", "report", "pruning"},
}


def closure(room: str) -> set[str]:
    """Every room that `room` may import."""
    found, todo = {room}, [room]
    while todo:
        for other in ALLOWED[todo.pop()]:
            if other not in found:
                found.add(other)
                todo.append(other)
    return found


def imported_rooms(tree: ast.Module) -> set[str]:
    """First-level rooms of sparsenn that a module imports, type checking aside."""
    rooms: set[str] = set()
    skipped: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            skipped.update(n for child in node.body for n in ast.walk(child))
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "sparsenn":
            names = [f"sparsenn.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
        else:
            continue
        rooms.update(n.split(".")[1] for n in names if n.startswith("sparsenn."))
    return rooms - {"__version__"}


@pytest.mark.parametrize(
    "path",
    [p for p in sorted(PACKAGE.rglob("*.py")) if p != PACKAGE / "__init__.py"],
    ids=lambda p: str(p.relative_to(PACKAGE)),
)
def test_imports_run_one_way(path: Path) -> None:
    room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if room == "__main__":
        return
    assert room in ALLOWED, f"room {room!r} is not in the table of this test"
    wrong = imported_rooms(ast.parse(path.read_text())) - closure(room)
    assert not wrong, f"{path.name} imports {sorted(wrong)}, {room} may not"


def run(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout


def test_import_needs_numpy_only() -> None:
    out = run(
        "import sys, sparsenn;"
        "print(sorted({'scipy', 'cffi', 'matplotlib', 'tqdm', 'pooch', 'sklearn',"
        " 'safetensors'} & set(sys.modules)))"
    )
    assert out == "[]\n"


def test_import_prints_nothing_and_starts_no_thread() -> None:
    out = run("import threading, sparsenn; print(threading.active_count())")
    assert out == "1\n"


def test_every_public_name_exists() -> None:
    for name in sparsenn.__all__:
        assert getattr(sparsenn, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = sparsenn.nothing
