"""Preflight checks before a run starts: spending limits, endpoints, contract, and the task's model and data.

All faults are collected and reported together, each with its configuration key and a remedy.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from archive.spending import TO_JUDGE, TO_PROPOSER
from evo.config.schema import Config
from evo.proposing.prompting import TemplateFault
from evo.proposing.propose import Proposer, make_proposers, section_of, which_proposers
from evo.session.ping import Pinged, ping
from fitness.chat.costs import Usage
from fitness.chat.endpoint import Endpoint
from fitness.chat.errors import ErrorKind, LLMError
from fitness.task import TaskError, TaskInfo, check_task, check_task_online
from sandbox.contracts.contract import contract_named

EXAMPLE_TOKENS, EXAMPLE_USD = 500_000, 5


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault that prevents the start of a run."""

    key: str
    text: str
    wrong_use: bool = True
    """Whether the configuration is the cause; False for an external cause, such as a server that is down."""

    def __str__(self) -> str:
        return f"{self.key}: {self.text}" if self.key else self.text


class PreflightFailed(Exception):
    """A run cannot start. The message has a line per fault."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        lines = list(dict.fromkeys(map(str, faults)))
        head = "" if len(lines) == 1 else f"{len(lines)} faults, found before anything was started:\n  "
        super().__init__(head + "\n  ".join(lines))
        self.wrong_use = any(fault.wrong_use for fault in faults)


@dataclass(frozen=True, slots=True)
class Cleared:
    """Result of passed preflight checks."""

    proposers: Mapping[str, Proposer]
    which: str
    """One line: which proposers are used, and why."""
    notes: tuple[str, ...]
    paid: Mapping[str, Usage]
    """Cost of the endpoint checks, by `proposer` and `judge`."""


def preflight(
    config: Config, info: TaskInfo, *, proposes: bool = True, online: bool = True, may_cost: bool = True
) -> Cleared:
    """Run all checks. Raises PreflightFailed.

    `proposes`: whether a proposer is needed. `online`: whether requests to endpoints and to the hub are allowed. `may_cost`:
    whether a paid endpoint may be asked for a reply of one token.
    """
    proposers, which, endpoints, faults = _endpoints(config, info, proposes)
    faults += payment_faults(config, endpoints, no_endpoint=not endpoints and not faults)
    may_cost = may_cost and not faults
    faults += contract_faults(config, info, proposes=proposes)
    faults += task_faults(config, online=online)
    notes: list[str] = []
    paid: dict[str, Usage] = {}
    pinged = asyncio.run(_pinged(endpoints, may_cost=may_cost)) if online and endpoints else {}
    for key, outcome in pinged.items():
        if outcome.error:
            faults.append(_fault(key, outcome.error))
        if outcome.note:
            notes.append(f"{key}: {outcome.note}")
        to = TO_PROPOSER if key in map(section_of, proposers) else TO_JUDGE
        paid[to] = paid.get(to, Usage()) + outcome.paid
    if faults:
        raise PreflightFailed(faults)
    return Cleared(proposers, which, tuple(notes), {to: usage for to, usage in paid.items() if usage})


def contract_faults(config: Config, info: TaskInfo, *, proposes: bool) -> list[Fault]:
    """Faults of the contract of the task's losses: missing parts. Does not import them."""
    try:
        contract = contract_named(info.contract)
        contract.require_parts()
    except ValueError as error:
        return [Fault("task", str(error))]
    if proposes and config.asks_the_builtin and contract.grammar is None:
        return [
            Fault(
                "proposer",
                f"the built-in proposer needs a grammar, and the contract {contract.name!r} has none; give its record one "
                "(docs/contracts.md), or let a language model propose (llm.model)",
            )
        ]
    return []


