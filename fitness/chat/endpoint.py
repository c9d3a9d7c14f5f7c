"""Endpoint of a language model: address, key, prices, limits and retries."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from fitness.chat.costs import Prices, is_paid
from fitness.chat.errors import ErrorKind, LLMError, Where
from fitness.chat.proxies import is_address, proxy_for
from fitness.chat.text import printable

OPENAI_URL = "https://api.openai.com/v1"


@dataclass(frozen=True, slots=True)
class Retry:
    """Number and timing of retries after a temporary failure. Waits double, with random jitter downwards."""

    attempts: int = 4
    first_wait: float = 2.0
    """Seconds before the second attempt."""
    longest_wait: float = 60.0
    """Longest wait between attempts, in seconds; no retry if the endpoint requests more (Retry-After)."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Address of a model and settings of its requests. `Endpoint.resolve` adds values from the environment."""

    model: str
    base_url: str = OPENAI_URL
    api_key: str = field(default="", repr=False)
    key_variable: str = "OPENAI_API_KEY"
    timeout: float = 120.0
    """Seconds for one attempt, from sending to the last byte of the reply."""
    max_tokens: int = 4096
    """Most tokens per reply, including the model's reasoning."""
    prices: Prices = field(default_factory=Prices)
    reasoning_effort: str | None = None
    """Effort of a reasoning model; None: not sent."""
    extra_body: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of each request."""
    section: str = "llm"
    """Section of the configuration that names this endpoint; error messages refer to its options."""

    @classmethod
    def resolve(
        cls,
        model: str,
        *,
        base_url: str | None = None,
        key_variable: str = "OPENAI_API_KEY",
        environ: Mapping[str, str] = os.environ,
        **options: Any,
    ) -> Endpoint:
        """An endpoint from configuration and environment. Raises LLMError (CONFIGURATION) if they are not valid.

        Without `base_url`, OPENAI_BASE_URL is used, then OpenAI's own address. Only the last requires a key.
        """
        url = (base_url or environ.get("OPENAI_BASE_URL") or OPENAI_URL).strip()
        endpoint = cls(
            model=model.strip(),
            base_url=url.rstrip("/"),
            api_key=environ.get(key_variable, "").strip(),
            key_variable=key_variable,
            **options,
        )
        _check(endpoint)
        return endpoint

    @property
    def where(self) -> Where:
        """The description of this endpoint for error messages."""
        parallel = "search.in_flight" if self.section == "llm" else f"{self.section}.concurrency"
        proxy = proxy_for(self.base_url)
        return Where(
            place_of(self.base_url), printable(self.model), self.key_variable, self.api_key, self.section, parallel,
            printable(str(proxy)) if proxy else "",
        )  # fmt: skip

    @property
    def paid(self) -> bool:
        """Whether calls may cost money."""
        return is_paid(self.base_url, self.prices)


def place_of(base_url: str) -> str:
    """An address for messages: printable, without user name and password."""
    try:
        parts = urlsplit(base_url)
    except ValueError:
        return "an address that cannot be read"
    return printable(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}")


def _check(endpoint: Endpoint) -> None:
    def fail(message: str, remedy: str) -> LLMError:
        return LLMError(ErrorKind.CONFIGURATION, message, remedy)

    section = endpoint.section
    parts = urlsplit(endpoint.base_url) if is_address(endpoint.base_url) else None
    if parts is None or parts.scheme not in {"http", "https"}:
        raise fail(f"{section}.base_url is not an http or https address", "write it like http://localhost:8000/v1")
    if parts.path.endswith("/completions"):
        raise fail(
            f"{section}.base_url names one service of the endpoint",
            "remove /chat/completions, so that it ends in /v1",
        )
    if not endpoint.model:
        raise fail("no model is named", f"set {section}.model to a model that the endpoint offers")
    if not re.fullmatch(r"[\x21-\x7e]*", endpoint.api_key):
        raise fail(
            f"the key in {endpoint.key_variable} has characters that are not valid in a key",
            "copy it again, without quotes",
        )
    if endpoint.base_url == OPENAI_URL and not endpoint.api_key:
        raise fail(
            f"{OPENAI_URL} needs a key",
            f"set the variable {endpoint.key_variable}, or {section}.base_url for another endpoint",
        )
