"""What can go wrong between the engine and a language model, what it means for the run, and what its user can do.

Everything an endpoint says is foreign text: what of it reaches a message is one line, printable, short, and rid of the
key.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from socket import gaierror

from evo.reply import printable


class Consequence(StrEnum):
    """What a failed request means for the run that made it."""

    STOP = "stop"
    """No later request can succeed until the configuration changes: end the run, resumable, exit code 1."""
    PAUSE = "pause"
    """The endpoint may well answer later, but the client's own retries are used up: hold back, or end resumable."""
    SKIP = "skip"
    """This proposal is lost, the next one need not be."""


class ErrorKind(StrEnum):
    """Why there is no reply. `consequence` says what follows, `retried` whether the client tries again by itself."""

    MISSING_PACKAGE = "missing_package"
    CONFIGURATION = "configuration"
    CONNECTION = "connection"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    QUOTA = "quota"
    NOT_FOUND = "not_found"
    BAD_REQUEST = "bad_request"
    TOO_LONG = "too_long"
    RATE_LIMIT = "rate_limit"
    SERVER_ERROR = "server_error"
    TIMEOUT = "timeout"
    DISCONNECTED = "disconnected"
    MALFORMED = "malformed"
    NOT_RECORDED = "not_recorded"

    @property
    def consequence(self) -> Consequence:
        """What a request that failed for this reason means for the run."""
        if self in _SKIPPING:
            return Consequence.SKIP
        return Consequence.PAUSE if self in _RETRIED else Consequence.STOP

    @property
    def retried(self) -> bool:
        """Whether the same request may succeed a little later."""
        return self in _RETRIED

    @property
    def possibly_paid(self) -> bool:
        """Whether the model may have worked, and been charged for, without our seeing the reply."""
        return self in {ErrorKind.TIMEOUT, ErrorKind.DISCONNECTED, ErrorKind.MALFORMED, ErrorKind.SERVER_ERROR}


_RETRIED = frozenset(
    {ErrorKind.CONNECTION, ErrorKind.RATE_LIMIT, ErrorKind.SERVER_ERROR, ErrorKind.TIMEOUT, ErrorKind.DISCONNECTED}
)
_SKIPPING = frozenset({ErrorKind.MALFORMED, ErrorKind.TOO_LONG})

_AGAIN = "the same command then continues the run"
_REMEDIES = {
    ErrorKind.UNAUTHORIZED: "check the API key: the variable {key_variable} must hold a key for {place}",
    ErrorKind.FORBIDDEN: "the key in {key_variable} may not do this: check its permissions, its project and your region",
    ErrorKind.QUOTA: f"top up the account behind the key in {{key_variable}}, or raise its limit; {_AGAIN}",
    ErrorKind.NOT_FOUND: "check llm.model ({model}) and llm.base_url ({place}); a base URL usually ends in /v1",
    ErrorKind.BAD_REQUEST: "compare llm.model, llm.max_tokens and llm.temperature with the endpoint's manual",
    ErrorKind.TOO_LONG: "give fewer parents per prompt, lower llm.max_tokens, or use a model with a longer context",
    ErrorKind.RATE_LIMIT: f"lower search.in_flight, the number of requests at once, or wait; {_AGAIN}",
    ErrorKind.SERVER_ERROR: f"the fault is on the endpoint's side: wait until it is back; {_AGAIN}",
    ErrorKind.TIMEOUT: (
        "raise llm.timeout_seconds, lower search.in_flight (requests at once) or llm.max_tokens, or use a faster model; "
        f"{_AGAIN}"
    ),
    ErrorKind.DISCONNECTED: f"look at the server's own log, or try later; {_AGAIN}",
    ErrorKind.MALFORMED: "check that llm.base_url speaks OpenAI's chat completions; it usually ends in /v1",
}

MAX_QUOTED = 300
"""Characters of an endpoint's own words that an error message repeats."""