def task_faults(config: Config, *, online: bool = True) -> list[Fault]:
    """Faults of the task: models or data that its options name and that are missing. `online`: whether to ask the hub."""
    faults = []
    for check in (check_task, check_task_online) if online else (check_task,):
        try:
            check(config.task, config.fitness)
        except TaskError as error:
            faults += [Fault("", line) for line in str(error).splitlines()]
    return faults


def payment_faults(config: Config, endpoints: Mapping[str, Endpoint], *, no_endpoint: bool) -> list[Fault]:
    """Faults of spending limits: a paid endpoint without a budget, or a limit in USD without prices.

    `no_endpoint`: whether the configuration names no endpoint at all.
    """
    faults = []
    if not config.budget.bounds_spending:
        faults = [_unlimited(key, endpoint) for key, endpoint in endpoints.items() if endpoint.paid]
    if "usd" in config.budget.limits:
        unpriced = [key for key, endpoint in endpoints.items() if not endpoint.prices.known]
        if no_endpoint:
            unpriced += [section_of(name) for name, model in config.endpoints.items() if not model.priced]
        for key in unpriced:
            faults.append(
                Fault(
                    "budget.usd",
                    f"needs {key}.usd_per_million_in and {key}.usd_per_million_out, which no endpoint reports; set them (0 if "
                    "it costs nothing), or limit budget.tokens instead",
                )
            )
    return faults


def _unlimited(key: str, endpoint: Endpoint) -> Fault:
    prices = f"{key}.usd_per_million_in", f"{key}.usd_per_million_out"
    usd, free = f"--set budget.usd={EXAMPLE_USD}", ""
    if not endpoint.prices.known:
        usd += f" with {prices[0]} and {prices[1]}"
        free = f"; if it costs nothing: --set {prices[0]}=0 --set {prices[1]}=0"
    return Fault(
        key,
        f"{endpoint.where.model} at {endpoint.where.place} may cost money, and no budget limits it; add "
        f"--set budget.tokens={EXAMPLE_TOKENS}, or {usd}; for no limit: --set budget.tokens=unlimited{free}",
    )


def _endpoints(
    config: Config, info: TaskInfo, proposes: bool
) -> tuple[Mapping[str, Proposer], str, dict[str, Endpoint], list[Fault]]:
    """The proposers, a line that describes them, the endpoints by section of the configuration, and faults of these."""
    proposers: dict[str, Proposer] = {}
    which, faults, endpoints = "", [], dict[str, Endpoint]()
    if proposes:
        try:
            proposers = make_proposers(config)
            which = which_proposers(config, proposers)
        except LLMError as error:
            faults.append(_fault("llm" if config.proposers is None else "proposers", error))
        except TemplateFault as error:
            faults.append(Fault("", str(error)))
    endpoints |= {section_of(name): p.endpoint for name, p in proposers.items() if p.endpoint}
    for service in info.services:
        try:
            endpoints[service.key] = Endpoint.resolve(
                service.model, base_url=service.base_url, key_variable=service.key_variable, prices=service.prices,
                section=service.key,
            )  # fmt: skip
        except LLMError as error:
            faults.append(_fault(service.key, error))
    return proposers, which, endpoints, faults


async def _pinged(endpoints: Mapping[str, Endpoint], *, may_cost: bool) -> dict[str, Pinged]:
    async def one(endpoint: Endpoint) -> Pinged:
        try:
            return await ping(endpoint, may_cost=may_cost)
        except LLMError as error:
            return Pinged(error)

    return dict(zip(endpoints, await asyncio.gather(*map(one, endpoints.values())), strict=True))


def _fault(key: str, error: LLMError) -> Fault:
    wrong_use = error.kind in (ErrorKind.CONFIGURATION, ErrorKind.MISSING_PACKAGE)
    part = ".model" if error.kind is ErrorKind.NOT_FOUND else ""
    if error.kind is ErrorKind.CONNECTION and f"{key}.base_url" in error.remedy:  # else a proxy is the cause
        part = ".base_url"
    return Fault(key + part, str(error), wrong_use)
