"""The ladder kept result by result asks for the same trainings, in the same order, as the rule applied to all losses."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st
from ladder_entries import INFO, SEEDS

from fitness.schedule.ladder import Job, RaceEntry, screening
from fitness.schedule.screening import Screening
from fitness.schedule.settings import LadderSettings

SCORES = st.one_of(st.none(), st.sampled_from([0.1, 0.2, 0.5, 0.9]), st.floats(-2, 2))
"""Fitness of a training; None: it failed. Equal ones are frequent."""


@dataclass
class Both:
    """The ladder in both forms."""

    settings: LadderSettings
    entries: list[RaceEntry] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.kept = Screening(INFO, self.settings, SEEDS)

    def enter(self, number: int, *, seed_loss: bool) -> None:
        entry = RaceEntry(number, seed_loss, {})
        self.entries = sorted([*self.entries, entry], key=lambda e: e.candidate_id)
        self.kept.take(entry)

    def record(self, job: Job, fitness: float | None) -> None:
        entry = next(e for e in self.entries if e.candidate_id == job.candidate_id)
        entry.results[job.rung, job.seed] = fitness  # type: ignore[index]
        self.kept.take(entry)

    def due(self) -> tuple[Job, ...]:
        early, due = (self.kept.due(ending=ending) for ending in (False, True))
        assert early == screening(self.entries, INFO, self.settings, SEEDS, ending=False)
        assert due == screening(self.entries, INFO, self.settings, SEEDS)
        return due


@settings(max_examples=150, deadline=None)
@given(
    st.data(),
    st.integers(0, 3),
    st.builds(
        LadderSettings,
        keep=st.sampled_from([0.2, 0.33, 0.5, 1.0]),
        optimism=st.sampled_from([0.0, 0.5, 2.0]),
        contenders=st.integers(0, 6),
        contender_seeds=st.integers(1, 5),
        early_seeds=st.integers(1, 5),
    ),
)
def test_the_same_trainings_are_due_after_any_results(
    data: st.DataObject, seed_losses: int, chosen: LadderSettings
) -> None:
    both = Both(chosen)
    numbers = data.draw(st.permutations(range(1, 30)))  # losses are accepted in another order than they are made
    for turn in range(data.draw(st.integers(5, 60))):
        due = both.due()
        if numbers and (not due or data.draw(st.booleans())):
            both.enter(numbers.pop(), seed_loss=turn < seed_losses)
        elif due:
            both.record(due[data.draw(st.integers(0, len(due) - 1))], data.draw(SCORES))
    both.due()


def test_a_result_that_the_ladder_did_not_ask_for_counts_too() -> None:
    both = Both(LadderSettings(keep=0.5))
    for number in (1, 2, 3):
        both.enter(number, seed_loss=False)
    both.record(Job(1, "full", 10), 0.7)
    both.record(Job(2, "short", 10), 0.3)
    both.record(Job(1, "short", 10), 0.1)
    both.record(Job(3, "held_out", 90), None)
    assert Job(3, "short", 10) not in both.due(), "a failure ends the climb"
