"""A toy task with three rungs, and entries of its ladder, for the tests of ladder and final."""

from fitness.schedule.ladder import RaceEntry, Seeds
from fitness.task import Rung, TaskInfo

SEEDS = Seeds(search=tuple(range(10, 20)), final=tuple(range(90, 99)))
INFO = TaskInfo(
    "toy",
    "preference",
    "fitness",
    {r.name: r for r in (Rung("short", 10, 1.0), Rung("full", 40, 4.0), Rung("held_out", 40, 4.0, held_out=True))},
    beta=0.1,
)


def entry(number, short=None, *full, seed_loss=False, **options):
    """An entry with a fitness at the rung `short`, and fitness by seed at `full`."""
    results = {} if short is None else {("short", 10): short}
    results |= {("full", 10 + i): value for i, value in enumerate(full)}
    return RaceEntry(number, seed_loss, results, **options)
