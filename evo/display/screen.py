"""A watched campaign as text: a view of a terminal's height, or one line."""

from __future__ import annotations

import textwrap

from rich.console import Group
from rich.text import Text

from analysis.output.encode import one_line
from analysis.wording import count, duration
from evo.campaign.loop import Phase
from evo.display.watch import Watch, age
from sandbox.verdicts.terminal import written_in

REQUESTS = 4
"""Requests under way that the view names."""
ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"
"""What rich writes where the end of a line is left out."""
LABEL = 11
"""Characters of the view's first column."""


def view(watch: Watch, width: int, height: int, encoding: str = "utf-8") -> Group:
    """The view, at most `height` lines. On a narrow terminal figures wrap, and the end of a candidate's line is left out.

    Characters that the encoding lacks are written as escapes, which take their room.
    """
    room = max(1, width - LABEL)
    told = ((name, written_in(encoding, value)) for name, value in _figures(watch))
    figures = [row for name, value in told for row in _under(name, textwrap.wrap(value, room))]
    asking = _asking(watch)
    requests = asking[:REQUESTS] + ([f"and {len(asking) - REQUESTS} more"] if len(asking) > REQUESTS else [])
    free = max(1, height - len(figures) - len(requests) - 1)
    rows = [
        *figures,
        *_under("replies", requests),
        *_under("last", [f"{o.who}: {o.what}" for o in watch.outcomes(free)]),
    ]
    return Group(*(_line(name, value, encoding) for name, value in rows[: max(1, height - 1)]))


def plain(watch: Watch) -> str:
    """The same in one line."""
    parts = [f"{name} {value}" for name, value in _figures(watch)]
    if asking := _asking(watch):
        parts.append(f"{count(len(asking), 'reply', 'replies')} awaited, the oldest: {asking[0]}")
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
        ("best", one_line(campaign.population.best_so_far(), 100)),
    ]


def _time(watch: Watch) -> str:
    left, so_far = watch.left(), duration(watch.campaign.seconds)
    if left is None:
        return so_far
    by = "at the speed measured here" if watch.pace.measured else "by the task's estimate for a slow core"
    return f"{so_far}, about {duration(left)} more {by}"


def _proposals(watch: Watch) -> str:
    campaign = watch.campaign
    tally, wanted = campaign.population.tally(), campaign.config.budget.proposals
    became = {
        "accepted": tally.accepted, "refused": tally.refused, "duplicate": tally.duplicate,
        "without a loss": tally.unusable, "failed in training": tally.failed,
    }  # fmt: skip
    of = "" if wanted is None else f" of {wanted}"
    return f"{campaign.used.proposals}{of}: " + ", ".join(
        f"{number} {what}" for what, number in became.items() if number or what == "accepted"
    )


def _trainings(watch: Watch) -> str:
    workers, pending = watch.campaign.workers, len(watch.pending)
    waiting = max(0, pending - workers.busy)
    return f"{watch.campaign.used.evaluations} done, {workers.busy} of {count(workers.size, 'worker')} busy, {waiting} waiting"


def _asking(watch: Watch) -> list[str]:
    """The requests under way, the oldest step first."""
    return [f"step {step} {asking.operator}, {age(asking)}" for step, asking in sorted(watch.campaign.asking.items())]


def _under(label: str, lines: list[str]) -> list[tuple[str, str]]:
    """Rows with the label before the first."""
    return [(label if number == 0 else "", text) for number, text in enumerate(lines)]


def _line(label: str, text: str, encoding: str) -> Text:
    # Text, not markup: what stands in brackets is shown as it is.
    line = Text.assemble((label.ljust(LABEL), "bold"), written_in(encoding, text), no_wrap=True)
    line.overflow = "ellipsis" if written_in(encoding, ELLIPSIS) == ELLIPSIS else "crop"
    return line
