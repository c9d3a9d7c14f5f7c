"""The rows of an archive as records, each with all that its table says of it; see `archive.query` for the safety of reading."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import groupby
from operator import itemgetter
from typing import Any, TypeVar

from archive.decode import (
    Brief,
    brief,
    candidate_row,
    child_and_parent,
    curves_of,
    evaluation_row,
    event_row,
    finding_row,
    parent_row,
    prompt_of,
    proposal_row,
    run_row,
    rung_of,
    verdict_row,
)
from archive.errors import CorruptArchive
from archive.judgements import AnswerRow, JudgementRow, PolicyRow, answer_row, judgement_row, policy_row
from archive.nodes import Node, node
from archive.records import (
    CandidateRow,
    Curves,
    EvaluationRow,
    EvaluationState,
    EventRow,
    FindingRow,
    ParentRow,
    ProposalRow,
    ProposalState,
    RunRow,
    VerdictRow,
)
from archive.spending import COSTS
from archive.sqlite.cells import Cells
from archive.sqlite.packed import unpack_like
from archive.sqlite.queries import (
    ANCESTRY,
    ANSWERS,
    BARE_EVALUATIONS,
    BARE_PROPOSALS,
    BARE_VERDICTS,
    BRIEF,
    EDGES,
    EVALUATIONS,
    JUDGEMENTS,
    LINKS,
    NODES,
    POLICIES,
    PROPOSALS,
    RUNGS,
    TELLING,
    TEXT,
    VARIANT_EVALUATIONS,
    VARIANTS,
    VERDICTS,
)  # fmt: skip
from archive.sqlite.values import decompress
from archive.sqlite.view import View, in_blocks
from archive.variants import VariantEvaluationRow, VariantRow, variant_evaluation_row, variant_row

T = TypeVar("T")

MOST_UNPACKED = 2**30
"""Most bytes of replies, or of fitness per item, that one query decompresses. An archive of another person may hold many small
values that decompress to large ones."""


class RowReader(View):
    """The rows of an archive that is open for reading."""

    def run(self) -> RunRow:
        """The run of this archive. CorruptArchive unless there is exactly one."""
        rows = self._rows("SELECT * FROM run")
        if len(rows) != 1:
            raise CorruptArchive(f"{self.path} should hold one run, but holds {len(rows)}; get a fresh copy of it")
        return run_row(rows[0], self.path)

    def candidates(self) -> list[CandidateRow]:
        """All candidates, in order of ids (oldest first)."""
        rows = self._rows(f"SELECT * FROM candidate WHERE event_id <= :at{self._those('id')} ORDER BY id")
        return [candidate_row(row, self.path) for row in rows]

    def candidate(self, id: int) -> CandidateRow:
        """One candidate. MissingRow if there is none with that id."""
        rows = self._rows("SELECT * FROM candidate WHERE id = :id AND event_id <= :at", id=id)
        return candidate_row(self._one(rows, f"candidate {id}"), self.path)

    def unvetted(self) -> list[CandidateRow]:
        """The candidates without a verdict, in order of ids."""
        without = "id NOT IN (SELECT candidate_id FROM verdict WHERE event_id <= :at)"
        sql = f"SELECT * FROM candidate WHERE event_id <= :at AND {without}{self._those('id')} ORDER BY id"
        return [candidate_row(row, self.path) for row in self._rows(sql)]

    def briefs(self) -> list[Brief]:
        """Name, origin and status of all candidates, in order of ids."""
        return [brief(row, self.path) for row in self._rows(f"{BRIEF} ORDER BY c.id")]

    def namesakes(self) -> list[int]:
        """The ids of the candidates whose name another candidate has too; upper and lower case count as the same."""
        there = "SELECT lower(name) FROM candidate WHERE event_id <= :at"
        sql = f"SELECT id FROM candidate WHERE event_id <= :at AND lower(name) IN ({there} GROUP BY 1 HAVING count(*) > 1)"
        return [row["id"] for row in self._rows(f"{sql} ORDER BY id")]

    def descriptors(self) -> Iterator[Mapping[str, Any]]:
        """The descriptors of each candidate that has some, one by one."""
        for row in self._each(f"{VERDICTS} AND descriptors IS NOT NULL ORDER BY candidate_id"):
            yield verdict_row(row, self.path).descriptors or {}

    def ids(self, proposer: str | None = None) -> list[int]:
        """The ids of all candidates, or of those of a proposer, in order."""
        sql = "SELECT id FROM candidate WHERE event_id <= :at"
        where = "" if proposer is None else " AND proposal_id IN (SELECT id FROM proposal WHERE proposer = :proposer)"
        return [row["id"] for row in self._rows(f"{sql}{where} ORDER BY id", proposer=proposer)]

    def seed_ids(self) -> list[int]:
        """The ids of the seed losses, in order."""
        sql = "SELECT id FROM candidate WHERE proposal_id IS NULL AND event_id <= :at ORDER BY id"
        return [row["id"] for row in self._rows(sql)]

    def parents(self, id: int) -> list[ParentRow]:
        """The edges from a candidate's parents, in order of position."""
        return self.lineage(child=id)

    def ancestry(self, id: int, most: int = 1000) -> list[ParentRow]:
        """The edges above a candidate, to its parents, their parents and so on: newest child first, at most `most` of them."""
        self.candidate(id)
        return [parent_row(row, self.path) for row in self._rows(ANCESTRY, id=id, most=most)]

    def lineage(self, child: int | None = None) -> list[ParentRow]:
        """All edges of the lineage, or those of one child, in order of child and position."""
        sql = f"SELECT p.* FROM parent AS p JOIN candidate AS c ON c.id = p.child AND c.event_id <= :at{self._those('c.id')}"
        where = "" if child is None else " WHERE p.child = :child"
        rows = self._rows(f"{sql}{where} ORDER BY p.child, p.position", child=child)
        return [parent_row(row, self.path) for row in rows]

    def generations(self) -> dict[int, int]:
        """The generation of each candidate that has parents: one more than the highest of theirs. The others have generation 0."""
        found: dict[int, int] = {}
        for row in self._each(f"{LINKS} ORDER BY p.child"):  # parents come first: their ids are lower
            child, parent = child_and_parent(Cells(row, "parent", self.path))
            found[child] = max(found.get(child, 0), 1 + found.get(parent, 0))
        return found

    def edges(self, *, by_parent: bool = False) -> Iterator[ParentRow]:
        """The edges of the lineage one by one, in order of child (or of parent) and position. Of a parent that a child names twice,
        the first."""
        order = "p.parent, p.child" if by_parent else "p.child, position"
        for row in self._each(f"{EDGES} ORDER BY {order}"):
            yield parent_row(row, self.path)

    def nodes(self, task: str) -> Iterator[Node]:
        """The candidates one by one as the lineage shows them, with their trainings for a task, in order of ids."""
        rows = self._each(f"{NODES}{self._those('c.id')} ORDER BY c.id, e.id", task=task)
        yield from in_blocks(node(of_one, self.path) for _, of_one in groupby(rows, key=itemgetter("candidate_id")))

    def verdicts(self) -> list[VerdictRow]:
        """All verdicts, in order of candidates."""
        sql = BARE_VERDICTS if self._bare else VERDICTS
        rows = self._rows(f"{sql}{self._those('candidate_id')} ORDER BY candidate_id")
        return [verdict_row(row, self.path) for row in rows]

    def verdict(self, candidate_id: int) -> VerdictRow | None:
        """The verdict of a candidate; None if it has not been vetted yet."""
        sql = "SELECT * FROM verdict WHERE candidate_id = :id AND event_id <= :at"
        rows = self._rows(sql, id=candidate_id)
        return verdict_row(rows[0], self.path) if rows else None

    def findings(self, candidate_id: int | None = None) -> list[FindingRow]:
        """The findings of one candidate or of all, in order of candidate and position."""
        sql = "SELECT f.* FROM finding AS f JOIN verdict AS v USING (candidate_id) WHERE v.event_id <= :at"
        where = self._those("f.candidate_id") if candidate_id is None else " AND f.candidate_id = :id"
        rows = self._rows(f"{sql}{where} ORDER BY f.candidate_id, f.position", id=candidate_id)
        return [finding_row(row, self.path) for row in rows]

    def with_finding(self, rule: str) -> frozenset[int]:
        """The ids of the candidates with a finding of this rule."""
        sql = "SELECT f.candidate_id AS id FROM finding AS f JOIN verdict AS v USING (candidate_id) WHERE v.event_id <= :at"
        return frozenset(row["id"] for row in self._rows(f"{sql} AND f.rule = :rule", rule=rule))

    def proposals(self, state: ProposalState | None = None) -> list[ProposalRow]:
        """All proposals, or those in one state, in order of ids."""
        made = (
            "" if self._only is None else f" AND p.id IN (SELECT proposal_id FROM candidate WHERE 1{self._those('id')})"
        )
        rows = self._rows(f"{BARE_PROPOSALS if self._bare else PROPOSALS}{made} ORDER BY p.id")
        found = self._bounded((proposal_row(row, self.path) for row in rows), lambda p: len(p.reply or ""))
        return [row for row in found if state is None or row.state == state]

    def without_candidate(self) -> list[ProposalRow]:
        """The proposals whose reply was received and that no candidate was made of, in order of ids."""
        made = "SELECT proposal_id FROM candidate WHERE proposal_id IS NOT NULL AND event_id <= :at"
        rows = self._rows(f"{PROPOSALS} AND p.received_event <= :at AND p.id NOT IN ({made}) ORDER BY p.id")
        found = self._bounded((proposal_row(row, self.path) for row in rows), lambda p: len(p.reply or ""))
        return [row for row in found if row.state == ProposalState.RECEIVED]

    def without_reply(self) -> list[ProposalRow]:
        """The proposals of the steps to which no reply has come, in order of ids."""
        replied = "SELECT step FROM proposal WHERE reply IS NOT NULL AND received_event <= :at"
        rows = self._rows(f"{PROPOSALS} AND p.step NOT IN ({replied}) ORDER BY p.id")
        return [proposal_row(row, self.path) for row in rows]

    def proposal(self, id: int) -> ProposalRow:
        """One proposal. MissingRow if there is none with that id."""
        rows = self._rows(f"{PROPOSALS} AND p.id = :id", id=id)
        return proposal_row(self._one(rows, f"proposal {id}"), self.path)

    def attempts(self, step: int) -> list[ProposalRow]:
        """The proposals of a step, in order of attempts."""
        rows = self._rows(f"{PROPOSALS} AND p.step = :step ORDER BY p.attempt", step=step)
        return [proposal_row(row, self.path) for row in rows]

    def latest_step(self) -> int:
        """The highest step; 0 if there is none."""
        sql = "SELECT coalesce(max(step), 0) AS step FROM proposal WHERE requested_event <= :at"
        return int(self._rows(sql)[0]["step"])

    def candidate_of(self, proposal_id: int) -> int | None:
        """The id of the candidate that was made of a proposal; None if there is none."""
        rows = self._rows("SELECT id FROM candidate WHERE proposal_id = :id AND event_id <= :at", id=proposal_id)
        return rows[0]["id"] if rows else None

    def latest_attempt(self, step: int) -> int:
        """The number of the newest attempt of a step; 0 if there is none."""
        sql = "SELECT coalesce(max(attempt), 0) AS attempt FROM proposal WHERE step = :step AND requested_event <= :at"
        return int(self._rows(sql, step=step)[0]["attempt"])

    def evaluations(self, candidate_id: int | None = None, state: EvaluationState | None = None) -> list[EvaluationRow]:
        """All evaluations, or those of one candidate or in one state, in order of ids."""
        where = self._those("e.candidate_id") if candidate_id is None else " AND e.candidate_id = :id"
        rows = self._rows(f"{BARE_EVALUATIONS if self._bare else EVALUATIONS}{where} ORDER BY e.id", id=candidate_id)
        found = self._bounded(
            (evaluation_row(row, self.path) for row in rows), lambda e: 64 * len(e.items.values) if e.items else 0
        )
        return [row for row in found if state is None or row.state == state]

    def rungs(self, task: str) -> list[str]:
        """The rungs of a task at which something was queued, in order of their first evaluation."""
        return [rung_of(row, self.path) for row in self._rows(RUNGS, task=task)]

    def evaluation(self, id: int) -> EvaluationRow:
        """One evaluation. MissingRow if there is none with that id."""
        rows = self._rows(f"{EVALUATIONS} AND e.id = :id", id=id)
        return evaluation_row(self._one(rows, f"evaluation {id}"), self.path)

    def variants(self, candidate_id: int | None = None) -> list[VariantRow]:
        """All variants, or those of one candidate, in order of ids."""
        rows = self._rows(f"{VARIANTS}{self._those('candidate_id')} ORDER BY id", candidate=candidate_id or 0)
        return [variant_row(row, self.path, self._upto) for row in rows]

    def variant_evaluations(self, candidate_id: int | None = None) -> list[VariantEvaluationRow]:
        """The ended trainings of all variants, or of the variants of one candidate, in order of ids."""
        sql = f"{VARIANT_EVALUATIONS}{self._those('v.candidate_id')} ORDER BY e.id"
        rows = self._rows(sql, candidate=candidate_id or 0)
        found = (variant_evaluation_row(row, self.path) for row in rows)
        return self._bounded(found, lambda e: 64 * len(e.items.values) if e.items else 0)

    def policies(self) -> list[PolicyRow]:
        """All judged policies, in order of ids."""
        return [policy_row(row, self.path) for row in self._rows(POLICIES)]

    def answers(self, benchmark: str = "") -> list[AnswerRow]:
        """The answers of judged policies to one benchmark or to all, in order of ids."""
        rows = (answer_row(row, self.path) for row in self._rows(ANSWERS, benchmark=benchmark))
        return self._bounded(rows, lambda answer: sum(map(len, answer.turns)))

    def judgements(self, benchmark: str = "") -> list[JudgementRow]:
        """The judgements of one benchmark or of all, in order of ids."""
        rows = (judgement_row(row, self.path) for row in self._rows(JUDGEMENTS, benchmark=benchmark))
        return self._bounded(rows, lambda judgement: len(judgement.reply))

    def curves(self, evaluation_id: int) -> Curves:
        """Training curves of a finished evaluation; empty where none were recorded."""
        rows = self._rows("SELECT curves FROM evaluation WHERE id = :id AND finished_event <= :at", id=evaluation_id)
        return curves_of(self._one(rows, f"finished evaluation {evaluation_id}"), self.path)

    def prompt(self, proposal_id: int) -> list[tuple[str, str]] | None:
        """The prompt of a proposal as (role, text) per message; None if there was no prompt or it was not recorded."""
        rows = self._rows("SELECT prompt FROM proposal WHERE id = :id AND requested_event <= :at", id=proposal_id)
        sent = prompt_of(self._one(rows, f"proposal {proposal_id}"), self.path)
        return None if sent is None else [(role, self._text(text)) for role, text in sent]

    def _text(self, id: int) -> str:
        row = self._one(self._rows(TEXT, id=id), f"text {id}")
        whole = row["base"] is None
        where = f"{self.path}: text.content of {id if whole else row['base']}"
        text = decompress(row["content"] if whole else row["model"], where)
        if text is None or row["beneath"] is not None:
            raise CorruptArchive(f"{where} should be there, and be stored whole; get a fresh copy of the archive")
        return text if whole else unpack_like(row["content"], text, f"{self.path}: text.content of {id}")

    def events(self, after: int = 0, kind: str | None = None) -> list[EventRow]:
        """Events with an id above `after`, of one kind or of all kinds, oldest first."""
        where = "" if kind is None else " AND kind = :kind"
        sql = f"SELECT * FROM event WHERE id > :after AND id <= :at{where} ORDER BY id"
        return [event_row(row, self.path) for row in self._rows(sql, after=after, kind=kind)]

    def event(self, id: int) -> EventRow:
        """One event. MissingRow if there is none with that id."""
        rows = self._rows("SELECT * FROM event WHERE id = :id AND id <= :at", id=id)
        return event_row(self._one(rows, f"event {id}"), self.path)

    def newest_event(self) -> EventRow | None:
        """The newest event; None if there is none."""
        rows = self._rows("SELECT * FROM event WHERE id <= :at ORDER BY id DESC LIMIT 1")
        return event_row(rows[0], self.path) if rows else None

    def telling_events(self, *, costs: bool = True) -> list[EventRow]:
        """The events that say more than that a row was written or changed, oldest first: of sessions, finals, costs, people.

        Those of costs may be nearly all of them.
        """
        out = "" if costs else " AND kind NOT IN ({})".format(", ".join(f"'{kind}'" for kind in COSTS))
        return [event_row(row, self.path) for row in self._rows(f"{TELLING}{out} ORDER BY id")]

    def last_event(self) -> int:
        """The id of the newest event; 0 if there is none."""
        return int(self._rows("SELECT coalesce(max(id), 0) AS id FROM event WHERE id <= :at")[0]["id"])

    def _bounded(self, rows: Iterable[T], size: Callable[[T], int]) -> list[T]:
        """The rows as a list. CorruptArchive if they decompress to more than MOST_UNPACKED bytes in total (`size` of each row)."""
        found, total = [], 0
        for row in rows:
            total += size(row)
            if total > MOST_UNPACKED:
                raise CorruptArchive(f"{self.path} unpacks to more than {MOST_UNPACKED} bytes; get a fresh copy of it")
            found.append(row)
        return found