_KEY_SHAPED = re.compile(r"\b(?:sk|pk|gsk|xai|key)-[\w*.\-]{8,}|\bBearer\s+\S+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Where:
    """What a message may say about an endpoint; `secret` is here to be struck out of foreign text, never shown."""

    place: str
    model: str
    key_variable: str
    secret: str = ""

    def __repr__(self) -> str:
        return f"Where({self.place!r}, {self.model!r})"

    def strike(self, text: str) -> str:
        """`text` without the key."""
        return text.replace(self.secret, "[api key]") if len(self.secret) >= 8 else text

    def quote(self, text: str) -> str:
        """Foreign text as part of a message: one short printable line, without anything shaped like a key."""
        line = " ".join(printable(_KEY_SHAPED.sub("[api key]", self.strike(text)[:4096])).split())
        return line if len(line) <= MAX_QUOTED else line[: MAX_QUOTED - 1] + "…"


class LLMError(Exception):
    """A request that brought no reply.

    `message` says what happened, `remedy` what to do about it; both are one line and free of the key. `retry_after` is
    the wait in seconds that the endpoint asked for. `tokens_in`, `tokens_out` and `usd` are known only where the
    endpoint charged for a reply that could not be used.
    """

    def __init__(
        self,
        kind: ErrorKind,
        message: str,
        remedy: str,
        *,
        status: int | None = None,
        retry_after: float | None = None,
        tokens_in: int | None = None,
        tokens_out: int | None = None,
        usd: float | None = None,
    ) -> None:
        super().__init__(f"{message}; {remedy}" if remedy else message)
        self.kind = kind
        self.message = message
        self.remedy = remedy
        self.status = status
        self.retry_after = retry_after
        self.tokens_in = tokens_in
        self.tokens_out = tokens_out
        self.usd = usd

    @property
    def consequence(self) -> Consequence:
        """What this failure means for the run."""
        return self.kind.consequence

    @property
    def possibly_paid(self) -> bool:
        """Whether the endpoint may have charged for it."""
        return self.kind.possibly_paid

    @property
    def record(self) -> str:
        """The failure as one line for the archive, from which `from_record` makes it again."""
        return f"{self.kind.value}: {self.message} | {self.remedy}"

    @classmethod
    def from_record(cls, text: str) -> LLMError:
        """The failure that `record` described; of kind MALFORMED where the text names none."""
        kind, _, rest = text.partition(": ")
        if kind not in set(ErrorKind):
            return cls(ErrorKind.MALFORMED, text, "")
        message, _, remedy = rest.rpartition(" | ")
        return cls(ErrorKind(kind), message, remedy)

    @classmethod
    def at(
        cls,
        where: Where,
        kind: ErrorKind,
        message: str,
        *,
        status: int | None = None,
        retry_after: float | None = None,
        remedy: str | None = None,
    ) -> LLMError:
        """An error of `kind` at an endpoint, with the remedy that belongs to the kind unless another is given."""
        text = remedy if remedy is not None else _REMEDIES[kind]
        filled = text.replace("{place}", where.place).replace("{model}", where.model)
        return cls(
            kind, message, filled.replace("{key_variable}", where.key_variable), status=status, retry_after=retry_after
        )


_NO_CREDIT = (
    "insufficient_quota", "exceeded your current quota", "credit balance", "insufficient credit", "insufficient balance",
)  # fmt: skip
_TOO_LONG = (
    "context length", "context_length", "context window", "context size", "context_size", "too many tokens",
    "prompt is too long",
)  # fmt: skip
_BAD_KEY = ("api key", "api_key", "apikey", "invalid authentication")


def kind_of_status(status: int, body: str) -> ErrorKind:
    """The kind behind an HTTP status and the words that came with it.

    Some endpoints report a wrong key or an over-long prompt as 400, and an empty account as 429: there the words decide.
    """
    words = body[:4000].lower()
    if status == HTTPStatus.UNAUTHORIZED:
        return ErrorKind.UNAUTHORIZED
    if status == HTTPStatus.PAYMENT_REQUIRED or (status in (400, 403, 429) and any(w in words for w in _NO_CREDIT)):
        return ErrorKind.QUOTA
    if status == HTTPStatus.FORBIDDEN:
        return ErrorKind.FORBIDDEN
    if status in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED):
        return ErrorKind.NOT_FOUND
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE or (400 <= status < 500 and any(w in words for w in _TOO_LONG)):
        return ErrorKind.TOO_LONG
    if status in (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT, HTTPStatus.TOO_EARLY):
        return ErrorKind.SERVER_ERROR
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return ErrorKind.RATE_LIMIT
    if status >= 500:
        return ErrorKind.SERVER_ERROR
    if status == HTTPStatus.BAD_REQUEST and any(w in words for w in _BAD_KEY):
        return ErrorKind.UNAUTHORIZED
    return ErrorKind.BAD_REQUEST


def connection_error(where: Where, error: BaseException) -> LLMError:
    """The error behind a request without an answer: refused, unknown host, bad certificate, or cut off midway."""
    causes = list(_causes(error))
    if any(isinstance(c, ssl.SSLError) for c in causes):
        message = f"no secure connection to {where.place}: its certificate or TLS version was not accepted"
        remedy = "check https or http in llm.base_url, and the certificates"
    elif any(isinstance(c, gaierror) for c in causes):
        message = f"the host of {where.place} is unknown"
        remedy = "check llm.base_url, the network and the proxy variables"
    elif any(isinstance(c, ConnectionRefusedError) or type(c).__name__ == "ConnectError" for c in causes):
        message = f"{where.place} refused the connection"
        remedy = f"start the server, or correct llm.base_url; {_AGAIN}"
    else:
        message = f"{where.place} closed the connection before its reply was complete"
        return LLMError.at(where, ErrorKind.DISCONNECTED, message)
    return LLMError.at(where, ErrorKind.CONNECTION, message, remedy=remedy)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """`error` and everything it was raised from, exception groups included."""
    pending, seen = [error], set[int]()
    while pending:
        current = pending.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        if isinstance(current, BaseExceptionGroup):
            pending.extend(current.exceptions)
        pending.extend(c for c in (current.__cause__, current.__context__) if c is not None)
