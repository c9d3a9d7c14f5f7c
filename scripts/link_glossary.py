"""Links the first use of each glossary term in each page to docs/glossary.md. With --check, only compares."""

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
GLOSSARY = ROOT / "docs" / "glossary.md"
GENERATED = ROOT / "docs" / "losses.md"
OTHER_SENSES = {
    "docs/architecture.md": {"benchmark", "contract"},
    "docs/case-study.md": {"verdict"},
    "docs/configuration.md": {"duplicate"},
    "docs/contracts.md": {"seed"},
    "docs/exports.md": {"graph"},
    "docs/llm.md": {"seed"},
    "docs/notes/archive-cost.md": {"benchmark"},
    "docs/notes/numeric-tests.md": {"seed"},
    "docs/preference.md": {"finding", "verdict"},
    "docs/sandbox.md": {"operator", "parent", "seed"},
    "docs/transfer.md": {"verdict"},
}
"""Terms that a page uses in another sense than the glossary's."""
NOT_PROSE = re.compile(
    r"^ *```.*?^ *```|<!--.*?end of options -->|<!--.*?-->"  # fenced code, generated tables, comments
    r"|(?<=\n\n)(?: {4}[^\n]*\n+)+|^#[^\n]*"  # indented code, headings
    r"|!?\[[^\]]*\]\([^)]*\)|`[^`\n]*`|\*\*.*?\*\*",  # links, code, bold words
    re.MULTILINE | re.DOTALL,
)


def pages() -> list[Path]:
    """Every page except the glossary and docs/losses.md (scripts/write_loss_docs.py writes its links)."""
    found = [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *(ROOT / "docs").glob("*.md"),
        *(ROOT / "docs/notes").glob("*.md"),
    ]
    return sorted(page for page in found if page not in (GLOSSARY, GENERATED))


def terms() -> list[str]:
    """The headings of the glossary, longest first, so that `seed loss` is found before `seed`."""
    return sorted((t.lower() for t in re.findall(r"^### (.+)$", GLOSSARY.read_text("utf-8"), re.MULTILINE)), key=len)[
        ::-1
    ]


def linked(text: str, name: str, address: str) -> str:
    """The page with a link at the first use of each term. `address` is the relative path of the glossary."""
    for term in terms():
        anchor = f"({address}#{term.replace(' ', '-')})"
        place = next(_uses(text, term), None)
        if term in OTHER_SENSES.get(name, ()) or place is None or anchor in text[: place.start()]:
            continue
        text = text.replace(anchor, "()")  # a later use had the link
        text = re.sub(r"\[([^\]]*)\]\(\)", r"\1", text)
        place = next(_uses(text, term))
        text = f"{text[: place.start()]}[{place[0]}]{anchor}{text[place.end() :]}"
    return text


def _uses(text: str, term: str) -> Iterator[re.Match[str]]:
    """Uses of the term in prose, singular or plural, but not within a longer term."""
    longer = [other for other in terms() if term in other and other != term]
    prose = NOT_PROSE.sub(lambda found: " " * len(found[0]), text)
    for other in longer:
        prose = re.sub(_forms(other), lambda found: " " * len(found[0]), prose, flags=re.IGNORECASE)
    return re.finditer(_forms(term), prose, re.IGNORECASE)


def _forms(term: str) -> str:
    stem, plural = (term[:-1], "(?:y|ies)") if term.endswith("y") else (term, "(?:s|es)?")
    return rf"(?<![\w./-]){re.escape(stem)}{plural}(?![\w/-]|\.\w)"


def main() -> int:
    """Exit status: 1 when --check finds a page out of date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a page is out of date")
    check = parser.parse_args().check
    stale = []
    for page in pages():
        name = str(page.relative_to(ROOT))
        address = {".": "docs/glossary.md", "docs": "glossary.md", "docs/notes": "../glossary.md"}[
            str(Path(name).parent)
        ]
        text = page.read_text("utf-8")
        if (wanted := linked(text, name, address)) != text:
            stale.append(name)
            if not check:
                page.write_text(wanted, "utf-8")
    for name in stale if check else ():
        print(f"{name} does not link the first use of each term: run python scripts/link_glossary.py", file=sys.stderr)
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
