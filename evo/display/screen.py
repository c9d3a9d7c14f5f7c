"""Progress of a campaign as text: a view that fits a terminal, or one line."""

from __future__ import annotations

import textwrap

from rich.console import Group
from rich.text import Text

from analysis.output.encode import one_line
from analysis.wording import count, duration
from evo.campaign.loop import Phase
from evo.display.watch import Watch, age
from evo.search.estimate import Span
from evo.search.population import Population
from sandbox.verdicts.terminal import written_in

REQUESTS = 4
"""Maximum number of requests in progress that the view lists."""
ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"
"""What rich writes at the end of a truncated line."""
CLOSE = 1.1
"""Ratio of two durations below which one is told."""
LABEL = 11
"""Width of the view's first column, in characters."""


def view(watch: Watch, width: int, height: int, encoding: str = "utf-8") -> Group:
    """The view, at most `height` lines. On a narrow terminal figures wrap and the lines of candidates are truncated.

    Characters that the encoding lacks are written as escapes; widths count the escapes.
    """
    room = max(1, width - LABEL)
    told = ((name, written_in(encoding, value)) for name, value in _figures(watch))
    figures = [row for name, value in told for row in _under(name, textwrap.wrap(value, room))]
    pending = _requests(watch)
    requests = pending[:REQUESTS] + ([f"and {len(pending) - REQUESTS} more"] if len(pending) > REQUESTS else [])
    free = max(1, height - len(figures) - len(requests) - 1)
    rows = [
        *figures,
        *_under("replies", requests),
        *_under("last", [f"{o.who}: {o.what}" for o in watch.outcomes(free)]),
    ]
    return Group(*(_line(name, value, encoding) for name, value in rows[: max(1, height - 1)]))


def plain(watch: Watch) -> str:
    """The view as one line."""
    parts = [f"{name} {value}" for name, value in _figures(watch)]
    if pending := _requests(watch):
        parts.append(f"{count(len(pending), 'reply', 'replies')} awaited, the oldest: {pending[0]}")
    parts += [f"last {o.who}: {o.what}" for o in watch.outcomes(1)]
    return "; ".join(parts)


def _figures(watch: Watch) -> list[tuple[str, str]]:
    campaign = watch.campaign
    if campaign.phase is Phase.PREPARING:
        return [("phase", "preparing: the workers load model and data"), ("time", _time(watch))]
    return [
        ("phase", campaign.phase.value),
        ("time", _time(watch)),
        ("proposals", _proposals(watch)),
        ("trainings", _trainings(watch)),
        ("best", one_line(best_so_far(campaign.population), 100)),
    ]


def best_so_far(population: Population) -> str:
    """The best proposal as text, with its difference to the baseline and the standard error of the difference."""
    best, baseline = population.best(), population.baseline
    advantage = population.advantage(best) if best else None
    if best is None or baseline is None or advantage is None:
        return "none yet"
    difference, seeds = advantage
    noise = population.noise_of_differences.pooled
    error = f" ± {noise.error(seeds):.3f}" if noise is not None else ", error unknown"
    return f"{best.name} ({difference:+.3f}{error} to {baseline.name}, {seeds} seed{'s' * (seeds > 1)})"


def _time(watch: Watch) -> str:
    left, so_far = watch.left(), duration(watch.campaign.allowance.seconds)
    if left is None:
        return so_far
    by = "at the speed measured here" if watch.pace.measured else "by the task's estimate for a slow core"
    return f"{so_far}, about {_span(left)} more {by}"


def _span(left: Span) -> str:
    """`3 min 20 s to 5 min 00 s`; one duration where the two are nearly the same."""
    if left.most <= CLOSE * left.least or duration(left.most) == duration(left.least):
        return duration(left.most)
    return f"{duration(left.least)} to {duration(left.most)}"


def _proposals(watch: Watch) -> str:
    campaign = watch.campaign
    tally, wanted = campaign.population.tally(), campaign.config.budget.proposals
    became = {
        "accepted": tally.accepted, "refused": tally.refused, "duplicate": tally.duplicate,
        "without a loss": tally.unusable, "failed in training": tally.failed,
    }  # fmt: skip
    of = "" if wanted is None else f" of {wanted}"
    return f"{campaign.allowance.used.proposals}{of}: " + ", ".join(
        f"{number} {what}" for what, number in became.items() if number or what == "accepted"
    )


def _trainings(watch: Watch) -> str:
    workers, pending = watch.campaign.workers, len(watch.pending)
    waiting = max(0, pending - workers.busy)
    done = watch.campaign.allowance.used.evaluations
    return f"{done} done, {workers.busy} of {count(workers.size, 'worker')} busy, {waiting} waiting"


def _requests(watch: Watch) -> list[str]:
    """One line for each request in progress, in order of steps."""
    requests = sorted(watch.campaign.requests.items())
    return [f"step {step} {request.operator}, {age(request)}" for step, request in requests]


def _under(label: str, lines: list[str]) -> list[tuple[str, str]]:
    """Rows of (label, text), with the label only in the first row."""
    return [(label if number == 0 else "", text) for number, text in enumerate(lines)]


def _line(label: str, text: str, encoding: str) -> Text:
    # Text, not markup: brackets are shown literally.
    line = Text.assemble((label.ljust(LABEL), "bold"), written_in(encoding, text), no_wrap=True)
    line.overflow = "ellipsis" if written_in(encoding, ELLIPSIS) == ELLIPSIS else "crop"
    return line
