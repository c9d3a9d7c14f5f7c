"""Statistical power of a run's final, reported before the run has any cost: minimum detectable difference, number of test items."""

from __future__ import annotations

from analysis.claims.crossed import least_groups
from analysis.stats import POWER, SIGNIFICANCE, minimum_detectable_difference
from analysis.wording import count
from fitness.schedule.settings import LadderSettings
from fitness.task.protocol import TaskInfo

WISE_GROUPS = 20
"""Number of groups of items below which standard errors over groups are imprecise (Cameron and Miller 2015, section VI)."""


def items_warning(judged: int | None, settings: LadderSettings) -> str | None:
    """A warning if the final's test set is small or too small for a claim; None if it is large enough or its size is unknown.

    `judged`: number of groups of items (such as prompts) that the final measures on.
    """
    if judged is None or judged >= WISE_GROUPS or not settings.finalists:
        return None
    least = least_groups(settings.finalists)
    head = f"The final is judged on {count(judged, 'prompt')} or groups of items at most"
    among = count(settings.finalists, "finalist")
    if judged < least:
        return (
            f"{head}: with so few, no difference can be significant, so no claim will be made. {among.capitalize()} need at "
            f"least {least}; use {WISE_GROUPS} or more."
        )
    return f"{head}: only a large difference will be significant. Use {WISE_GROUPS} or more."


def detectable_difference_note(info: TaskInfo, settings: LadderSettings) -> str:
    """A line with the minimum detectable difference of the final to the baseline, in units of fitness."""
    design = f"{count(settings.finalists, 'finalist')} on {count(settings.finalist_seeds, 'fresh seed')}"
    if settings.finalists == 0 or settings.finalist_seeds < 2:
        return f"The final ({design}) can show no difference: it needs at least one finalist and two seeds."
    if info.deviation is None:
        return f"The minimum detectable difference of the final ({design}) is unknown: the task gives no deviation over seeds."
    seen = _smallest(info.deviation, info.items_error or 0.0, settings)
    return (
        f"Minimum detectable difference of the final ({design}) to the baseline: about {seen:.2g} "
        f"(power {POWER:g}, level {SIGNIFICANCE:g} over all finalists)."
    )


def _smallest(deviation: float, items_error: float, settings: LadderSettings) -> float:
    """Minimum detectable difference, in units of fitness, by the test of the final: over seeds, and over seeds and items."""
    seeds = settings.finalist_seeds
    over_seeds = deviation**2 / seeds
    both = over_seeds + items_error**2
    # Satterthwaite's approximation for many items.
    freedom = (seeds - 1) * (both / over_seeds) ** 2
    tests = ((over_seeds, seeds - 1), (both, freedom))
    return max(minimum_detectable_difference(v**0.5, df, comparisons=settings.finalists) for v, df in tests)
