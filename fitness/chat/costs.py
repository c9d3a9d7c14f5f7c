"""Costs of model endpoints: prices, token usage, and the endpoints that a task uses to score a training."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Prices:
    """Prices in USD per million tokens. With an unknown price (None) no cost is computed."""

    input: float | None = None
    output: float | None = None

    @property
    def known(self) -> bool:
        """Whether both prices are set."""
        return self.input is not None and self.output is not None

    def usd(self, tokens_in: int | None, tokens_out: int | None) -> float | None:
        """The cost of a call in USD; None if a price or a token count is unknown."""
        if self.input is None or self.output is None or tokens_in is None or tokens_out is None:
            return None
        return (self.input * tokens_in + self.output * tokens_out) / 1e6


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens charged by an endpoint and their cost (actual, or an upper bound); `usd` is None if a price is unknown."""

    tokens_in: int = 0
    tokens_out: int = 0
    usd: float | None = 0.0

    @property
    def tokens(self) -> int:
        """Prompt and reply tokens together."""
        return self.tokens_in + self.tokens_out

    def __add__(self, other: Usage) -> Usage:
        usd = None if self.usd is None or other.usd is None else self.usd + other.usd
        return Usage(self.tokens_in + other.tokens_in, self.tokens_out + other.tokens_out, usd)

    def __bool__(self) -> bool:
        return self.tokens > 0


@dataclass(frozen=True)
class Service:
    """An endpoint that a task uses to score trainings, such as a judge."""

    key: str
    """Configuration key of its section, e.g. fitness.evaluation."""
    base_url: str
    model: str
    key_variable: str
    prices: Prices
    rungs: Collection[str]
    """Rungs at which it is used."""
    worst_case: Usage
    """Largest possible usage for one training."""


_OWN_NAMES = ("localhost", "localhost.localdomain", "ip6-localhost")


def on_this_machine(base_url: str) -> bool:
    """Whether an address is on this machine: a loopback address, `localhost`, or the machine's host name."""
    try:
        host = (urlsplit(base_url).hostname or "").rstrip(".")
    except ValueError:
        return False
    if host in (*_OWN_NAMES, socket.gethostname().lower()) or host.endswith(".localhost"):
        return bool(host)
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return address.is_loopback or address.is_unspecified


def is_paid(base_url: str, prices: Prices) -> bool:
    """Whether calls may cost money. A remote endpoint may, unless both of its prices are set to 0.

    An endpoint on this machine is free unless it has a price: it may forward calls to a paid one.
    """
    if prices.input or prices.output:
        return True
    return not on_this_machine(base_url) and not prices.known
