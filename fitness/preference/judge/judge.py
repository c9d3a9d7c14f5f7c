"""The judge: a language model behind an OpenAI-compatible endpoint that compares two answers to a prompt, in both orders.

The answers are text from a model under training, so they are untrusted: they are quoted as JSON, and only the judgement is read
from the reply. Judges prefer the answer in first position more often than chance (position bias), hence both orders.
"""

import json
import logging
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from fitness.chat.client import ask, sync_client
from fitness.chat.costs import Usage
from fitness.chat.endpoint import Endpoint
from fitness.chat.errors import AGAIN, ErrorKind, LLMError
from fitness.chat.gate import Gate, Passage
from fitness.chat.replies.answer import CUT_OFF, Completion, read_answer
from fitness.chat.request import Concession, Concessions, Message, as_taken, concession_for, request_arguments
from fitness.preference.judge.costs import CHARACTERS_PER_TOKEN, LONGEST_TEXT
from fitness.preference.judge.verdicts import INSTRUCTIONS, Judgement, read_verdict
from fitness.preference.options import JudgeEvaluation
from fitness.score import EvaluationFailed, bad_data

logger = logging.getLogger(__name__)

Question = tuple[str, str, str]  # prompt, first answer, second answer

EASY: Question = ("What is 2 + 2?", "4", "Bananas.")
MOST_UNREADABLE = 0.2  # fraction of the replies
PATIENCE = 180.0  # longest wait for the end of an outage after a training, seconds
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0  # seconds between two tries, doubled each time
TEMPERATURE, SEED = 0.0, 0  # for reproducible judgements

_OUTAGES = frozenset(kind for kind in ErrorKind if kind.retried) | {ErrorKind.MALFORMED}
"""Temporary failures. HTML pages and broken JSON are among them: networks and starting servers return these."""
_OPTIONAL: Concessions = frozenset(Concession) - {
    Concession.RESPONSE_FORMAT, Concession.EXTRA_BODY, Concession.REASONING_EFFORT
}  # fmt: skip
_REFUSALS = frozenset({ErrorKind.BAD_REQUEST, ErrorKind.TOO_LONG, ErrorKind.FILTERED})
"""Failures of a single question, for example one that is too long."""


