"""`evopo evaluate --on mt-bench` with input that cannot be used: one clear line before anything is trained or asked."""

from __future__ import annotations

import json
from typing import Any

import pytest
from campaigns import Command
from loopback_judge import LoopbackJudge

pytest.importorskip("torch")

WRITING = {"question_id": 81, "category": "writing", "turns": ["the movie was", "and the film is"]}
MATHS = {"question_id": 111, "category": "math", "turns": ["two films and two", "times three"]}


@pytest.mark.parametrize(
    ("second", "options", "said"),
    [
        ({**MATHS, "turns": ["only one"]}, (), "line 2 of question.jsonl: turns should be 2 texts, got 1"),
        ({**MATHS, "category": "maths"}, (), "line 2 of question.jsonl: unknown category 'maths'"),
        (MATHS, (), "question 111 (math) has no reference answer to turn 1"),
        (MATHS, ("references=none.jsonl",), "mt-bench.references: there is no file none.jsonl"),
        (None, ("templates=none.jsonl",), "mt-bench.templates: there is no file none.jsonl"),
        (None, ("mode=pair", "opponent=slik"), "mt-bench.opponent is 'slik', which is not evaluated: expected one of"),
        (None, ("mode=pairs",), "mt-bench.mode: expected one of single, pair, both, got 'pairs'; did you mean pair?"),
        (None, ("refrences=x",), "unknown key mt-bench.refrences: did you mean mt-bench.references?"),
    ],
)
def test_input_that_cannot_be_used_is_one_line_before_long_work(
    evo: Command, second: Any, options: tuple[str, ...], said: str
) -> None:
    rows = [WRITING, second] if second else [WRITING]
    (evo.folder / "question.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    more = [part for option in options for part in ("--set", f"mt-bench.{option}")]
    with LoopbackJudge() as judge:
        result = evo.run(
            "evaluate", "slic", "--on", "mt-bench", "--dir", "out", "--task", "sentiment",
            "--set", "mt-bench.questions=question.jsonl", "--set", f"judge.base_url={judge.base_url}",
            "--set", "judge.model=scripted-1", *more,
        )  # fmt: skip
        assert judge.requests == 0
    assert result.code == 2 and said in result.err, (result.code, result.err)
    assert not (evo.folder / "out").exists()
