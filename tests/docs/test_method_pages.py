"""Every method has a page, and what the page says of its options is so."""

from __future__ import annotations

import importlib
import inspect
import re
import warnings
from collections.abc import Callable, Iterator
from inspect import isfunction
from pathlib import Path
from typing import Any

import pytest

from sparsenn import models, optim, topology

DOCS = Path(__file__).parents[2] / "docs"
METHODS = DOCS / "methods"
PRUNING = DOCS / "pruning"
SECTIONS = [
    "Formula",
    "Defaults",
    "What we do differently",
    "Cost",
    "Example",
    "References",
]
PAGES = sorted(METHODS.glob("*.md")) + sorted(PRUNING.glob("*.md"))
METHOD_PAGES = [p for p in PAGES if p.stem not in ("README", "refused")]
# What most recipes and functions take is described once, on the first pages.
COMMON = {
    "topology": {"params", "optimizer", "exempt", "seed"},
    "pruning": {"model", "optimizer", "exempt", "seed", "keep_dense"},
}


def name_of(path: Path) -> str:
    return str(path.relative_to(DOCS))


def section(text: str, heading: str) -> str:
    found = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", text, re.M | re.S)
    assert found, heading
    return found[1]


def described(text: str) -> Iterator[tuple[Callable[..., Any], dict[str, Any]]]:
    """Functions of a page, and the defaults in the tables under their names."""
    defaults = section(text, "Defaults")
    parts = re.split(r"^`(\w+)\.(\w+)\(.*\)`$", defaults, flags=re.M)
    assert defaults.count("| option |") <= len(parts) // 3
    for module, name, table in zip(parts[1::3], parts[2::3], parts[3::3], strict=True):
        package = importlib.import_module(f"sparsenn.{module}")
        rows = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) \|$", table, re.MULTILINE)
        found = {}
        for option, default, source in rows:
            assert source.strip(), option
            found[option] = (
                inspect.Parameter.empty
                if default == "required"
                else eval(default.strip("`"), {"__builtins__": {}}, vars(package))
            )
        yield getattr(package, name), found


def test_every_method_has_a_page() -> None:
    index = (METHODS / "README.md").read_text()
    table = "\n".join(re.findall(r"^\| \[.*$", index, re.MULTILINE))
    pages = dict(re.findall(r"\[`([\w-]+)`\]\((.*?)\)", table))
    assert set(pages) == set(topology.METHODS)
    for method, page in pages.items():
        assert f"`--method {method}`" in (METHODS / page).read_text()


def test_the_readme_names_every_method() -> None:
    readme = (DOCS.parent / "README.md").read_text()
    for method in topology.METHODS:
        assert f"`{method}`" in readme, method


def test_every_updater_is_described() -> None:
    helpers = {"Plan", "Recipe", "Temperature", "make"}
    public = {
        getattr(topology, name)
        for name in topology.methods.__all__
        if name not in helpers and callable(getattr(topology, name))
    }
    found = {f for page in METHOD_PAGES for f, _ in described(page.read_text())}
    assert public <= found


@pytest.mark.parametrize(
    ("method", "share"),
    [("rigl", 75), ("srigl", 75), ("gradient-flow", 75), ("dsr", 95), ("gmp", 75),
     ("granet", 69)],
)  # fmt: skip
def test_where_methods_end_by_name(method: str, share: int) -> None:
    assert f"{share} %" in (METHODS / f"{method}.md").read_text()
    recipe = topology.METHODS[method]
    assert recipe is not None
    params = models.mlp([20, 30, 5], recipe.start(0.2), seed=0).parameters()
    plan = {"steps_per_epoch": 1000, "total_steps": 100_000, "density": 0.2}
    topo = topology.make(method, params, optim.SGD(params, lr=0.1), **plan)
    end = topo.schedule.end_step if topo.budget is None else topo.budget.end
    assert end == share * 1000


def test_every_function_that_prunes_is_described() -> None:
    pruning = pytest.importorskip("sparsenn.pruning")
    public = {f for f in map(pruning.__dict__.get, pruning.__all__) if isfunction(f)}
    found = {f for page in METHOD_PAGES for f, _ in described(page.read_text())}
    assert public <= found, {f.__name__ for f in public - found}


def test_every_refusal_is_explained() -> None:
    headings = re.findall(r"^## (.*)$", (METHODS / "refused.md").read_text(), re.M)
    parts = (
        part for heading in headings for part in (heading, *heading.split(" and "))
    )
    plain = {re.sub(r"[^a-z/]", "", part.lower()) for part in parts}
    for name in topology.REFUSED:
        assert re.sub(r"[^a-z/]", "", name) in plain, name


@pytest.mark.parametrize("page", METHOD_PAGES, ids=name_of)
def test_sections(page: Path) -> None:
    text = page.read_text()
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == SECTIONS
    title, first = text.split("\n## ")[0].split("\n", 1)
    assert title.startswith("# ")
    assert re.search(r"`(topology|pruning|sparse|nn)\.", first)
    assert re.search(r"arXiv:\d{4}\.\d{5}|None", section(text, "References"))


@pytest.mark.parametrize("page", METHOD_PAGES, ids=name_of)
def test_defaults_are_those_of_the_function(page: Path) -> None:
    for function, defaults in described(page.read_text()):
        common = COMMON.get(function.__module__.split(".")[1], set())
        wanted = {
            name: parameter.default
            for name, parameter in inspect.signature(function).parameters.items()
            if name not in common and "VAR" not in parameter.kind.name
        }
        assert defaults == wanted, function.__name__
        assert list(defaults) == list(wanted), "in the order of the signature"


@pytest.mark.parametrize("folder", [METHODS, PRUNING], ids=name_of)
def test_first_page_leads_to_every_other(folder: Path) -> None:
    linked = set(re.findall(r"\]\(([\w-]+\.md)", (folder / "README.md").read_text()))
    assert linked == {p.name for p in folder.glob("*.md")} - {"README.md"}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^):]+)\)", page.read_text()):
        path, _, anchor = target.partition("#")
        linked = page.parent / path if path else page
        assert linked.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", linked.read_text(), re.MULTILINE)
            plain = [re.sub(r"[^\w\- ]", "", h.lower()) for h in headings]
            assert anchor in [h.replace(" ", "-") for h in plain], target


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_snippets_run(page: Path) -> None:
    snippets = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    assert snippets or page not in METHOD_PAGES
    for snippet in snippets:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            exec(compile(snippet, page.name, "exec"), {})


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_prose_fits_a_terminal(page: Path) -> None:
    for line in page.read_text().splitlines():
        assert len(line) <= 100 or line.startswith("|"), line