class _Meter:
    """Thread-safe sum of usages."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.total = Usage()

    def add(self, usage: Usage) -> None:
        with self._lock:
            self.total += usage


class Judge:
    """A judge; `section` is its section of the configuration.

    Its usage is read from its replies, including unreadable ones. If a reply does not report it, or a request that may have been
    answered was interrupted, the upper bound for the question is counted. An error status costs nothing.
    """

    def __init__(self, options: JudgeEvaluation, section: str = "fitness.evaluation") -> None:
        self.options = options
        self.section = section
        self._conceded: Concessions = frozenset()
        self._gate = Gate(options.concurrency)
        self._opening = threading.Lock()
        self._opened: tuple[Endpoint, Any] | None = None

    def check(self) -> Usage:
        """Request one easy judgement; returns its usage. Raises EvaluationFailed("bad_data") with the remedy."""
        meter = _Meter()
        try:
            self._check(meter)
        except EvaluationFailed as failure:
            failure.paid = meter.total
            raise
        return meter.total

    def _check(self, meter: _Meter) -> None:
        try:
            verdict, answer = self._ask(EASY, meter, patience=1.5 * FIRST_PAUSE)  # one more try
        except LLMError as error:
            raise bad_data(
                f"the judge {self.options.model!r} gave no judgement: {error.message}", error.remedy
            ) from None
        if verdict is None:
            replied = f" (it replied: {self._endpoint.where.quote(answer.text)})" if answer.text.strip() else ""
            ended = ", and ended at max_tokens" if answer.finish_reason == CUT_OFF else ""
            raise bad_data(
                f"the judge {self.options.model!r} does not reply in the required form{replied}{ended}",
                f"use a stronger model, or raise {self.section}.max_tokens for one that reasons at length",
            )

    def compare(
        self, prompts: Sequence[str], ours: Sequence[str], theirs: Sequence[str]
    ) -> tuple[list[float], dict[str, float], Usage]:
        """Points of `ours` by prompt (a tie counts one half), metrics, and the judge's usage.

        Metrics: win_rate, the mean of the points; judge_agreement between the two orders; judge_unreadable, the fraction of
        unreadable replies.

        Raises EvaluationFailed with the usage: collapsed if too many replies about these answers cannot be read; bad_data if the
        judge does not answer for more than a few minutes, or cannot answer an easy question either.
        """
        meter = _Meter()
        try:
            points, metrics = self._compare(prompts, ours, theirs, meter)
            return points, metrics, meter.total
        except EvaluationFailed as failure:
            failure.paid = meter.total
            raise

    def _compare(
        self, prompts: Sequence[str], ours: Sequence[str], theirs: Sequence[str], meter: _Meter
    ) -> tuple[list[float], dict[str, float]]:
        questions = [
            question
            for prompt, our, their in zip(prompts, ours, theirs, strict=True)
            for question in ((prompt, our, their), (prompt, their, our))
        ]
        gone: list[LLMError] = []  # after one permanent failure the remaining questions are not sent

        def verdict(question: Question) -> Judgement | None:
            try:
                return self._ask(question, meter, patience=PATIENCE, gone=gone)[0]
            except LLMError as error:
                if error.kind in _REFUSALS:
                    return None
                gone.append(error)
                raise

        try:
            with ThreadPoolExecutor(self.options.concurrency) as threads:
                verdicts = list(threads.map(verdict, questions))
        except LLMError as error:
            raise bad_data(
                f"the judge {self.options.model!r} stopped answering: {error.message}",
                error.remedy if AGAIN in error.remedy else f"{error.remedy}; {AGAIN}",
            ) from None
        unreadable = verdicts.count(None) / len(verdicts)
        if unreadable > MOST_UNREADABLE:
            self._check(meter)  # raises if the judge itself is at fault
            raise EvaluationFailed(
                "collapsed",
                f"{unreadable:.0%} of the judge's replies about the policy's answers cannot be read, at most "
                f"{MOST_UNREADABLE:.0%} may be; its reply to an easy question can",
            )
        ours_first = [{"first": 1.0, "second": 0.0}.get(v or "", 0.5) for v in verdicts[::2]]
        ours_second = [{"first": 0.0, "second": 1.0}.get(v or "", 0.5) for v in verdicts[1::2]]
        points = [(a + b) / 2 for a, b in zip(ours_first, ours_second, strict=True)]
        agreed = sum(a == b for a, b in zip(ours_first, ours_second, strict=True))
        return points, {
            "win_rate": sum(points) / len(points),
            "judge_agreement": agreed / len(points),
            "judge_unreadable": unreadable,
        }

    def _ask(
        self, question: Question, meter: _Meter, *, patience: float, gone: Sequence[LLMError] = ()
    ) -> tuple[Judgement | None, Completion]:
        """The judgement (None if the reply has none) and the reply. Raises LLMError; one in `gone` immediately.

        Retries for up to `patience` seconds of an outage. A timeout that other requests may have caused is not counted as one.
        """
        since: float | None = None  # time of the first failure; waiting for the gate does not count
        pause = FIRST_PAUSE
        while True:
            with self._gate.passage_of_thread() as passage:
                if gone:
                    raise gone[0]
                try:
                    answer = self._attempt(question, meter)
                    return read_verdict(answer.text, cut_off=answer.finish_reason == CUT_OFF), answer
                except LLMError as error:
                    if error.kind is ErrorKind.TIMEOUT and self._lower_limit(passage):
                        since = None
                        continue
                    since = time.monotonic() if since is None else since
                    wait = max(pause, error.retry_after or 0.0)
                    if error.kind not in _OUTAGES or time.monotonic() + wait > since + patience:
                        raise
            time.sleep(wait)
            pause = min(2 * pause, LONGEST_PAUSE)

    def _lower_limit(self, passage: Passage) -> bool:
        """Whether to repeat a request that timed out while others were in flight; lowers the limit if possible."""
        if self._gate.narrow(passage):
            logger.warning(
                "the judge at %s does not answer %d requests at once in time: from now on at most %d (%s)",
                self._endpoint.where.place, passage.together, self._gate.limit, self._endpoint.where.parallel,
            )  # fmt: skip
        return passage.together > 1

    def _attempt(self, question: Question, meter: _Meter) -> Completion:
        endpoint, client = self._open()
        conceded = self._conceded
        texts = dict(zip(("prompt", "first", "second"), (text[:LONGEST_TEXT] for text in question), strict=True))
        asked = json.dumps(texts)
        at_most = self._usage((len(INSTRUCTIONS) + len(asked)) // CHARACTERS_PER_TOKEN + 16, self.options.max_tokens)
        try:
            answer = self._answer(endpoint, client, asked, conceded)
        except LLMError as error:
            if error.possibly_paid or error.tokens_in or error.tokens_out:
                meter.add(self._charged(error, at_most))
            concession = concession_for(error, conceded, _OPTIONAL)
            if concession is None:
                raise
            self._conceded |= {concession}
            return self._attempt(question, meter)
        meter.add(self._charged(answer, at_most))
        return answer

    def _answer(self, endpoint: Endpoint, client: Any, asked: str, conceded: Concessions) -> Completion:
        """The endpoint's reply. Raises LLMError."""
        messages = as_taken([Message("system", INSTRUCTIONS), Message("user", asked)], conceded)
        request = request_arguments(endpoint, messages, conceded, temperature=TEMPERATURE, seed=SEED)
        content, kind = ask(client, endpoint, request)
        return read_answer(endpoint.where, content, kind, endpoint.prices)

    @property
    def _endpoint(self) -> Endpoint:
        options = self.options
        return Endpoint.resolve(
            options.model, base_url=options.base_url, key_variable=options.api_key_env, timeout=options.timeout_seconds,
            max_tokens=options.max_tokens, prices=options.prices, section=self.section,
        )  # fmt: skip

    def _open(self) -> tuple[Endpoint, Any]:
        """The endpoint and a client, created once. Raises LLMError if configuration or environment are not valid."""
        with self._opening:
            if self._opened is None:
                endpoint = self._endpoint
                self._opened = endpoint, sync_client(endpoint, endpoint.timeout)
            return self._opened

    def _usage(self, tokens_in: int, tokens_out: int) -> Usage:
        return Usage(tokens_in, tokens_out, self.options.prices.usd(tokens_in, tokens_out))

    def _charged(self, reply: Completion | LLMError, at_most: Usage) -> Usage:
        """The reported usage, with upper bounds for counts that were not reported."""
        tokens_in = at_most.tokens_in if reply.tokens_in is None else reply.tokens_in
        tokens_out = at_most.tokens_out if reply.tokens_out is None else reply.tokens_out
        return self._usage(tokens_in, tokens_out)
