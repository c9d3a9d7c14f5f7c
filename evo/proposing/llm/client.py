"""Client for language models behind OpenAI-compatible endpoints.

A request returns one `Reply` or raises one `LLMError`. The SDK's own retries are off, so that the caller can record each attempt
before it is sent and after it failed. Options that an endpoint does not support (enforced JSON, temperature) are detected once and
remembered.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Protocol

from evo.proposing.llm.wire import format_after, response_format, without_form
from evo.proposing.reply.reply import ReplyFormat
from fitness.chat.client import ask_async, async_client
from fitness.chat.costs import Usage
from fitness.chat.endpoint import Endpoint, Retry
from fitness.chat.errors import ErrorKind, LLMError
from fitness.chat.gate import Gate, Passage
from fitness.chat.replies.answer import Completion, read_answer
from fitness.chat.request import (
    CONCEDED,
    Concession,
    Concessions,
    Message,
    as_taken,
    concession_for,
    optional,
    request_arguments,
    tokens_bound,
)
from fitness.chat.text import printable

logger = logging.getLogger(__name__)

_NEEDLESS: Concessions = frozenset(Concession) - {
    Concession.MAX_COMPLETION_TOKENS, Concession.EXTRA_BODY, Concession.REASONING_EFFORT
}  # fmt: skip
"""Options that may be dropped for a proposal. The limit of its length may not: budgets depend on it.
Those that only some endpoints are sent are added by `optional`."""

Prompt = Sequence[Message] | Callable[[ReplyFormat, int | None], Sequence[Message]]
"""Messages, or a function that renders them for a reply format and, where possible, in at most so many tokens."""

SHORTER = 0.8
"""Length of the next try of a prompt that was too long for the model, as a fraction of its length."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A model's reply. Token counts and USD are None if the endpoint or the configuration does not give them.

    `attempt`: number of the attempt that succeeded. `seconds`: its duration.
    """

    text: str
    model: str
    tokens_in: int | None
    tokens_out: int | None
    usd: float | None
    seconds: float
    reply_format: ReplyFormat = ReplyFormat.JSON
    attempt: int = 1


class AttemptObserver(Protocol):
    """Observer of the attempts of a request: called before each is sent, and after it failed."""

    def started(self, attempt: int, model: str, messages: Sequence[Message]) -> None:
        """Attempt number `attempt` is about to be sent. If this method raises, it is not sent.

        `messages` is empty for the built-in proposer.
        """

    def failed(self, attempt: int, error: LLMError, next_in: float | None) -> None:
        """The attempt got no reply. The next one follows in `next_in` seconds; None if there is none."""

    def noted(self, text: str) -> None:
        """The client has learned something about the endpoint that the user should know."""


class LLMClient:
    """Client for one endpoint; several requests may be in progress. An async context manager."""

    def __init__(
        self,
        endpoint: Endpoint,
        retry: Retry | None = None,
        reply_format: ReplyFormat = ReplyFormat.JSON,
        context_tokens: int | None = None,
        concurrency: int | None = None,
    ) -> None:
        """`context_tokens`: the model's context, prompt and reply together; None if unknown. `concurrency`: requests at once.

        Raises LLMError (MISSING_PACKAGE, CONFIGURATION) if no client can be created.
        """
        self.endpoint = endpoint
        self._wanted = reply_format
        self._most_tokens = None if context_tokens is None else max(0, context_tokens - endpoint.max_tokens)
        self._retry = retry or Retry()
        self._told_shortened = False
        fenced = frozenset({Concession.RESPONSE_FORMAT})
        self._conceded: Concessions = fenced if reply_format is ReplyFormat.FENCED else frozenset()
        self._gate = Gate(concurrency)
        self._answers = False
        """Whether any reply has arrived."""
        self._left_behind = 0
        """Number of requests that were abandoned and that the server may still be working on."""
        self._quiet_until = 0.0
        self._jitter = random.Random()  # affects waiting times only, so it needs no seed
        self._sdk = async_client(endpoint, endpoint.timeout)

    async def __aenter__(self) -> LLMClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._sdk.close()

    @property
    def reply_format(self) -> ReplyFormat:
        """The reply format that is requested at present."""
        return format_after(self._conceded, self._wanted)

    def worst_case(self, prompt: Prompt) -> tuple[int, float | None]:
        """Maximum tokens and USD of one attempt, for budgets that count requests in progress."""
        most = most_for(self.endpoint, _messages(prompt, self.reply_format, self._most_tokens))
        return most.tokens, most.usd

    async def complete(
        self,
        prompt: Prompt,
        *,
        temperature: float,
        seed: int | None = None,
        observer: AttemptObserver | None = None,
        first_attempt: int = 1,
        plain: bool = False,
    ) -> Reply:
        """The model's reply to `prompt`. Raises LLMError after the last retry, or at once if a retry cannot help.

        Attempts are numbered from `first_attempt`, so that a resumed step continues its numbering. A cancelled call reports its
        attempt as started and not as failed: it was possibly charged. If the endpoint has shown that it handles fewer requests at
        once, this one waits until it may be sent, and its timeout starts then. `plain`: the reply is text, and no form of it is
        enforced.
        """
        conceded = self._conceded
        needless = optional(self.endpoint) | (_NEEDLESS if seed is not None else _NEEDLESS - {Concession.SEED})
        failures, attempt = 0, first_attempt
        while True:
            await self._quiet()
            try:
                async with self._gate.passage() as passage:
                    await self._quiet()
                    conceded |= self._conceded
                    messages = as_taken(self._fitting(prompt, conceded, observer), conceded)
                    if observer:
                        observer.started(attempt, self.endpoint.model, messages)
                    reply = await self._attempt(messages, conceded, temperature, seed, plain)
            except LLMError as error:
                wait: float | None
                if concession := concession_for(error, conceded, needless, self.endpoint.extra_body):
                    conceded, wait = conceded | {concession}, 0.0
                elif error.kind is ErrorKind.TOO_LONG and self._shortens(prompt, messages, conceded, observer):
                    wait = 0.0
                elif (wait := self._crowded(error, passage, failures + 1, observer)) is not None:
                    failures = 0
                else:
                    failures += 1
                    wait = self._wait(error, failures)
                if observer:
                    observer.failed(attempt, error, wait)
                if wait is None:
                    raise await self._with_offered_models(error) from None
                await self._pause(error, wait)
                attempt += 1
            else:
                self._remember(conceded)
                self._answers, self._left_behind = True, 0
                return replace(reply, attempt=attempt)

    async def _attempt(
        self, messages: Sequence[Message], conceded: Concessions, temperature: float, seed: int | None, plain: bool
    ) -> Reply:
        endpoint, where = self.endpoint, self.endpoint.where
        began = time.monotonic()
        request = request_arguments(
            without_form(endpoint) if plain else endpoint, messages, conceded, temperature=temperature, seed=seed,
            response_format=None if plain or self._wanted is ReplyFormat.FENCED else response_format(self._wanted),
        )  # fmt: skip
        content, content_type = await ask_async(self._sdk, endpoint, request)
        answer = read_answer(where, content, content_type, endpoint.prices)
        return Reply(
            text=where.strike(answer.text),
            model=answer.model or endpoint.model,
            tokens_in=answer.tokens_in,
            tokens_out=answer.tokens_out,
            usd=_usd(endpoint, messages, answer),
            seconds=time.monotonic() - began,
            reply_format=format_after(conceded, self._wanted),
        )

    def _fitting(self, prompt: Prompt, conceded: Concessions, observer: AttemptObserver | None) -> Sequence[Message]:
        """The messages, shortened if they would not fit into the model's context."""
        form = format_after(conceded, self._wanted)
        messages = _messages(prompt, form, self._most_tokens)
        if observer and not self._told_shortened and messages != _messages(prompt, form, None):
            self._told_shortened = True
            observer.noted(f"Prompts of more than about {self._most_tokens} tokens are shortened (docs/llm.md).")
        return messages

    def _shortens(
        self, prompt: Prompt, sent: Sequence[Message], conceded: Concessions, observer: AttemptObserver | None
    ) -> bool:
        """Whether a prompt that was too long becomes shorter in the next try; then later prompts are as short from the start."""
        if not callable(prompt):
            return False
        size = tokens_bound(sent)
        shorter = as_taken(_messages(prompt, format_after(conceded, self._wanted), int(SHORTER * size)), conceded)
        if tokens_bound(shorter) >= size:
            return False
        self._most_tokens = min(int(SHORTER * size), self._most_tokens or size)
        self._told_shortened = True
        text = f"A prompt was longer than the model's context: from now on at most about {self._most_tokens} tokens (docs/llm.md)."
        (observer.noted if observer else logger.warning)(text)
        return True

    def _wait(self, error: LLMError, failures: int) -> float | None:
        """Seconds until the next attempt; None if there is none."""
        retry = self._retry
        if not error.kind.retried or failures >= retry.attempts:
            return None
        if error.retry_after is not None:
            return error.retry_after if error.retry_after <= retry.longest_wait else None
        longest = min(retry.longest_wait, retry.first_wait * 2.0 ** (failures - 1))
        return longest * self._jitter.uniform(0.5, 1.0)

    def _crowded(
        self, error: LLMError, passage: Passage, failures: int, observer: AttemptObserver | None
    ) -> float | None:
        """Seconds until the next attempt of a request that failed because too many were in progress; None for another cause.

        Such a failure does not count as an attempt. Their number is small, since after each one fewer requests are sent at once. A
        server may still be working on abandoned requests and delay one that is sent alone: as many such failures are not counted as
        requests were abandoned.
        """
        retry, late, asked = self._retry, error.kind is ErrorKind.TIMEOUT, error.retry_after or 0.0
        rest = min(self.endpoint.timeout, retry.longest_wait) if late else asked
        if passage.together == 1:
            if not (late and self._answers and self._left_behind):
                return None
            self._left_behind -= 1
            return rest
        given_up = error.kind is ErrorKind.RATE_LIMIT and failures >= retry.attempts
        if asked > retry.longest_wait or not (late or given_up):
            return None
        self._left_behind += late
        if self._gate.narrow(passage):
            self._quiet_until = max(self._quiet_until, time.monotonic() + rest)
            parallel = self.endpoint.where.parallel
            text = (
                f"{error.message} while {passage.together} requests were in progress: from now on at most {self._gate.limit} "
                f"at once, the next in {rest:.0f} s; {parallel}={self._gate.limit} sets this limit from the start"
            )
            (observer.noted if observer else logger.warning)(text)
        return max(retry.first_wait, self._quiet_until - time.monotonic())

    async def _pause(self, error: LLMError, wait: float) -> None:
        """Delay this request, or all requests if the endpoint reported a rate limit."""
        if error.kind is ErrorKind.RATE_LIMIT:
            self._quiet_until = max(self._quiet_until, time.monotonic() + wait)
        else:
            await asyncio.sleep(wait)

    async def _quiet(self) -> None:
        while (wait := self._quiet_until - time.monotonic()) > 0:
            await asyncio.sleep(wait)

    def _remember(self, conceded: Concessions) -> None:
        """Remember the options that a successful request had to drop, and report each of them once."""
        for concession in sorted(conceded - self._conceded):
            place = self.endpoint.where.place
            logger.warning("%s does not take %s: %s from now on", place, concession.value, CONCEDED[concession])
        self._conceded |= conceded

    async def _with_offered_models(self, error: LLMError) -> LLMError:
        """For a 404: the error with the list of the endpoint's models, if it gives one. Any other error is unchanged."""
        if error.kind is not ErrorKind.NOT_FOUND:
            return error
        import openai

        try:
            async with asyncio.timeout(5.0):
                page = await self._sdk.models.list()
            names = sorted({str(model.id) for model in page.data})[:8]
        except (TimeoutError, openai.OpenAIError, AttributeError, TypeError, ValueError):
            return error
        if not names:
            return error
        offered = ", ".join(printable(name[:80], keep="") for name in names)
        return LLMError(
            error.kind,
            error.message,
            f"set {self.endpoint.section}.model to one that it offers: {offered}",
            status=error.status,
        )


def most_for(endpoint: Endpoint, messages: Sequence[Message]) -> Usage:
    """Maximum usage of an attempt with these messages, whose prompt is counted as one token per three characters."""
    tokens = tokens_bound(messages)
    return Usage(tokens, endpoint.max_tokens, endpoint.prices.usd(tokens, endpoint.max_tokens))


def _usd(endpoint: Endpoint, messages: Sequence[Message], answer: Completion) -> float | None:
    """Cost of an answer in USD. If only one of its two token counts is given, the other counts with its maximum."""
    if answer.tokens_in is None and answer.tokens_out is None:
        return None
    most = most_for(endpoint, messages)
    tokens_in = most.tokens_in if answer.tokens_in is None else answer.tokens_in
    tokens_out = most.tokens_out if answer.tokens_out is None else answer.tokens_out
    return endpoint.prices.usd(tokens_in, tokens_out)


def _messages(prompt: Prompt, reply_format: ReplyFormat, most_tokens: int | None) -> Sequence[Message]:
    return prompt(reply_format, most_tokens) if callable(prompt) else prompt
