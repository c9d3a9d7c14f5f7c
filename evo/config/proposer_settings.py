"""Settings of the proposers: one language model (section `llm`), or several (list `proposers`)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

BUILTIN, OPENAI = "builtin", "openai"
"""Names of the built-in proposer and of the model of the section `llm`, in configurations and in archives."""

DEFAULT_MODEL = "gpt-4.1-mini"

SENT_ANYWAY = frozenset({
    "model", "messages", "temperature", "seed", "max_tokens", "max_completion_tokens", "response_format", "reasoning_effort",
    "n", "stream", "tools",
})  # fmt: skip
"""Fields of a request that have an option of their own, or that would change the form of its answer."""


class LLMConfig(BaseModel):
    """The language model that proposes. Used if `base_url` or `model` is set; an API key in the environment alone has no effect."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    base_url: str | None = Field(
        None, description="address of an OpenAI-compatible endpoint, e.g. http://localhost:8000/v1"
    )
    model: str | None = Field(None, description=f"model name as the endpoint knows it; null: {DEFAULT_MODEL}")
    api_key_env: str = Field(
        "OPENAI_API_KEY", description="environment variable that holds the key; never written anywhere"
    )
    temperatures: tuple[float, ...] = Field(
        (0.7, 1.0), min_length=1, description="sampling temperatures that a bandit chooses from"
    )
    max_tokens: int = Field(4096, ge=64, description="largest number of tokens in one reply")
    context_tokens: int | None = Field(
        None,
        ge=512,
        description="the model's context, tokens of prompt and reply together: longer prompts are shortened; null: only after the "
        "endpoint has refused one as too long",
    )
    reply: Literal["json", "lines", "fenced"] = Field(
        "json",
        description="form of a reply: a JSON object that the endpoint enforces (json), the same with the code as a list of lines "
        "(lines, for small models that lose line breaks), or a code block without enforcement (fenced)",
    )
    reasoning_effort: str | None = Field(
        None,
        description="effort of a reasoning model, e.g. low; null: not sent. Left out if the endpoint refuses it",
    )
    extra_body: Mapping[str, Any] = Field(
        default_factory=dict,
        description="further fields of each request, e.g. {top_p: 0.9}; written to config.yaml, so no secrets. Left out if the "
        "endpoint refuses them",
    )
    concurrency: int | None = Field(
        None,
        ge=1,
        description="requests to this endpoint at once; null: no limit with one endpoint, with several an equal share of the "
        "proposals in progress",
    )
    timeout_seconds: float = Field(120.0, gt=0, description="longest wait for one reply, seconds")
    attempts: int = Field(4, ge=1, le=20, description="tries per request on 429, 5xx, timeouts and broken connections")
    usd_per_million_in: float | None = Field(None, ge=0, description="price of a million prompt tokens, USD")
    usd_per_million_out: float | None = Field(None, ge=0, description="price of a million reply tokens, USD")

    @field_validator("extra_body")
    @classmethod
    def _plain_fields(cls, value: Mapping[str, Any]) -> Mapping[str, Any]:
        if own := sorted(SENT_ANYWAY & value.keys()):
            raise ValueError(f"{own[0]} is set by evopo itself; remove it from extra_body")
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError):
            raise ValueError("expected text, finite numbers, true, false, null, lists and keys with values") from None
        return value

    @property
    def named(self) -> bool:
        """Whether an endpoint or a model is named, so that `proposer: auto` uses it."""
        return bool(self.base_url or self.model)

    @property
    def priced(self) -> bool:
        """Whether both prices are known."""
        return None not in (self.usd_per_million_in, self.usd_per_million_out)


class ProposerConfig(LLMConfig):
    """One of several language models. All other keys are those of `llm`."""

    name: str = Field(description="name in archive, report and messages; unique")
    weight: float = Field(
        1.0,
        gt=0,
        allow_inf_nan=False,
        description="how often it is chosen before anything is known of it, relative to the others; the built-in proposer has 1",
    )

    @field_validator("name")
    @classmethod
    def _plain_name(cls, value: str) -> str:
        if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,31}", value) or value in (BUILTIN, "person"):
            raise ValueError(
                "expected lower-case letters, digits, _ and -, 32 characters at most, and not builtin or person"
            )
        return value


def with_unique_names(proposers: Sequence[ProposerConfig]) -> Sequence[ProposerConfig]:
    """The proposers. Raises ValueError if two of them have the same name."""
    names = [proposer.name for proposer in proposers]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"the name {twice[0]} is given twice; give each proposer a name of its own")
    return proposers
