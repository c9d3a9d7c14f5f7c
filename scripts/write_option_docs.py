"""Writes the tables of options in docs/ from the models that validate them. With --check, only compares."""

import argparse
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from pydantic import BaseModel  # noqa: E402
from pydantic_core import PydanticUndefined  # noqa: E402

from evo.config import schema as config  # noqa: E402
from evo.config.budget_settings import BudgetConfig  # noqa: E402
from evo.config.prompt_settings import PromptConfig  # noqa: E402
from evo.config.proposer_settings import LLMConfig, ProposerConfig  # noqa: E402
from evo.config.study_settings import SimplifySettings, TuneSettings  # noqa: E402
from evo.evaluate.settings import JudgeOptions  # noqa: E402
from fitness.benchmarks.alpaca_eval.options import AlpacaEvalOptions  # noqa: E402
from fitness.benchmarks.generation.generator import GenerationOptions  # noqa: E402
from fitness.benchmarks.imdb.options import ImdbOptions  # noqa: E402
from fitness.benchmarks.lm_eval.options import LmEvalOptions  # noqa: E402
from fitness.benchmarks.mt_bench import options as mt_bench  # noqa: E402
from fitness.benchmarks.tldr.options import TldrOptions  # noqa: E402
from fitness.classification import options as classification  # noqa: E402
from fitness.preference import options as preference_options  # noqa: E402
from fitness.schedule.settings import LadderSettings  # noqa: E402
from fitness.sentiment import options as sentiment  # noqa: E402
from fitness.sentiment.worlds import EMBEDDED  # noqa: E402

START, END = "<!-- options: written by scripts/write_option_docs.py -->\n", "<!-- end of options -->\n"
Sections = dict[str, type[BaseModel]]
PAGES: dict[str, Sections] = {
    "docs/preference.md": {
        "fitness": preference_options.Options,
        "fitness.lora": preference_options.Lora,
        "fitness.evaluation, by: accuracy or margin": preference_options.PairEvaluation,
        "fitness.evaluation, by: reward_model": preference_options.RewardModelEvaluation,
        "fitness.evaluation, by: vader": preference_options.VaderEvaluation,
        "fitness.evaluation, by: judge": preference_options.JudgeEvaluation,
    },
    "docs/imdb.md": {"imdb": ImdbOptions},
    "docs/mt-bench.md": {"mt-bench": mt_bench.Options},
    "docs/forgetting.md": {"lm-eval": LmEvalOptions},
    "docs/win-rates.md": {"alpaca-eval": AlpacaEvalOptions, "tldr": TldrOptions},
    "docs/evaluate.md": {"judge": JudgeOptions, "generation": GenerationOptions},
    "docs/configuration.md": {
        "Top level": config.Config,
        "llm": LLMConfig,
        "proposers, each: the keys of llm, and": ProposerConfig,
        "prompt": PromptConfig,
        "budget": BudgetConfig,
        "search": config.SearchConfig,
        "search.tune": TuneSettings,
        "search.simplify": SimplifySettings,
        "ladder": LadderSettings,
        "fitness, where task is sentiment": sentiment.Options,
        "fitness, where task is classification": classification.Options,
    },
}

NEW_RUN: dict[type[BaseModel], BaseModel] = {sentiment.Options: sentiment.Options.model_validate({"world": EMBEDDED})}
"""Options of a new run that sets none, where these are not the defaults of the model."""


def tables(sections: Sections) -> str:
    """The options of all sections as Markdown tables."""
    return "\n".join(f"### {title}\n\n{_table(section)}" for title, section in sections.items())


def _table(section: type[BaseModel]) -> str:
    new = NEW_RUN.get(section)
    rows = (
        ["option | default | meaning", "--- | --- | ---"]
        if new is None
        else ["option | default of a new run | in `classic` | meaning", "--- | --- | --- | ---"]
    )
    own = section.__annotations__ if issubclass(section, LLMConfig) else section.model_fields
    for name, field in section.model_fields.items():
        if name in own and field.description:
            default = {} if field.default_factory is dict else field.default
            begun = [] if new is None else [_default(getattr(new, name))]
            rows.append(" | ".join([f"`{name}`", *begun, _default(default), _escaped(field.description)]))
    return "\n".join(rows) + "\n"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


def _default(value: Any) -> str:
    if value is PydanticUndefined:
        return "required"
    if isinstance(value, BaseModel):
        return f"`by: {value.model_dump()['by']}`" if "by" in type(value).model_fields else ""
    return "" if value is None else f"`{value}`"


def main() -> int:
    """Writes or compares the pages. Returns the exit status: 1 if --check finds a difference."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a page is out of date")
    arguments = parser.parse_args()
    stale = [name for name, sections in PAGES.items() if not _update(ROOT / name, sections, write=not arguments.check)]
    for name in stale if arguments.check else ():
        print(f"{name} is out of date: run python scripts/write_option_docs.py", file=sys.stderr)
    return int(bool(stale) and arguments.check)


def _update(path: Path, sections: Sections, *, write: bool) -> bool:
    """Writes the tables into a page if `write` is true. Returns whether the page was up to date."""
    page = path.read_text("utf-8")
    before, _, rest = page.partition(START)
    wanted = before + START + "\n" + tables(sections) + "\n" + END + rest.partition(END)[2]
    if write:
        path.write_text(wanted, "utf-8")
    return page == wanted


if __name__ == "__main__":
    sys.exit(main())
