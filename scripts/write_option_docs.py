"""Writes the table of options into docs/preference.md from the code that validates them; --check only compares."""

import argparse
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from pydantic import BaseModel  # noqa: E402
from pydantic_core import PydanticUndefined  # noqa: E402

from fitness import preference  # noqa: E402

PAGE = ROOT / "docs" / "preference.md"
START, END = "<!-- options: written by scripts/write_option_docs.py -->\n", "<!-- end of options -->\n"
SECTIONS = {
    "fitness": preference.Options,
    "fitness.lora": preference.Lora,
    "fitness.evaluation, by: accuracy or margin": preference.PairEvaluation,
    "fitness.evaluation, by: reward_model": preference.RewardModelEvaluation,
    "fitness.evaluation, by: judge": preference.JudgeEvaluation,
}


def tables() -> str:
    """Every section's options as Markdown."""
    return "\n".join(f"### {title}\n\n{_table(section)}" for title, section in SECTIONS.items())


def _table(section: type[BaseModel]) -> str:
    rows = ["option | default | meaning", "--- | --- | ---"]
    for name, field in section.model_fields.items():
        if field.description:
            rows.append(f"`{name}` | {_default(field.default)} | {_escaped(field.description)}")
    return "\n".join(rows) + "\n"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


def _default(value: Any) -> str:
    if value is PydanticUndefined:
        return "required"
    if isinstance(value, BaseModel):
        return f"`by: {value.model_dump()['by']}`"
    return "" if value is None else f"`{value}`"


def main() -> int:
    """Exit status: 1 when --check finds a difference."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail when the page is out of date")
    arguments = parser.parse_args()
    page = PAGE.read_text("utf-8")
    before, _, rest = page.partition(START)
    after = rest.partition(END)[2]
    wanted = before + START + "\n" + tables() + "\n" + END + after
    if arguments.check:
        if page != wanted:
            print("docs/preference.md is out of date: run python scripts/write_option_docs.py", file=sys.stderr)
        return int(page != wanted)
    PAGE.write_text(wanted, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
