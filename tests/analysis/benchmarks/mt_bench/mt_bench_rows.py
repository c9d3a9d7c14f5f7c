"""Rows of an evaluation, and a judge over HTTP that grades them as the benchmark asks."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Mapping, Sequence

from analysis.benchmarks.results import Rows
from archive.judgements import AnswerRow, JudgementRow, PolicyRow
from fitness.benchmarks.mt_bench.benchmark import MtBench
from fitness.benchmarks.protocol import JudgeReply, JudgeRequest, Shown

Ask = Callable[[JudgeRequest], str]
"""Sends a request to a judge; returns the text of the reply."""


def policy(id: int, loss: str | None, seed: int | None = None) -> PolicyRow:
    name = "reference" if loss is None else f"{loss}, seed {seed}"
    return PolicyRow(id, name, "reference" if loss is None else "trained", loss, seed, f"digest {id}")


def judged(
    benchmark: MtBench,
    policies: Sequence[PolicyRow],
    answers: Mapping[int, Callable[[str, int], str]],
    ask: Ask,
    baseline: int | None = None,
) -> Rows:
    """The rows of all policies, judged. `answers` has each policy's text for the identifier of a question and a turn."""
    written: list[AnswerRow] = []
    judgements: list[JudgementRow] = []
    for question in benchmark.questions():
        own = {}
        for row in policies:
            turns = tuple(answers[row.id](question.id, turn) for turn in (1, 2))
            own[row.id] = len(written) + 1
            written.append(AnswerRow(own[row.id], row.id, "mt-bench", question.id, question.category, turns, 0, 10))
        shown = {id: Shown(source, written[source - 1].turns) for id, source in own.items()}
        for request in benchmark.requests(question, [*shown.values()], shown[baseline] if baseline else None):
            reply = ask(request)
            grade = benchmark.grade(request, JudgeReply(reply))
            row = JudgementRow(
                id=len(judgements) + 1,
                benchmark="mt-bench",
                question=question.id,
                category=question.category,
                turn=request.turn,
                form=request.form,
                prompt_hash="hash",
                judge="a-judge",
                first=request.first,
                second=request.second,
                grade=grade,
                reply=reply,
            )
            judgements.append(row)
    return Rows(tuple(policies), tuple(written), tuple(judgements))


def over_http(base_url: str) -> Ask:
    """Asks a judge that speaks chat completions."""

    def ask(request: JudgeRequest) -> str:
        body = {
            "model": "a-judge",
            "messages": [{"role": message.role, "content": message.content} for message in request.messages],
            "temperature": request.temperature,
            "max_tokens": request.max_tokens,
        }
        sent = urllib.request.Request(
            f"{base_url}/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(sent, timeout=30) as reply:
            return str(json.load(reply)["choices"][0]["message"]["content"])

    return ask
