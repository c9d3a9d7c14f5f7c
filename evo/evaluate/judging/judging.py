"""Judging: asks the judge about answers, within the budget, and records each judgement when it comes.

A request is recorded before it is sent. An equal request is never sent again: its reply is copied. What was cut off by a killed
process counts as paid at its maximum.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

from archive import records
from archive.judgements import JudgementRow, open_requests
from archive.query import Reader
from archive.records import EventKind
from archive.spending import TO_JUDGE
from archive.store import Archive
from evo.campaign.training import TaskUnusable, recorded
from evo.config.budget_settings import BudgetConfig
from evo.evaluate.judging.requests import Request
from evo.evaluate.settings import JudgeOptions
from evo.search.budget import Cost, Spent, exceeded_limit
from fitness.benchmarks.protocol import Benchmark, JudgeReply
from fitness.chat.asker import REFUSALS, Asker
from fitness.chat.costs import Usage
from fitness.chat.errors import AGAIN, ErrorKind, LLMError

SEED = 0
"""Sent to the judge, for reproducible judgements."""
ENOUGH = 16
"""Replies of which at least one must have a grade."""


class JudgingStopped(TaskUnusable):
    """The judge cannot be asked further: the budget, an outage, or replies without grades. What was judged is recorded."""


class Purse:
    """What judging may still cost: recorded spending, and the most that requests in progress may cost. Thread-safe."""

    def __init__(self, budget: BudgetConfig, tokens: int, usd: float) -> None:
        self._budget = budget
        self._tokens, self._usd = tokens, usd
        self._under_way = Cost()
        self._lock = threading.Lock()

    def limit(self, most: Usage, *, again: bool = False) -> str | None:
        """The limit that a request would exceed, in words. `again`: one that is in progress already."""
        cost = _cost(most)
        with self._lock:
            under_way = self._under_way + cost.times(-1) if again else self._under_way
            return exceeded_limit(self._budget, Spent(tokens=self._tokens, usd=self._usd), under_way, cost)

    @contextmanager
    def reserved(self, most: Usage) -> Iterator[None]:
        """Reserve the most that a request may cost within the block. Raises JudgingStopped if the budget does not allow it."""
        cost = _cost(most)
        with self._lock:
            used = Spent(tokens=self._tokens, usd=self._usd)
            if limit := exceeded_limit(self._budget, used, self._under_way, cost):
                raise JudgingStopped(f"{limit}; raise it, and the same command continues")
            self._under_way += cost
        try:
            yield
        finally:
            with self._lock:
                self._under_way += cost.times(-1)

    def pay(self, usage: Usage) -> None:
        """Add what a request cost."""
        with self._lock:
            self._tokens += usage.tokens
            self._usd += usage.usd or 0.0


def settle_open_requests(archive: Archive, reader: Reader) -> int:
    """Charge what was cut off by the end of an earlier process, at its maximum. Returns the number of requests."""
    left = open_requests(reader.events(kind=EventKind.JUDGE_ASKED), reader.events(kind=EventKind.CHARGED))
    for asked, most in left.items():
        archive.judgements.settle(asked, most, possibly_paid=True)
    return len(left)


def prompt_hashes(benchmark: Benchmark) -> dict[str, str]:
    """SHA-256 of each template of a benchmark's prompts, by form."""
    return {form: hashlib.sha256(text.encode()).hexdigest() for form, text in benchmark.forms.items()}


