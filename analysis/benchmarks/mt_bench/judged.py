"""What one judge said, and the losses and models that it is about."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from analysis.benchmarks.estimates import Values
from analysis.benchmarks.mt_bench.pairs import Pair, in_both_orders
from analysis.benchmarks.results import Rows
from archive.judgements import JudgementRow, PolicyRow

BASELINE, REFERENCE = "dpo", "reference"
"""The rows that all others are held against."""

ERRORS = (
    "Standard errors cover the questions, with both turns of one as a cluster, and the training seeds of a loss that has several. "
    "95 % intervals are in CSV and JSON."
)

Keep = Callable[[JudgementRow], bool]


@dataclass(frozen=True)
class Judged:
    """The judgements of one judge."""

    rows: Rows
    judge: str
    judgements: tuple[JudgementRow, ...]

    @cached_property
    def singles(self) -> tuple[JudgementRow, ...]:
        """Judgements of single answers."""
        return tuple(row for row in self.judgements if row.second is None)

    @cached_property
    def comparisons(self) -> tuple[JudgementRow, ...]:
        """Judgements of two answers, each in one order."""
        return tuple(row for row in self.judgements if row.second is not None)

    @cached_property
    def pairs(self) -> list[Pair]:
        """The comparisons that were graded in both orders."""
        return in_both_orders(self.comparisons)

    @cached_property
    def categories(self) -> tuple[str, ...]:
        """In the order of the questions."""
        return tuple(dict.fromkeys(row.category for row in self.rows.answers if row.category))

    def policy(self, answer: int) -> int | None:
        """The policy (id) that wrote an answer."""
        found = self.rows.policy_of(answer)
        return None if found is None else found.id

    def system(self, answer: int) -> str | None:
        """The loss or model, by its name in the tables, that wrote an answer."""
        policy = self.policy(answer)
        return None if policy is None else self._systems.get(policy)

    @cached_property
    def _systems(self) -> Mapping[int, str]:
        return {policy.id: name for name, policies in self.rows.systems.items() for policy in policies}

    def of(self, policies: Sequence[PolicyRow], keep: Keep = lambda row: True) -> list[JudgementRow]:
        """Judgements of single answers of these policies."""
        return [row for policy in policies for row in self._singles_of.get(policy.id, ()) if keep(row)]

    def grades(self, policies: Sequence[PolicyRow], keep: Keep = lambda row: True) -> list[Values]:
        """Grades by policy and question."""
        found: list[Values] = []
        for policy in policies:
            grades: dict[str, list[float]] = {}
            for row in self.of([policy], keep):
                if row.grade is not None:
                    grades.setdefault(row.question, []).append(row.grade)
            found.append(grades)
        return found

    def pairs_of(self, policy: PolicyRow) -> Sequence[Pair]:
        """Pairs with an answer of this policy, with the points of that answer."""
        return self._pairs_of.get(policy.id, ())

    def ungraded_pairs(self, policies: Sequence[PolicyRow]) -> int:
        """Replies without a grade to requests that show an answer of these policies."""
        wanted = {policy.id for policy in policies}
        shown = ((row.first, row.second) for row in self.comparisons if row.grade is None)
        return sum(any(self.policy(answer) in wanted for answer in pair if answer is not None) for pair in shown)

    @cached_property
    def _singles_of(self) -> Mapping[int | None, list[JudgementRow]]:
        found: dict[int | None, list[JudgementRow]] = {}
        for row in self.singles:
            found.setdefault(self.policy(row.first), []).append(row)
        return found

    @cached_property
    def _pairs_of(self) -> Mapping[int | None, list[Pair]]:
        found: dict[int | None, list[Pair]] = {}
        for pair in self.pairs:
            for answer in (pair.ours, pair.theirs):
                found.setdefault(self.policy(answer), []).append(pair.seen_from(answer))
        return found

    def remarks(self) -> list[str]:
        """A sentence on the replies that are in no mean, if there are any."""
        ungraded, total = sum(row.grade is None for row in self.judgements), len(self.judgements)
        if not ungraded:
            return []
        return [f"{ungraded:,} of {total:,} replies of the judge have no grade; they are counted, and in no mean."]


def by_judge(rows: Rows) -> list[Judged]:
    """The judgements by judge: grades of different judges are never mixed."""
    judges = dict.fromkeys(row.judge for row in rows.judgements)
    return [Judged(rows, judge, tuple(row for row in rows.judgements if row.judge == judge)) for judge in judges]
