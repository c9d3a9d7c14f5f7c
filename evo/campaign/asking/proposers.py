"""The proposers of a session: which of them can be asked now, and when the session ends for want of one.

Several language models are independent of each other. One that does not answer in its usual time, or whose last attempt failed,
gets no further requests until it answers; one whose monitor ends is rested. Both are left out where a proposer is chosen, and the
names that were left out are recorded with the request. No endpoint gets all places of the proposals in progress.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self

from archive.query import Reader
from evo.campaign.asking.endpoint_monitor import EndpointMonitor
from evo.campaign.asking.recorder import PendingRequest
from evo.config.schema import Config
from evo.proposing.propose import Proposer
from evo.proposing.request import Request, arms_of, request_for
from evo.search.estimate import requests_at_once
from evo.search.population import Population

LATE_SECONDS = 20.0
"""A request that takes less than this, in seconds, is never late."""
LATE_FACTOR = 3.0
"""A request is late after this many times the endpoint's mean time to a reply in this session."""
REST_SECONDS = 600.0
"""An endpoint is rested for so many seconds; then one more request may show that it works again."""
LOOK_SECONDS = 0.5
"""A proposal that waits for its proposer looks again at least this often, in seconds."""


@dataclass
class Proposers:
    """The proposers by name, with a monitor for each language model among them if there are several."""

    each: Mapping[str, Proposer]
    names: tuple[str, ...]
    """Those that selection chooses from."""
    monitor: EndpointMonitor
    """Counts over all proposals; with one proposer, also its failures."""
    config: Config
    population: Population
    concurrency: Mapping[str, int | None]
    """Configured limit of requests by endpoint."""
    requests: dict[int, PendingRequest]
    """State of each request in progress, by step."""
    monitors: dict[str, EndpointMonitor] = field(init=False)
    """By name of the endpoint."""
    _seconds: dict[str, list[float]] = field(default_factory=dict)
    _rested: dict[str, float] = field(default_factory=dict)
    """When each rested endpoint was found to have ended."""
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        models = [name for name in self.names if name in self.each and self.each[name].endpoint is not None]
        several = len(self.names) > 1
        self.monitors = {name: self._monitor_of(name) if several else self.monitor for name in models}

    @classmethod
    def of(
        cls,
        config: Config,
        each: Mapping[str, Proposer],
        population: Population,
        monitor: EndpointMonitor,
        requests: dict[int, PendingRequest],
    ) -> Self:
        """The proposers of a session."""
        limits = {name: model.concurrency for name, model in config.endpoints.items()}
        return cls(each, tuple(arm.name for arm in arms_of(config)), monitor, config, population, limits, requests)

    @property
    def at_once(self) -> int:
        """Maximum number of proposals in progress. With more of them, parents would be selected from older results."""
        search, models = self.config.search, self.config.endpoints.values()
        if search.chat:
            return 1
        longest = min(model.timeout_seconds for model in models)
        usual = requests_at_once(self.population.workers, self.population.ledger, longest)
        return search.in_flight or usual + len(models) - 1

    def monitor_of(self, name: str) -> EndpointMonitor:
        """The monitor that counts what this proposer answers."""
        return self.monitors.get(name, self.monitor)

    @property
    def ended(self) -> str | None:
        """Why no more proposals may be requested, and the remedy; None while they may. One endpoint that works is enough."""
        if self.monitor.ended or len(self.names) < 2:
            return self.monitor.ended
        ends = {name: monitor.ended for name, monitor in self.monitors.items()}
        if not ends or None in ends.values():
            return None
        return "; ".join(f"{name}: {why}" for name, why in ends.items())

    async def chosen(self, step: int, reader: Reader) -> Request:
        """The request of a step from the results so far, as soon as its proposer has a place for it.

        It is chosen again whenever it had to wait, so nobody waits for an endpoint that became late meanwhile.
        """
        prompted = any(proposer.endpoint for proposer in self.each.values())
        while True:
            state, left_out = self.population.advance(reader), self.unavailable()
            request = request_for(state, step, reader, prompted=prompted, unavailable=left_out)
            if self.ended or self._has_place(request.proposer):
                return request
            self._changed.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), LOOK_SECONDS)

    def unavailable(self) -> tuple[str, ...]:
        """Names of the proposers that cannot be asked now."""
        if len(self.names) < 2:
            return ()
        rested = [name for name in self.monitors if self._rests(name)]
        late = [name for name in self.monitors if name not in rested and self._late(name)]
        return tuple(rested if len(rested) + len(late) == len(self.names) else rested + late)

    def answered(self, step: int, seconds: float) -> None:
        """Note the time that a reply took."""
        self._seconds.setdefault(self.requests[step].proposer, []).append(seconds)

    def left(self, step: int) -> None:
        """Note that the request of a step is no longer in progress."""
        del self.requests[step]
        self._changed.set()

    def _monitor_of(self, name: str) -> EndpointMonitor:
        tell = self.monitor.tell
        return EndpointMonitor(lambda text: tell(f"{name}: {text}"), section=f"proposers.{name}")

    def _rests(self, name: str) -> bool:
        monitor, now = self.monitors[name], time.monotonic()
        if not (why := monitor.ended):
            self._rested.pop(name, None)
            return False
        since = self._rested.setdefault(name, now)
        if now >= since + REST_SECONDS and not monitor.fatal:
            del self._rested[name]
            monitor.try_again()
            monitor.tell("asked again after its rest")
            return False
        monitor.tell_once(f"rested, the others go on: {why}")
        return True

    def _late(self, name: str) -> bool:
        taken = self._seconds.get(name, [])
        usual = max(LATE_SECONDS, LATE_FACTOR * sum(taken) / len(taken)) if taken else LATE_SECONDS
        mine, now = [r for r in self.requests.values() if r.proposer == name], time.monotonic()
        return any(r.trouble or now - (r.since or r.began) > usual for r in mine)

    def _has_place(self, name: str) -> bool:
        """Whether a request more would leave a place to the others."""
        if len(self.names) < 2 or name not in self.monitors:
            return True
        most = self.concurrency.get(name) or self.at_once // len(self.names)
        under_way = sum(request.proposer == name for request in self.requests.values())
        return under_way < max(1, min(most, self.at_once - 1))
