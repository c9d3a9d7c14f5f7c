"""The judge: a language model behind an OpenAI-compatible endpoint that compares two answers to a prompt, in both orders.

The answers are text from a model under training, so they are untrusted: they are quoted as JSON, and only the judgement is read
from the reply. Judges prefer the answer in first position more often than chance (position bias), hence both orders.
"""

import json
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from fitness.chat import asker
from fitness.chat.asker import REFUSALS, Asker
from fitness.chat.costs import Usage
from fitness.chat.endpoint import Endpoint
from fitness.chat.errors import AGAIN, LLMError
from fitness.chat.replies.answer import CUT_OFF, Completion
from fitness.chat.request import Message
from fitness.preference.judge.costs import CHARACTERS_PER_TOKEN, LONGEST_TEXT
from fitness.preference.judge.verdicts import INSTRUCTIONS, Judgement, read_verdict
from fitness.preference.options import JudgeEvaluation
from fitness.score import EvaluationFailed, bad_data

Question = tuple[str, str, str]  # prompt, first answer, second answer

EASY: Question = ("What is 2 + 2?", "4", "Bananas.")
MOST_UNREADABLE = 0.2  # fraction of the replies
PATIENCE = 180.0  # longest wait for the end of an outage after a training, seconds
TEMPERATURE, SEED = 0.0, 0  # for reproducible judgements


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
        self._asker = Asker(self._endpoint, options.concurrency, "the judge")

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
            verdict, answer = self._ask(EASY, meter, patience=1.5 * asker.FIRST_PAUSE)  # one more try
        except LLMError as error:
            raise bad_data(
                f"the judge {self.options.model!r} gave no judgement: {error.message}", error.remedy
            ) from None
        if verdict is None:
            replied = f" (it replied: {self._asker.endpoint.where.quote(answer.text)})" if answer.text.strip() else ""
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
                if error.kind in REFUSALS:
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
        """The judgement (None if the reply has none) and the reply. Raises LLMError; one in `gone` immediately."""
        texts = dict(zip(("prompt", "first", "second"), (text[:LONGEST_TEXT] for text in question), strict=True))
        asked, options = json.dumps(texts), self.options
        tokens_in = (len(INSTRUCTIONS) + len(asked)) // CHARACTERS_PER_TOKEN + 16
        answer, paid = self._asker.ask(
            [Message("system", INSTRUCTIONS), Message("user", asked)],
            most=Usage(tokens_in, options.max_tokens, options.prices.usd(tokens_in, options.max_tokens)),
            lost=meter.add, patience=patience, temperature=TEMPERATURE, seed=SEED, gone=lambda: next(iter(gone), None),
        )  # fmt: skip
        meter.add(paid)
        return read_verdict(answer.text, cut_off=answer.finish_reason == CUT_OFF), answer

    def _endpoint(self) -> Endpoint:
        options = self.options
        return Endpoint.resolve(
            options.model, base_url=options.base_url, key_variable=options.api_key_env, timeout=options.timeout_seconds,
            max_tokens=options.max_tokens, prices=options.prices, section=self.section,
        )  # fmt: skip
