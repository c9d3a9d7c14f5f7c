"""Reader of an archive: read-only, safe for archives of other people, and usable while the writer is running.

Threat model. Covered: a hostile file can neither write nor run functions with side effects (`mode=ro`, `query_only`,
`trusted_schema=OFF`, real tables only, no extension or plugin). Its values are checked as they are read, and too long
values are refused. Not covered: bugs of SQLite itself, and what a caller does with text and graphs (they are untrusted: verify
graphs and escape text).

`Reader.as_of(event)` shows the archive as it was when that event was the newest: later rows do not exist, and evaluations and
proposals have the state that they had then. `Reader.among(ids)` shows only some candidates, with what belongs to them.
"""

import math

from archive.decode import Brief, FinishedEvaluation, brief, result_row
from archive.errors import CorruptArchive
from archive.records import Progress
from archive.rows import RowReader
from archive.spending import COSTS, Spending, spending_of
from archive.sqlite.cells import Cells
from archive.sqlite.queries import ARM, ARM_SCORES, BRIEF, COUNTS, DANGLING, NOW, SCORES_DOWN, STATUSES
from archive.standings import Standing, place, standing_of


class Reader(RowReader):
    """An archive open for reading: its rows, and what follows from several of them.

    Create it with `open` and close it (it is a context manager). Thread-safe.
    """

    def standings(self, task: str | None = None, rung: str | None = None) -> list[Standing]:
        """Scores of each candidate per task, rung, beta and learning rate. Highest mean first, those without a score last."""
        with self.consistent():
            briefs = {row["id"]: brief(row, self.path) for row in self._rows(BRIEF)}
            sql = (
                "SELECT id, candidate_id, task, rung, seed, beta, learning_rate, state, fitness, seconds FROM evaluation "
                "WHERE finished_event <= :at AND :task IN ('', task) AND :rung IN ('', rung) ORDER BY id"
            )
            rows = self._rows(sql, task=task or "", rung=rung or "")
        groups: dict[tuple[int, str, str, float | None, float | None], list[FinishedEvaluation]] = {}
        for result in (result_row(row, self.path) for row in rows):
            key = (result.candidate_id, result.task, result.rung, result.beta, result.learning_rate)
            groups.setdefault(key, []).append(result)
        if orphans := {key[0] for key in groups} - set(briefs):
            raise CorruptArchive(f"{self.path} has evaluations of candidate {min(orphans)}, but not the candidate")
        standings = [standing_of(briefs[key[0]], results) for key, results in groups.items()]
        return sorted(standings, key=place)

    def leaders(self, task: str, rung: str, most: int) -> list[Standing]:
        """The first `most` of `standings(task, rung)` with a score, without reading the others.

        A mean is at most its largest term. So the scores are read downwards, and the search ends at the first score that is below
        the mean of enough arms.
        """
        with self.consistent():
            means: dict[tuple[int, float | None, float | None], float] = {}
            after = (math.inf, NOW)
            while True:
                bound = {"fitness": after[0], "id": after[1], "page": 4 * most}
                rows = self._rows(SCORES_DOWN, task=task, rung=rung, **bound)
                for row in rows:
                    key = (row["candidate_id"], row["beta"], row["learning_rate"])
                    if key not in means:
                        scores = self._scores_of(task, rung, *key)
                        means[key] = math.fsum(scores) / len(scores)
                leading = sorted(means, key=lambda key: (-means[key], key[0], key[1] or 0.0, key[2] or 0.0))[:most]
                if len(rows) < 4 * most or (len(leading) == most and means[leading[-1]] > rows[-1]["fitness"]):
                    return [standing_of(self._brief(key[0]), self._results_of(task, rung, *key)) for key in leading]
                after = (rows[-1]["fitness"], rows[-1]["id"])

    def _scores_of(self, task: str, rung: str, candidate: int, beta: float | None, rate: float | None) -> list[float]:
        rows = self._rows(ARM_SCORES, task=task, rung=rung, id=candidate, beta=beta, rate=rate)
        values = (Cells(row, "evaluation", self.path).real_or_none("fitness") for row in rows)
        return [value for value in values if value is not None]

    def _results_of(
        self, task: str, rung: str, candidate: int, beta: float | None, rate: float | None
    ) -> list[FinishedEvaluation]:
        rows = self._rows(ARM, task=task, rung=rung, id=candidate, beta=beta, rate=rate)
        return [result_row(row, self.path) for row in rows]

    def _brief(self, candidate: int) -> Brief:
        rows = self._rows(f"{BRIEF} AND c.id = :id", id=candidate)
        return brief(self._one(rows, f"candidate {candidate}"), self.path)

    def progress(self) -> Progress:
        """Numbers of candidates, requests and trainings now, also in a view made by `as_of`."""
        row = self._rows(COUNTS)[0]
        return Progress(**{name: int(row[name]) for name in row.keys()})  # noqa: SIM118 - a Row iterates over its values

    def statuses(self, task: str) -> dict[str, int]:
        """Number of candidates by status now, with the trainings of a task: refused, duplicate, scored, failed (every training),
        accepted or unvetted, the first in this order that holds."""
        return {row["status"]: row["candidates"] for row in self._rows(STATUSES, task=task)}

    def spending(self) -> Spending:
        """Cost of proposals, trainings and judges so far."""
        with self.consistent():
            events = [event for kind in COSTS for event in self.events(kind=kind)]
            return spending_of(self.proposals(), self.evaluations(), events)

    def problems(self) -> list[str]:
        """Problems that SQLite's checks find in the file and its foreign keys; empty without any. Reads the whole file."""
        damage = [str(row[0]) for row in self._rows("PRAGMA integrity_check") if row[0] != "ok"]
        dangling = [
            f"row {row['rowid']} of {row['table']} refers to a row of {row['parent']} that is not there"
            for row in self._rows("PRAGMA foreign_key_check")
        ]
        return damage + dangling

    def check_references(self) -> None:
        """Raises CorruptArchive if a row refers to another that is not there. SQLite checks this on writing, not on reading."""
        for row in self._rows(DANGLING):
            raise CorruptArchive(
                f"{self.path}: a row of {row['holder']} refers to {row['missing']} {row['id']}, which is not there; get a fresh "
                "copy of the archive"
            )
