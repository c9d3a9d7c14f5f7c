"""What a run's final will be able to see, said before anything is spent on it."""

from __future__ import annotations

from analysis.stats import POWER, SIGNIFICANCE, smallest_detectable
from analysis.wording import count
from fitness.ladder import Settings
from fitness.task import TaskInfo


def what_can_be_seen(info: TaskInfo, settings: Settings) -> str:
    """One line: the smallest true difference to the yardstick that the final would show, in units of fitness."""
    design = f"{count(settings.finalists, 'finalist')} on {count(settings.finalist_seeds, 'fresh seed')}"
    if settings.finalists == 0 or settings.finalist_seeds < 2:
        return f"The final ({design}) can show no difference: it needs a finalist and two seeds."
    if info.deviation is None:
        return (
            f"How small a difference the final can show ({design}) is not known before it: the task names no deviation."
        )
    error = info.deviation / settings.finalist_seeds**0.5
    seen = smallest_detectable(error, settings.finalist_seeds - 1, comparisons=settings.finalists)
    return (
        f"The final ({design}) can show a difference to the yardstick of about {seen:.2g} or more "
        f"(power {POWER:g}, level {SIGNIFICANCE:g} over all finalists)."
    )
