"""The pages: their links have targets, and the paths that they name exist."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
EXAMPLES = {
    "sandbox.numeric.measure.ranking",
    "evo.proposing.genetic.grammars.ranking",
}
"""Modules of the contract that docs/contracts.md adds."""


def of_page(page: Path) -> str:
    return str(page.relative_to(ROOT))


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives to the headings."""
    code = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", code.sub("", page.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=of_page)
def test_every_link_within_the_repository_has_a_target(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
        if target.startswith(("http://", "https://")):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name) if name else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


@pytest.mark.parametrize("page", PAGES, ids=of_page)
def test_every_repository_path_in_a_page_exists(page):
    named = re.findall(
        r"`((?:evo|sandbox|archive|fitness|analysis|scripts|tests|docs|recipes)/[\w./-]*)`", page.read_text("utf-8")
    )
    assert [
        name for name in named if not {"NAME", "CONTRACT"} & set(re.split(r"[/.]", name)) and not (ROOT / name).exists()
    ] == []


def test_the_first_use_of_each_term_is_linked_to_the_glossary():
    """If this fails, run python scripts/link_glossary.py."""
    subprocess.run([sys.executable, "scripts/link_glossary.py", "--check"], cwd=ROOT, check=True)


def test_the_architecture_page_says_what_is_in_each_folder_at_the_top_of_a_package():
    page = (ROOT / "docs/architecture.md").read_text("utf-8")
    top = [path.parent.relative_to(ROOT) for path in packages() if path.parents[2] == ROOT]
    assert top and [str(folder) for folder in top if f"`{folder}/`" not in page] == []


def packages() -> list[Path]:
    return [
        path
        for package in ("evo", "sandbox", "archive", "fitness", "analysis")
        for path in (ROOT / package).rglob("__init__.py")
    ]


@pytest.mark.parametrize("path", packages(), ids=of_page)
def test_every_package_says_what_it_contains_and_what_it_does_not(path):
    said = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    assert re.search(r"\b(no|not|nothing|neither|never|none|only|elsewhere)\b", said, re.IGNORECASE), said


@pytest.mark.parametrize("page", PAGES, ids=of_page)
def test_every_module_and_name_that_a_page_gives_exists(page):
    """A dotted name whose second part is none of the package's modules is an option or a file, as `fitness.model`."""
    given = re.findall(r"`((?:evo|sandbox|archive|fitness|analysis)(?:\.\w+)+)`", page.read_text("utf-8"))
    missing = [name for name in given if _module(name.split(".")[:2]) and not _exists(name.split("."))]
    assert [name for name in missing if name not in EXAMPLES] == []


def _module(parts: list[str]) -> Path | None:
    place = ROOT.joinpath(*parts)
    return next((file for file in (place.with_suffix(".py"), place / "__init__.py") if file.exists()), None)


def _exists(parts: list[str]) -> bool:
    """Whether the parts name a module, or a name at the top of one with any attributes of it."""
    length = next(n for n in range(len(parts), 0, -1) if _module(parts[:n]))
    file = _module(parts[:length])
    if length == len(parts) or file is None:
        return file is not None
    name = parts[length]
    defined = rf"^(?:class|def|async def) {name}\b|^{name}\b.*=|^from .* import .*\b{name}\b"
    return re.search(defined, file.read_text("utf-8"), re.MULTILINE) is not None
