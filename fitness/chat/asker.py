"""Asks one endpoint from several threads: waits for the end of an outage, and adapts to what the endpoint accepts.

The usage of every attempt that was or may have been charged is told, with upper bounds for token counts that the endpoint does not
report. An error status costs nothing.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from fitness.chat.client import ask, sync_client
from fitness.chat.costs import Usage
from fitness.chat.endpoint import Endpoint
from fitness.chat.errors import ErrorKind, LLMError
from fitness.chat.gate import Gate, Passage
from fitness.chat.replies.answer import Completion, read_answer
from fitness.chat.request import Concession, Concessions, Message, as_taken, concession_for, request_arguments

logger = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0  # seconds between two tries, doubled each time

OUTAGES = frozenset(kind for kind in ErrorKind if kind.retried) | {ErrorKind.MALFORMED}
"""Temporary failures. HTML pages and broken JSON are among them: networks and starting servers return these."""
REFUSALS = frozenset({ErrorKind.BAD_REQUEST, ErrorKind.TOO_LONG, ErrorKind.FILTERED})
"""Failures of a single request, for example one that is too long."""
_OPTIONAL: Concessions = frozenset(Concession) - {
    Concession.RESPONSE_FORMAT, Concession.EXTRA_BODY, Concession.REASONING_EFFORT
}  # fmt: skip


class Asker:
    """Asks an endpoint, which `resolve` gives when the first request is made. `who` names it in warnings."""

    def __init__(self, resolve: Callable[[], Endpoint], concurrency: int, who: str) -> None:
        self._resolve = resolve
        self._who = who
        self._conceded: Concessions = frozenset()
        self._gate = Gate(concurrency)
        self._opening = threading.Lock()
        self._opened: tuple[Endpoint, Any] | None = None

    @property
    def endpoint(self) -> Endpoint:
        """The endpoint. Raises LLMError if configuration or environment are not valid."""
        return self._opened[0] if self._opened else self._resolve()

    def ask(
        self,
        messages: Sequence[Message],
        *,
        most: Usage,
        lost: Callable[[Usage], None],
        patience: float,
        temperature: float,
        seed: int | None,
        extra: Mapping[str, Any] | None = None,
        max_tokens: int | None = None,
        gone: Callable[[], Exception | None] = lambda: None,
    ) -> tuple[Completion, Usage]:
        """The reply to a chat, and what it cost. Raises LLMError.

        Tries again for up to `patience` seconds of an outage. A timeout that other requests may have caused does not count as one.
        `most`: upper bound of an attempt's usage. `lost` is told the usage of each failed attempt that was or may have been
        charged. `gone` is asked before each attempt; what it returns is raised, and nothing is sent. `extra`: further fields of the
        request. `max_tokens`: instead of the endpoint's.
        """
        since: float | None = None  # time of the first failure; waiting for the gate does not count
        pause = FIRST_PAUSE
        while True:
            with self._gate.passage_of_thread() as passage:
                if stopped := gone():
                    raise stopped
                try:
                    return self._attempt(messages, most, lost, temperature, seed, extra or {}, max_tokens)
                except LLMError as error:
                    if error.kind is ErrorKind.TIMEOUT and self._lower_limit(passage):
                        since = None
                        continue
                    since = time.monotonic() if since is None else since
                    wait = max(pause, error.retry_after or 0.0)
                    if error.kind not in OUTAGES or time.monotonic() + wait > since + patience:
                        raise
            time.sleep(wait)
            pause = min(2 * pause, LONGEST_PAUSE)

    def _lower_limit(self, passage: Passage) -> bool:
        """Whether to repeat a request that timed out while others were in flight; lowers the limit if possible."""
        if self._gate.narrow(passage):
            where = self.endpoint.where
            logger.warning(
                "%s at %s does not answer %d requests at once in time: from now on at most %d (%s)",
                self._who, where.place, passage.together, self._gate.limit, where.parallel,
            )  # fmt: skip
        return passage.together > 1

    def _attempt(
        self, messages: Sequence[Message], most: Usage, lost: Callable[[Usage], None], temperature: float, seed: int | None,
        extra: Mapping[str, Any], max_tokens: int | None,
    ) -> tuple[Completion, Usage]:  # fmt: skip
        endpoint, client = self._open()
        if extra or max_tokens is not None:
            endpoint = replace(endpoint, extra_body=extra, max_tokens=max_tokens or endpoint.max_tokens)
        while True:
            conceded = self._conceded
            taken = as_taken(messages, conceded)
            request = request_arguments(endpoint, taken, conceded, temperature=temperature, seed=seed)
            try:
                content, kind = ask(client, endpoint, request)
                answer = read_answer(endpoint.where, content, kind, endpoint.prices)
            except LLMError as error:
                if error.possibly_paid or error.tokens_in or error.tokens_out:
                    lost(_charged(endpoint, error, most))
                concession = concession_for(error, conceded, _OPTIONAL)
                if concession is None:
                    raise
                self._conceded |= {concession}
            else:
                return answer, _charged(endpoint, answer, most)

    def _open(self) -> tuple[Endpoint, Any]:
        """The endpoint and a client, created once. Raises LLMError if configuration or environment are not valid."""
        with self._opening:
            if self._opened is None:
                endpoint = self._resolve()
                self._opened = endpoint, sync_client(endpoint, endpoint.timeout)
            return self._opened


def _charged(endpoint: Endpoint, reply: Completion | LLMError, most: Usage) -> Usage:
    """The reported usage, with upper bounds for counts that were not reported."""
    tokens_in = most.tokens_in if reply.tokens_in is None else reply.tokens_in
    tokens_out = most.tokens_out if reply.tokens_out is None else reply.tokens_out
    return Usage(tokens_in, tokens_out, endpoint.prices.usd(tokens_in, tokens_out))