class Judging:
    """Asks one judge about the answers of one benchmark."""

    def __init__(
        self, benchmark: Benchmark, options: JudgeOptions, asker: Asker, purse: Purse, archive: Archive, reader: Reader
    ) -> None:
        self._benchmark, self._options, self._asker, self._purse = benchmark, options, asker, purse
        self._archive = archive
        self._hashes = prompt_hashes(benchmark)
        rows = [row for row in reader.judgements(benchmark.name) if row.judge == options.model]
        self._judged = {_place(row.key, row.turn, row.form, row.first, row.second): row for row in rows}
        self._replies = {row.key: row for row in reversed(rows)}
        self._graded = sum(row.grade is not None and self._hashes.get(row.form) == row.prompt_hash for row in rows)
        self._ungraded = 0  # of this session: the judge's settings may have changed since the last one
        self._stopped: Exception | None = None
        self._lock = threading.Lock()

    def left(self, requests: Iterable[Request]) -> list[Request]:
        """Those that have no recorded judgement yet. Copies of recorded replies are recorded at once."""
        found = []
        for request in requests:
            if _of(request) in self._judged:
                continue
            if (reply := self._replies.get(request.key)) is not None:
                self._add(self._row(request, reply.grade, reply.reply, reply), None)
            else:
                found.append(request)
        return found

    def judge(self, requests: Sequence[Request]) -> None:
        """Ask about all of them, several at once. Raises JudgingStopped, with all that was judged recorded."""
        alike: dict[str, list[Request]] = {}
        for request in requests:
            alike.setdefault(request.key, []).append(request)
        threads = ThreadPoolExecutor(self._options.concurrency, "judge")
        try:
            for done in [threads.submit(self._ask, same) for same in alike.values()]:
                done.result()
        except BaseException as error:
            self._stopped = self._stopped or JudgingStopped(f"judging ended: {error}")
            raise
        finally:
            threads.shutdown(cancel_futures=True)  # requests in progress are paid for, so their replies are recorded
        if self._stopped:
            raise self._stopped

    def _ask(self, same: Sequence[Request]) -> None:
        """Ask once for requests that are equal, and record a judgement for each."""
        first = same[0]
        most = first.most(self._options.prices, self._options.max_tokens)
        try:
            if self._stopped:
                return
            with self._purse.reserved(most):
                asked = self._archive.judgements.ask(first.key, recorded(most))
                self._answered(same, asked, most)
        except (LLMError, JudgingStopped) as error:
            self._stopped = self._stopped or self._in_words(error)

    def _answered(self, same: Sequence[Request], asked: int, most: Usage) -> None:
        first, sent = same[0], same[0].request
        try:
            answer, paid = self._asker.ask(
                sent.messages, most=most, lost=self._lost, patience=self._options.patience_seconds, temperature=sent.temperature,
                seed=SEED, extra=sent.extra, max_tokens=self._options.max_tokens or sent.max_tokens,
                gone=lambda: self._stopped or self._too_dear(most),
            )  # fmt: skip
        except BaseException as error:
            if not isinstance(error, LLMError) or not self._is_refusal(error):
                self._archive.judgements.settle(asked, records.Usage(0, 0, 0.0))
                raise
            row = self._row(first, None, f"(no reply) {error.record}")
        else:
            self._purse.pay(paid)
            grade = self._benchmark.grade(sent, JudgeReply(answer.text, answer.alternatives))
            row = self._row(first, grade, answer.text)
            row = replace(row, usage=recorded(paid), alternatives=dict(answer.alternatives))
        self._add(row, asked)
        for other in same[1:]:
            self._add(self._row(other, row.grade, row.reply, row), None)
        self._check_grades(row)

    def _lost(self, usage: Usage) -> None:
        """Record an attempt without a reply that may have been charged."""
        self._purse.pay(usage)
        self._archive.charge(TO_JUDGE, recorded(usage))

    def _too_dear(self, most: Usage) -> Exception | None:
        """The end of the budget, if lost attempts have used up what another attempt may cost."""
        limit = self._purse.limit(most, again=True)
        return JudgingStopped(f"{limit}; raise it, and the same command continues") if limit else None

    def _is_refusal(self, error: LLMError) -> bool:
        """Whether the judge refuses this one request. A bad request is a fault of all, unless the judge graded others."""
        return error.kind in REFUSALS and (error.kind is not ErrorKind.BAD_REQUEST or self._graded > 0)

    def _check_grades(self, row: JudgementRow) -> None:
        with self._lock:
            if row.grade is None:
                self._ungraded += 1
            else:
                self._graded += 1
            if not self._graded and self._ungraded >= ENOUGH:
                said = self._asker.endpoint.where.quote(row.reply[-500:])
                self._stopped = self._stopped or JudgingStopped(
                    f"none of {self._ungraded} replies of the judge {self._options.model!r} to {self._benchmark.name} has a grade "
                    f"(the last ends: {said}); use a stronger model, or raise judge.max_tokens for one that reasons at length"
                )

    def _row(
        self, request: Request, grade: float | None, reply: str, copied: JudgementRow | None = None
    ) -> JudgementRow:
        sent = request.request
        return JudgementRow(
            0, self._benchmark.name, request.question.id, request.question.category, sent.turn, sent.form,
            self._hashes[sent.form], self._options.model, sent.first, sent.second, grade, reply, None, request.key,
            copied.alternatives if copied else {},
        )  # fmt: skip

    def _add(self, row: JudgementRow, asked: int | None) -> None:
        self._archive.judgements.add_judgement(row, asked)
        with self._lock:
            self._judged[_place(row.key, row.turn, row.form, row.first, row.second)] = row
            self._replies.setdefault(row.key, row)

    def _in_words(self, error: LLMError | JudgingStopped) -> JudgingStopped:
        if isinstance(error, JudgingStopped):
            return error
        remedy = error.remedy if AGAIN in error.remedy else f"{error.remedy}; {AGAIN}"
        return JudgingStopped(f"the judge {self._options.model!r} stopped answering: {error.message}; {remedy}")


def _cost(usage: Usage) -> Cost:
    return Cost(tokens=usage.tokens, usd=usage.usd or 0.0)


_Place = tuple[str, int, str, int, int | None]


def _place(key: str, turn: int, form: str, first: int, second: int | None) -> _Place:
    """What tells one judgement from all others in the archive."""
    return key, turn, form, first, second


def _of(request: Request) -> _Place:
    sent = request.request
    return _place(request.key, sent.turn, sent.form, sent.first, sent.second)
