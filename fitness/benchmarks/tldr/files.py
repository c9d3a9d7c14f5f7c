"""Posts with a person's summary, from the comparisons format of summarize-from-feedback, or from TRL's formats.

    {"info": {"id", "post", "title", "subreddit"}, "summaries": [{"text", "policy", "note"}, ...], "choice": 0}
    {"prompt": ..., "completion": ...}                     the completion is a person's summary
    {"prompt": ..., "chosen": ..., "rejected": ...}        the chosen one stands for it, as in the experiments of Lu et al. 2024

Stiennon et al. 2020 (arXiv 2009.01325). A post occurs in several rows; its first summary counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fitness.benchmarks.protocol import BenchmarkError
from fitness.benchmarks.rows import placed_rows

EXPECTED = (
    'expected rows {"info": {"post": ..., "title": ..., "subreddit": ...}, "summaries": [...], "choice": ...}, {"prompt": ..., '
    '"completion": ...} or {"prompt": ..., "chosen": ..., "rejected": ...}'
)
KEY = "tldr.posts"
MARK = "TL;DR:"
"""Text after which the summary stands."""
HUMAN = "ref"
"""Policy of a person's summary in the comparisons format."""


@dataclass(frozen=True)
class Posts:
    """Prompts of posts, in order and each once, with the human summary; and the number of rows left out, by reason."""

    summaries: Mapping[str, str]
    left_out: Mapping[str, int] = field(default_factory=dict)


def read_posts(name: str, split: str) -> Posts:
    """The posts of a file, folder or data set. Raises BenchmarkError with the row."""
    found: dict[str, str] = {}
    without: dict[str, None] = {}
    articles = 0
    for place, row in placed_rows(name, KEY, EXPECTED, split=split):
        where = f"{KEY}: {place}"
        if "info" in row and _is_article(row["info"]):
            articles += 1
            continue
        prompt, summary = _compared(where, row) if "info" in row else _completed(where, row)
        if summary is None:
            without.setdefault(prompt)
        else:
            found.setdefault(prompt, summary)
    lacking = sum(prompt not in found for prompt in without)
    left_out = {"posts without a person's summary": lacking, "rows about news articles": articles}
    if not found:
        counted = ", ".join(f"{count} {reason}" for reason, count in left_out.items() if count)
        raise BenchmarkError(f"{KEY}: {name} has no post with a person's summary ({counted}); {EXPECTED}")
    return Posts(found, {reason: count for reason, count in left_out.items() if count})


def without_mark(text: str) -> str:
    """A summary without the mark that some models repeat before it: the mark would tell the judge who wrote it."""
    return text.strip().removeprefix(MARK).strip()


def _is_article(info: Any) -> bool:
    return isinstance(info, Mapping) and info.get("post") is None and isinstance(info.get("article"), str)


def _compared(where: str, row: Mapping[str, Any]) -> tuple[str, str | None]:
    info, summaries, choice = row["info"], row.get("summaries"), row.get("choice")
    if not isinstance(info, Mapping) or not isinstance(info.get("post"), str) or not info["post"].strip():
        raise BenchmarkError(f"{where} has no post in its info; {EXPECTED}")
    if not isinstance(summaries, Sequence) or isinstance(summaries, str) or not summaries:
        raise BenchmarkError(f"{where} has no list of summaries; {EXPECTED}")
    if isinstance(choice, bool) or not isinstance(choice, int) or not 0 <= choice < len(summaries):
        raise BenchmarkError(
            f"{where} has the choice {choice!r:.40} among {len(summaries)} summaries; expected the index of one, from 0"
        )
    human = None
    for summary in summaries:
        if not isinstance(summary, Mapping) or not isinstance(summary.get("text"), str):
            raise BenchmarkError(f"{where} has a summary without text; {EXPECTED}")
        if summary.get("policy") == HUMAN and summary["text"].strip():
            human = human or without_mark(summary["text"])
    parts = {"SUBREDDIT": f"r/{info.get('subreddit') or ''}", "TITLE": info.get("title") or "", "POST": info["post"]}
    return "\n\n".join([*(f"{name}: {str(text).strip()}" for name, text in parts.items()), MARK]), human


def _completed(where: str, row: Mapping[str, Any]) -> tuple[str, str]:
    column = "completion" if "completion" in row else "chosen"
    prompt, summary = row.get("prompt"), row.get(column)
    if not isinstance(prompt, str) or not isinstance(summary, str) or not prompt.strip() or not without_mark(summary):
        raise BenchmarkError(
            f"{where} has no prompt and {column} as texts, but {', '.join(map(repr, row)) or 'nothing'}; {EXPECTED}"
        )
    prompt = prompt.strip()
    return prompt if prompt.endswith(MARK) else f"{prompt}\n\n{MARK}", without_mark(summary)
