"""What a run's final will be able to see, said before anything is spent on it."""

from __future__ import annotations

from analysis.claims.crossed import least_groups
from analysis.stats import POWER, SIGNIFICANCE, smallest_detectable
from analysis.wording import count
from fitness.schedule.settings import LadderSettings
from fitness.task.protocol import TaskInfo

WISE_GROUPS = 20
"""Groups of items below which errors over groups are rough: Cameron and Miller 2015, section VI, call fewer than 20 few."""


def items_warning(judged: int | None, settings: LadderSettings) -> str | None:
    """One line where the final's test set is too small for a claim, or small; None where it is large enough, or not known.

    `judged`: the groups of items, prompts say, that the final is judged on.
    """
    if judged is None or judged >= WISE_GROUPS or not settings.finalists:
        return None
    least = least_groups(settings.finalists)
    head = f"The final is judged on {count(judged, 'prompt')} or groups of items at most"
    among = count(settings.finalists, "finalist")
    if judged < least:
        return (
            f"{head}: with so few, no difference can be told from luck, and none will be claimed. {among.capitalize()} need at "
            f"least {least}; take {WISE_GROUPS} or more."
        )
    return f"{head}: only a large difference will be told from luck. Take {WISE_GROUPS} or more."


def minimum_detectable_difference(info: TaskInfo, settings: LadderSettings) -> str:
    """One line: the smallest true difference to the baseline that the final would show, in units of fitness."""
    design = f"{count(settings.finalists, 'finalist')} on {count(settings.finalist_seeds, 'fresh seed')}"
    if settings.finalists == 0 or settings.finalist_seeds < 2:
        return f"The final ({design}) can show no difference: it needs a finalist and two seeds."
    if info.deviation is None:
        return (
            f"How small a difference the final can show ({design}) is not known before it: the task names no deviation."
        )
    seen = _smallest(info.deviation, info.items_error or 0.0, settings)
    return (
        f"The final ({design}) can show a difference to the baseline of about {seen:.2g} or more "
        f"(power {POWER:g}, level {SIGNIFICANCE:g} over all finalists)."
    )


def _smallest(deviation: float, items_error: float, settings: LadderSettings) -> float:
    """The smallest detectable difference over seeds and the test items that they share, as the comparison will test it."""
    seeds = settings.finalist_seeds
    over_seeds = deviation**2 / seeds
    both = over_seeds + items_error**2
    # Satterthwaite's, the items being many.
    freedom = (seeds - 1) * (both / over_seeds) ** 2
    tests = ((over_seeds, seeds - 1), (both, freedom))
    return max(smallest_detectable(v**0.5, df, comparisons=settings.finalists) for v, df in tests)
