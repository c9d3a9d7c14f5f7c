"""Small data for the judgements of `make paper`, in the published formats, from the embedded task's own templates.

The embedded model knows the words of template reviews only. So each question is the beginning of a review, and each given answer a
review of the same templates. Grades of such answers say nothing about chat quality.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fitness.sentiment.reviews import lexicon_reward, prompts, write_review

CATEGORIES = ("writing", "roleplay", "reasoning", "math", "coding", "extraction", "stem", "humanities")
WITH_REFERENCE = ("reasoning", "math", "coding")
QUESTIONS_EACH = 2
INSTRUCTIONS, POSTS = 24, 16
BASELINE = "template reviews"
"""Name of the answers that AlpacaEval compares with, in place of GPT-4's."""


@dataclass(frozen=True)
class Files:
    """The written files."""

    questions: Path
    references: Path
    instructions: Path
    comparisons: Path


def write_data(folder: Path) -> Files:
    """Writes the files into `folder`, the same in each call. Prompts are those of the split `held_out`, which no training uses."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random("make paper")
    pool = iter(prompts("held_out"))
    files = Files(
        folder / "question.jsonl", folder / "reference.jsonl", folder / "alpaca_eval.json", folder / "comparisons.jsonl"
    )
    questions = [
        {"question_id": 81 + number, "category": category, "turns": [next(pool), next(pool)]}
        for number, category in enumerate(name for name in CATEGORIES for _ in range(QUESTIONS_EACH))
    ]
    _lines(files.questions, questions)
    _lines(files.references, (_reference(rng, q) for q in questions if q["category"] in WITH_REFERENCE))
    outputs = [(prompt, write_review(rng, prompt).body) for prompt in (next(pool) for _ in range(INSTRUCTIONS))]
    rows = [
        {"instruction": prompt, "output": body, "generator": BASELINE, "dataset": "template reviews"}
        for prompt, body in outputs
    ]
    files.instructions.write_text(json.dumps(rows, indent=1) + "\n", "utf-8")
    _lines(files.comparisons, (_comparison(rng, number, next(pool)) for number in range(POSTS)))
    return files


def _reference(rng: random.Random, question: Mapping[str, Any]) -> dict[str, Any]:
    answers = [write_review(rng, turn).body for turn in question["turns"]]
    return {
        "question_id": question["question_id"],
        "model_id": BASELINE,
        "choices": [{"index": 0, "turns": answers}],
    }


def _comparison(rng: random.Random, number: int, prompt: str) -> dict[str, Any]:
    """A row of the comparisons format: a post and two summaries, of which a person chose the more friendly one."""
    bodies = [write_review(rng, prompt).body for _ in range(2)]
    policies = ("ref", "sup1")
    return {
        "info": {"id": f"t3_{number:06d}", "post": prompt, "title": prompt, "subreddit": "movies"},
        "summaries": [
            {"text": body, "policy": policy, "note": ""} for body, policy in zip(bodies, policies, strict=True)
        ],
        "choice": int(lexicon_reward(bodies[1]) > lexicon_reward(bodies[0])),
        "worker": "template",
        "batch": "template",
        "split": "valid1",
        "extra": {},
    }


def _lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
