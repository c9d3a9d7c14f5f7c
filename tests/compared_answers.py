"""The rows of an evaluation as `evopo evaluate` records them, with a judge that is a function: for tests of statistics."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from analysis.benchmarks.results import Rows
from archive.judgements import AnswerRow, JudgementRow, PolicyRow
from fitness.benchmarks.protocol import JudgeReply, JudgeRequest, Shown

Judge = Callable[[str, str, str], JudgeReply]
"""From instruction, first and second answer as the prompt shows them, to the reply."""

_OUTPUT = re.compile(r'"output": ("(?:[^"\\]|\\.)*")')
_ASKED = re.compile(r'\{"(?:instruction|post)": ("(?:[^"\\]|\\.)*")\}')


def shown_in(request: JudgeRequest) -> tuple[str, str, str]:
    """Instruction and answers as the built-in prompts show them."""
    text = request.messages[-1].content
    asked = _ASKED.search(text)
    first, second = _OUTPUT.findall(text)
    return json.loads(asked[1]) if asked else "", json.loads(first), json.loads(second)


def judged_rows(
    benchmark: Any,
    written: Mapping[str, Mapping[int | None, Callable[[str], str]]],
    judge: Judge,
    name: str = "stand-in",
) -> Rows:
    """Rows of policies that answer each question with a function of its text, by loss and seed.

    The policy `reference` is the one that all others are compared with; the data's own answers are recorded as the contract says.
    """
    ids = itertools.count(1)
    questions = benchmark.questions()
    policies = [PolicyRow(1, benchmark.own, "outputs", None, None, "data")]
    answers = [
        AnswerRow(next(ids), 1, benchmark.name, q.id, q.category, (q.references[0],), 0, 1, q.facts)
        for q in questions
        if q.references
    ]
    own = {row.question: row.id for row in answers}
    for loss, seeds in written.items():
        for seed, write in seeds.items():
            kind = "reference" if loss == "reference" else "trained"
            label = loss if seed is None else f"{loss} (seed {seed})"
            policy = PolicyRow(len(policies) + 1, label, kind, None if kind == "reference" else loss, seed, label)
            policies.append(policy)
            answers += [
                AnswerRow(next(ids), policy.id, benchmark.name, q.id, q.category, (write(q.turns[0]),), 0, 1)
                for q in questions
            ]
    hashes = {form: hashlib.sha256(text.encode()).hexdigest() for form, text in benchmark.forms.items()}
    judgements: list[JudgementRow] = []
    kinds = {policy.id: policy.kind for policy in policies}
    for question in questions:
        mine = [row for row in answers if row.question == question.id and kinds[row.policy_id] != "outputs"]
        shown = [Shown(row.id, row.turns) for row in mine]
        baseline = next((s for s, row in zip(shown, mine, strict=True) if kinds[row.policy_id] == "reference"), None)
        for request in benchmark.requests(question, shown, baseline):
            reply = judge(*shown_in(request))
            first, second = (own[question.id] if source == 0 else source for source in (request.first, request.second))
            judgements.append(
                JudgementRow(
                    len(judgements) + 1, benchmark.name, question.id, question.category, 0, request.form,
                    hashes[request.form], name, first, second, benchmark.grade(request, reply), reply.text,
                )
            )  # fmt: skip
    return Rows(tuple(policies), tuple(answers), tuple(judgements), {q.id: q.turns for q in questions})
