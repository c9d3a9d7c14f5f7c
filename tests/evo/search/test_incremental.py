"""The state of a search, kept event by event, is equal to the one computed from all results at once.

`recomputed` is the definition: it reads the individuals only, as they are now.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from random import Random
from statistics import fmean

import numpy as np
from histories import History, history
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analysis import stats
from archive.query import Reader
from archive.records import EventKind, Origin, Role
from evo.search.individuals import Tally, differences, first_difference
from evo.search.operators import role_of
from evo.search.population import LATEST_FAILED, Population
from evo.search.selection.columns import Members
from evo.search.selection.grid import gap
from evo.search.selection.members import Member, ProposerArm, SelectionSettings
from evo.search.selection.select import choose
from fitness.schedule.ladder import screening
from sandbox.verdicts.verdict import VerdictStatus

SETTINGS = SelectionSettings(islands=2, migration_every=3, proposers=(ProposerArm("builtin", temperatures=(0.7, 1.0)),))


def recomputed(population: Population) -> list[Member]:
    """All vetted candidates as selection takes them, from the results alone."""
    individuals = population.individuals.values()
    baseline = next((i for i in individuals if i.is_seed_loss and i.name == population.baseline_name), None)
    uses: dict[int, int] = {}
    for i in individuals:
        for parent in i.parents if role_of(i.operator) is not Role.EXPLORED_FROM else ():
            uses[parent] = uses.get(parent, 0) + 1
    noise, members = None, []
    if baseline is not None:
        others = [i for i in individuals if i is not baseline]
        noise = stats.pool(differences(i, baseline, rung) for i in others for rung in population.rungs)
    for i in individuals:
        found: list[float] = []
        for rung in population.rungs if baseline is not None and not i.failed else ():
            found = differences(i, baseline, rung) or found
        member = Member(
            i.id, i.island, i.operator, i.parents, i.trainable and not i.failed, fmean(found) if found else None,
            noise.error(len(found)) if found and noise else None,
            first_difference(i, baseline, population.rungs[0], population.seeds.search[0]), i.change,
            i.descriptors, i.rules, uses.get(i.id, 0), i.arm, i.proposer,
        )  # fmt: skip
        members += [member] if i.status else []
    return members


def tally(population: Population) -> Tally:
    proposals = [i for i in population.individuals.values() if i.origin is Origin.PROPOSAL]
    return Tally(
        accepted=sum(i.trainable for i in proposals),
        refused=sum(i.status is VerdictStatus.REFUSED for i in proposals),
        duplicate=sum(i.duplicate_of is not None for i in proposals),
        failed=sum(i.failed for i in proposals),
        unusable=population.tally().unusable,
    )


def check(population: Population, reader: Reader) -> None:
    failures = reader.as_of(population.seen).events(kind=EventKind.PROPOSAL_FAILED)
    assert [*population.failed_requests] == [event.proposal_id for event in failures[-LATEST_FAILED:]]
    assert [*population.members] == recomputed(population)
    from_scratch = Members.of(recomputed(population))
    for column in ("id", "usable", "fitness", "error", "first", "uses", "parents"):
        assert np.array_equal(
            population.members.columns[column], from_scratch.columns[column], equal_nan=column != "parents"
        )
    for id in population.individuals:
        made = [m for m in population.members if role_of(m.operator) is not Role.EXPLORED_FROM]
        assert population.members.children([id]) == [m.candidate_id for m in made if id in m.parents]
    for step in range(4):
        ours, theirs = (choose(m, Random(step), step, SETTINGS) for m in (population.members, from_scratch))
        assert ours == theirs
    assert gap(population.members, Random(0), SETTINGS) == gap(from_scratch, Random(0), SETTINGS)
    entries = population.entries()
    assert population.screening.due() == screening(entries, population.info, population.ladder, population.seeds)
    assert population.tally() == tally(population)
    for rung in population.rungs:
        pooled = stats.pool([*i.searched.get(rung, {}).values()] for i in population.individuals.values())
        assert population._deviation(rung) == (pooled and pooled.deviation)


class Story:
    """Draws what happens next in a run, and records it."""

    def __init__(self, run: History, data: st.DataObject) -> None:
        self.run, self.data = run, data
        self.step = 0
        self.waiting: list[int] = []
        self.accepted: list[int] = []
        self.trained: set[tuple[int, str, int]] = set()

    def begin(self) -> None:
        for name in self.data.draw(st.permutations(["cross_entropy", "mse"])):
            self.accepted.append(self.run.seed(name))

    def proposal(self) -> None:
        self.step += 1
        operator = self.data.draw(st.sampled_from(["explore", "refine", "combine", "repair"]))
        parents = self.data.draw(st.lists(st.sampled_from(self.accepted), max_size=2, unique=True))
        self.waiting.append(self.run.bred(self.step, operator, parents, island=self.step % 2))

    def failure(self) -> None:
        self.step += 1
        self.run.archive.fail_proposal(self.run.replied(self.step), "no loss")

    def verdict(self) -> None:
        if self.waiting:
            candidate = self.waiting.pop(self.data.draw(st.integers(0, len(self.waiting) - 1)))
            fate = self.data.draw(st.sampled_from(["accepted", "accepted", "accepted", "refused", "duplicate"]))
            if fate == "accepted":
                tail = self.data.draw(st.sampled_from(["flat", "linear"]))
                self.accepted.append(self.run.accepted(candidate, descriptors={"convex": True, "left_tail": tail}))
            elif fate == "refused":
                self.run.refused(candidate)
            else:
                self.run.duplicate(candidate, of=self.accepted[0])

    def result(self) -> None:
        candidate = self.data.draw(st.sampled_from(self.accepted[:6]))  # few, so that some have several seeds
        rung, number = self.data.draw(st.sampled_from([("short", 0), ("full", 0), ("full", 1), ("full", 2)]))
        if (candidate, rung, number) in self.trained:
            return
        self.trained.add((candidate, rung, number))
        if self.data.draw(st.integers(0, 9)) == 0:
            self.run.failed(candidate, rung, number)
        else:
            self.run.scored(candidate, self.data.draw(st.sampled_from([0.1, 0.5]) | st.floats(0, 1)), rung, number)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_the_state_after_any_events_is_that_of_a_recomputation(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder, history(Path(folder)) as run:
        story, live = Story(run, data), Population(run.config, run.info, 1)
        story.begin()
        often = [story.proposal, story.failure, story.verdict, story.result, story.result, story.result]
        for what in data.draw(st.lists(st.sampled_from(often), min_size=10, max_size=60)):
            what()
            live.advance(run.reader)
        check(live, run.reader)
        check(run.population(), run.reader)
