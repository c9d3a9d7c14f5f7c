"""What a person sees while a campaign runs: a live line on a terminal, plain lines in a file or a pipe."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from analysis.encode import one_line
from analysis.wording import duration
from fitness.ladder import plan

if TYPE_CHECKING:
    from evo.loop import Campaign

PLAIN_EVERY = 10.0
"""Seconds between two plain lines."""
LIVE_EVERY = 0.3
"""Seconds between two states of the live display."""
SOME = 5
"""Trainings of a session before its pace is one: the first ones wait for the workers."""


@contextmanager
def progress(console: Console) -> Iterator[Callable[[Campaign], None]]:
    """A callback to give to `Campaign.changed`; the display is taken down when the block ends."""
    if not console.is_terminal:
        yield _at_most_every(PLAIN_EVERY, lambda campaign: _print(console, campaign))
        return
    with Live(console=console, refresh_per_second=4, transient=True) as live:
        yield _at_most_every(LIVE_EVERY, lambda campaign: live.update(_table(campaign)))


def _at_most_every(seconds: float, show: Callable[[Campaign], None]) -> Callable[[Campaign], None]:
    last = -math.inf

    def throttled(campaign: Campaign) -> None:
        nonlocal last
        if time.monotonic() - last >= seconds:
            show(campaign)
            last = time.monotonic()

    return throttled


def _print(console: Console, campaign: Campaign) -> None:
    line = ", ".join(f"{name} {value}" for name, value in _figures(campaign))
    console.print(line, highlight=False, markup=False, soft_wrap=True)


def _table(campaign: Campaign) -> Table:
    table = Table.grid(padding=(0, 2))
    for name, value in _figures(campaign):
        table.add_row(f"[bold]{name}[/bold]", escape(value))
    return table


def _figures(campaign: Campaign) -> list[tuple[str, str]]:
    campaign.population.advance(campaign.reader)
    tally = campaign.population.tally()
    wanted = campaign.config.budget.proposals
    training = sum(not t.done() for t in campaign.trainings.values())
    figures = [
        ("proposals", f"{campaign.used.proposals}" + (f" of {wanted}" if wanted is not None else "")),
        ("accepted", str(tally.accepted)),
        ("refused", str(tally.refused)),
        ("duplicate", str(tally.duplicate)),
        ("failed", str(tally.failed)),
        ("trainings", f"{campaign.used.evaluations} done, {training} under way or waiting"),
        ("best so far", one_line(campaign.population.best_so_far(), 100)),
    ]
    left = time_left(campaign)
    figures.append(("time", duration(campaign.seconds) + (f", about {duration(left)} more" if left else "")))
    return figures


def time_left(campaign: Campaign) -> float | None:
    """Seconds until the end, at this session's pace in trainings; None before there is a pace, or any end."""
    config, used = campaign.config, campaign.used
    budget, population = config.budget, campaign.population
    estimates = []
    if budget.seconds is not None:
        estimates.append(max(0.0, budget.seconds - used.seconds))
    done = used.evaluations - campaign.before.evaluations
    if done >= SOME:
        pace = (time.monotonic() - campaign.began) / done
        wanted = [budget.evaluations] if budget.evaluations is not None else []
        if budget.proposals is not None:
            parts = plan(population.info, population.ladder, len(population.seed_losses), budget.proposals)
            wanted.append(sum(part.trainings for part in parts))
        estimates += [max(0, trainings - used.evaluations) * pace for trainings in wanted]
    return min(estimates, default=None)
