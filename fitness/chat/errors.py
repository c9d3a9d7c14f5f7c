"""Errors of requests to a language model: their kinds, their consequences for the run, and remedies for the user.

Text from an endpoint is untrusted. A message quotes it as one short printable line without the key.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from fitness.chat.text import printable


class Consequence(StrEnum):
    """Consequence of a failed request for the run."""

    STOP = "stop"
    """No later request can succeed until the configuration changes: end the run (it can be resumed), exit code 1."""
    PAUSE = "pause"
    """The endpoint may answer later, but the client's retries are used up: wait, or end the run (it can be resumed)."""
    SKIP = "skip"
    """This proposal is lost; the next request may succeed."""


class ErrorKind(StrEnum):
    """Why there is no reply. `consequence` is the effect on the run, `retried` whether the client tries again by itself."""

    MISSING_PACKAGE = "missing_package"
    CONFIGURATION = "configuration"
    CONNECTION = "connection"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    QUOTA = "quota"
    NOT_FOUND = "not_found"
    BAD_REQUEST = "bad_request"
    TOO_LONG = "too_long"
    FILTERED = "filtered"
    RATE_LIMIT = "rate_limit"
    SERVER_ERROR = "server_error"
    TIMEOUT = "timeout"
    DISCONNECTED = "disconnected"
    MALFORMED = "malformed"

    @property
    def consequence(self) -> Consequence:
        """Consequence of a failure of this kind for the run."""
        if self in _SKIPPING:
            return Consequence.SKIP
        return Consequence.PAUSE if self in _RETRIED else Consequence.STOP

    @property
    def retried(self) -> bool:
        """Whether the same request may succeed a short time later."""
        return self in _RETRIED

    @property
    def possibly_paid(self) -> bool:
        """Whether a reply may have been generated and charged although it was not received. An error status costs nothing."""
        return self in _ANSWERED_UNSEEN


_RETRIED = frozenset(
    {ErrorKind.CONNECTION, ErrorKind.RATE_LIMIT, ErrorKind.SERVER_ERROR, ErrorKind.TIMEOUT, ErrorKind.DISCONNECTED}
)
_SKIPPING = frozenset({ErrorKind.MALFORMED, ErrorKind.TOO_LONG, ErrorKind.FILTERED})
_ANSWERED_UNSEEN = frozenset({ErrorKind.TIMEOUT, ErrorKind.DISCONNECTED, ErrorKind.MALFORMED, ErrorKind.FILTERED})

AGAIN = "the same command then continues the run"
_REMEDIES = {
    ErrorKind.CONFIGURATION: "check {section}.base_url and {section}.model",
    ErrorKind.UNAUTHORIZED: "check the API key: the variable {key_variable} must hold a key for {place}",
    ErrorKind.FORBIDDEN: "the key in {key_variable} may not do this: check its permissions, its project and your region",
    ErrorKind.QUOTA: f"top up the account behind the key in {{key_variable}}, or raise its limit; {AGAIN}",
    ErrorKind.NOT_FOUND: (
        "check {section}.model ({model}) and {section}.base_url ({place}); a base URL usually ends in /v1"
    ),
    ErrorKind.BAD_REQUEST: "compare {section}.model, {section}.max_tokens and the temperature with the endpoint's manual",
    ErrorKind.TOO_LONG: (
        "send shorter prompts (fewer parents, shorter texts), lower {section}.max_tokens, or use a model with a longer context"
    ),
    ErrorKind.FILTERED: "no setting here changes that: if it happens often, use another model or endpoint",
    ErrorKind.RATE_LIMIT: f"lower {{parallel}} (requests in flight), or wait; {AGAIN}",
    ErrorKind.SERVER_ERROR: f"the fault is on the endpoint's side: wait until it is back; {AGAIN}",
    ErrorKind.TIMEOUT: (
        "if the server answers few requests at a time, set {parallel}=1; else raise {section}.timeout_seconds, "
        f"lower {{section}}.max_tokens, or use a faster model; {AGAIN}"
    ),
    ErrorKind.DISCONNECTED: f"look at the server's own log, or try later; {AGAIN}",
    ErrorKind.MALFORMED: "check that {section}.base_url supports OpenAI's chat completions; it usually ends in /v1",
}

MAX_QUOTED = 300
"""Most characters of an endpoint's text that an error message quotes."""

_KEY_SHAPED = re.compile(r"\b(?:sk|pk|gsk|xai|key)-[\w*.\-]{8,}|\bBearer\s+\S+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Where:
    """Description of an endpoint for messages. `secret` is the key, to be removed from quoted text; it is never shown."""

    place: str
    model: str
    key_variable: str
    secret: str = ""
    section: str = "llm"
    """Section of the configuration that names the endpoint."""
    parallel: str = "search.in_flight"
    """The option for the number of requests in flight."""
    proxy: str = ""
    """The proxy, by its variable and without its password; "" without a proxy."""

    def __repr__(self) -> str:
        return f"Where({self.place!r}, {self.model!r})"

    def strike(self, text: str) -> str:
        """`text` without the key."""
        return text.replace(self.secret, "[api key]") if len(self.secret) >= 8 else text

    def quote(self, text: str) -> str:
        """Untrusted text for a message: one short printable line, without anything that looks like a key."""
        plain = self.strike(printable(self.strike(text)[:4096]))
        line = " ".join(_KEY_SHAPED.sub("[api key]", plain).split())
        return line if len(line) <= MAX_QUOTED else line[: MAX_QUOTED - 1] + "…"


class LLMError(Exception):
    """A request without a usable reply.

    `message` says what happened and `remedy` what to do; both are one line without the key. `retry_after` is the wait in seconds
    that the endpoint requested. `said` is the endpoint's own text, for programs only; it is never shown. `tokens_in`, `tokens_out`
    and `usd` are set only if the endpoint charged for a reply that could not be used.
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
        said: str = "",
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
        self.said = said

    @property
    def consequence(self) -> Consequence:
        """Consequence of this failure for the run."""
        return self.kind.consequence

    @property
    def possibly_paid(self) -> bool:
        """Whether the endpoint may have charged for it."""
        return self.kind.possibly_paid

    @property
    def record(self) -> str:
        """The failure as one line for the archive."""
        return f"{self.kind.value}: {self.message} | {self.remedy}"

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
        said: str = "",
    ) -> LLMError:
        """An error of `kind` at an endpoint, with the kind's own remedy unless another is given."""
        text = remedy if remedy is not None else _REMEDIES[kind]
        for name in ("section", "parallel", "key_variable", "place", "model"):
            text = text.replace(f"{{{name}}}", getattr(where, name))
        return cls(kind, message, text, status=status, retry_after=retry_after, said=said)
