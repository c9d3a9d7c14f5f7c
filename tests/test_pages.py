"""The pages: their links have targets, and the paths that they name exist."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])


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
