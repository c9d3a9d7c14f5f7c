"""The requests of a benchmark to its judge: which answers are shown together, and the identity of each request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from dataclasses import replace as replaced

from archive.judgements import PolicyRow
from evo.evaluate.answers import Answers, Wanted, key_of
from evo.evaluate.policies import REFERENCE
from fitness.benchmarks.protocol import Benchmark, JudgeRequest, Question, Shown
from fitness.chat.costs import Prices, Usage
from fitness.chat.request import tokens_bound

OWN = 0
"""Source of an answer of the benchmark's own data."""
TOKENS_PER_TOKEN = 2
"""Upper bound of the judge's tokens for one token of a policy."""
CHARACTERS_PER_TOKEN = 3


@dataclass(frozen=True)
class Request:
    """A request to the judge, about answers with the ids that it names."""

    request: JudgeRequest
    question: Question
    key: str
    """Hash of all that is sent, and of the judge's name."""

    def most(self, prices: Prices, max_tokens: int | None) -> Usage:
        """Upper bound of the usage of one attempt."""
        tokens_in = tokens_bound(self.request.messages)
        tokens_out = max_tokens or self.request.max_tokens
        return Usage(tokens_in, tokens_out, prices.usd(tokens_in, tokens_out))


def requests_of(
    benchmark: Benchmark,
    wanted: Sequence[Wanted],
    policies: Sequence[PolicyRow],
    answers: Answers,
    own: int | None,
    judge: str,
) -> Iterator[Request]:
    """All requests about the recorded answers of these policies. `own` is the policy of the data's answers."""
    for one in wanted:
        shown = {
            row.id: Shown(answer.id, answer.turns)
            for row in policies
            if (answer := answers.of(row.id, benchmark.name, one)) is not None
        }
        given = answers.of(own, benchmark.name, replaced(one, sampling_seed=0)) if own is not None else None
        for group, baseline in _groups(benchmark, policies, shown):
            for request in benchmark.requests(one.question, group, baseline):
                named = _with_source(request, given.id) if given is not None else request
                yield Request(named, one.question, _key(request, judge))


def worst_cost(
    benchmark: Benchmark, wanted: Sequence[Wanted], policies: Sequence[PolicyRow], judge: str, prices: Prices,
    max_tokens: int | None, longest: int | None,
) -> tuple[int, Usage]:  # fmt: skip
    """Number of requests about all answers of these policies, and the most that they may cost, whatever is recorded.

    `longest`: the most tokens of an answer to one turn, if fewer than the benchmark's.
    """
    number, total = 0, Usage()
    for one in wanted:
        tokens = min(one.sampling.max_new_tokens, longest or one.sampling.max_new_tokens)
        text = "x" * (TOKENS_PER_TOKEN * CHARACTERS_PER_TOKEN * tokens)
        shown = {row.id: Shown(row.id, (text,) * len(one.question.turns)) for row in policies}
        for group, baseline in _groups(benchmark, policies, shown):
            for request in benchmark.requests(one.question, group, baseline):
                number += 1
                total += Request(request, one.question, "").most(prices, max_tokens)
    return number, total


def _groups(
    benchmark: Benchmark, policies: Sequence[PolicyRow], shown: dict[int, Shown]
) -> Iterator[tuple[list[Shown], Shown | None]]:
    """The answers that a benchmark gets together: each policy once, with the opponent of its own seed if that has several."""
    name: str | None = getattr(benchmark, "opponent", REFERENCE)
    opponents = [row for row in policies if row.id in shown and name and name in (row.loss, row.kind, row.name)]
    if len(opponents) < 2:
        yield list(shown.values()), shown[opponents[0].id] if opponents else None
        return
    groups: dict[int, list[Shown]] = {row.id: [] for row in opponents}
    of_seed = {row.seed: row.id for row in opponents}
    for row in policies:
        if row.id in shown:
            groups[row.id if row.id in groups else of_seed.get(row.seed, opponents[0].id)].append(shown[row.id])
    for opponent, group in groups.items():
        yield group, shown[opponent]


def _with_source(request: JudgeRequest, own: int) -> JudgeRequest:
    """The request with the recorded answer of the data in the place of source 0."""
    first = own if request.first == OWN else request.first
    second = own if request.second == OWN else request.second
    return replaced(request, first=first, second=second)


def _key(request: JudgeRequest, judge: str) -> str:
    sent = [[message.role, message.content] for message in request.messages]
    return key_of(judge, sent, request.max_tokens, request.temperature, dict(request.extra))
