"""The ladder: promotion, due trainings, planned cost, and savings on simulated results."""

import random
from itertools import pairwise
from statistics import median

import pytest
from ladder_entries import INFO, SEEDS, entry

from fitness.schedule.ladder import Job, RaceEntry, screening, stages
from fitness.schedule.planned import plan, plan_of_claims
from fitness.schedule.race import run_race, run_unraced
from fitness.schedule.settings import LadderSettings


def due(entries, **settings):
    return screening(entries, INFO, LadderSettings(**{"keep": 0.5} | settings), SEEDS)


# ---- stages ----------------------------------------------------------------------------------------------------------


def test_the_stages_are_every_rung_then_doubling_seeds():
    way = stages(INFO, LadderSettings(contender_seeds=6), SEEDS)
    assert [(s.rung, len(s.seeds)) for s in way] == [("short", 1), ("full", 1), ("full", 2), ("full", 4), ("full", 6)]


def test_fewer_are_promoted_at_each_stage_but_never_fewer_than_the_finalists():
    way = stages(INFO, LadderSettings(contenders=8, contender_seeds=8, finalists=3), SEEDS)
    assert [s.places for s in way] == [None, 8, 4, 3, None]


def test_without_contenders_the_race_ends_at_the_rung_of_highest_fidelity():
    assert [(s.rung, len(s.seeds)) for s in stages(INFO, LadderSettings(contenders=0), SEEDS)] == [
        ("short", 1),
        ("full", 1),
    ]


def test_a_stage_includes_the_seeds_of_the_stage_before():
    way = stages(INFO, LadderSettings(contender_seeds=4), SEEDS)
    assert all(set(a.seeds) <= set(b.seeds) for a, b in pairwise(way[1:]))


# ---- screening -------------------------------------------------------------------------------------------------------


def test_a_new_loss_is_first_trained_at_the_cheapest_rung():
    assert due([entry(1)]) == (Job(1, "short", 10),)


def test_the_upper_part_is_promoted():
    entries = [entry(n, fitness) for n, fitness in enumerate((0.1, 0.4, 0.3, 0.2))]
    assert due(entries) == (Job(1, "full", 10), Job(2, "full", 10))


def test_higher_stages_are_more_urgent_than_new_losses():
    jobs = due([entry(1, 0.5), entry(2, 0.4), entry(3)])
    assert jobs == (Job(1, "full", 10), Job(3, "short", 10))


def test_leaders_earn_further_seeds():
    entries = [entry(n, 0.5, fitness) for n, fitness in enumerate((0.1, 0.4, 0.3, 0.2))]
    jobs = due(entries, keep=1.0, contenders=2, finalists=1, contender_seeds=2)
    assert jobs == (Job(1, "full", 11), Job(2, "full", 11))


def test_half_at_most_earn_further_seeds():
    jobs = due([entry(n, 0.5, 0.1 * n) for n in range(3)], contenders=9, finalists=1, contender_seeds=2)
    assert jobs == (Job(2, "full", 11),)


def test_stages_of_many_seeds_wait_for_the_end_of_the_proposals():
    settings = LadderSettings(keep=1.0, contenders=4, finalists=1, contender_seeds=4, early_seeds=2)
    entries = [entry(n, 0.5, 0.1 * n, 0.1 * n) for n in range(4)]
    assert screening(entries, INFO, settings, SEEDS, ending=False) == ()
    assert screening(entries, INFO, settings, SEEDS) == tuple(Job(n, "full", s) for n in (3, 2) for s in (12, 13))
    at_once = settings.model_copy(update={"early_seeds": 4})
    assert screening(entries, INFO, at_once, SEEDS, ending=False) == screening(entries, INFO, settings, SEEDS)


def test_a_race_trains_the_many_seeds_of_the_contenders_last():
    settings = LadderSettings(keep=1.0, contenders=4, contender_seeds=4)
    race = run_race(range(12), lambda job: (0.1 * job.candidate_id, 1.0), INFO, settings, SEEDS)
    late = [step.job.seed in SEEDS.search[2:4] for step in race.steps]
    assert any(late) and late == sorted(late)


def test_a_loss_that_was_promoted_early_stays_at_its_stage():
    """It was in the upper part at that time; from then on only its results at the new stage count."""
    entries = [entry(1, 0.1, 0.9), entry(2, 0.5, 0.2), entry(3, 0.6, 0.3)]
    jobs = due(entries, contenders=1, finalists=1, contender_seeds=2)
    assert jobs == (Job(1, "full", 11),)


def test_the_first_loss_alone_is_not_promoted():
    assert due([entry(1, 0.5)]) == ()


# ---- hope ------------------------------------------------------------------------------------------------------------


def foretelling(slope, *, noise=0.0):
    """Ten losses that completed short and full, where full is `slope` times short plus or minus `noise`, and two others."""
    measured = [entry(n, 0.1 * n, slope * 0.1 * n + (noise if n % 2 else -noise)) for n in range(10)]
    return [*measured, entry(20, 0.5), entry(21, 0.95)]


def climbers(entries, **settings):
    return [j.candidate_id for j in due(entries, **{"contenders": 0, "keep": 1.0} | settings)]


def test_if_a_rung_predicts_the_next_only_promising_losses_are_promoted():
    assert climbers(foretelling(1.0, noise=0.01)) == [21]


def test_if_a_rung_does_not_predict_the_next_the_upper_part_is_promoted():
    assert climbers(foretelling(0.0, noise=0.3)) == [21, 20]


def test_more_optimism_promotes_more_losses():
    assert climbers(foretelling(1.0, noise=0.01), optimism=100.0) == [21, 20]


def test_a_negative_slope_counts_as_zero():
    assert 21 in climbers(foretelling(-1.0))


def test_few_losses_give_no_prediction():
    assert climbers([*foretelling(1.0)[5:10], entry(20, 0.0)]) == [20]


def test_a_failed_training_ends_the_race_for_a_loss():
    assert due([entry(1, None, baseline=False), entry(2, 0.5, None)]) == (Job(1, "short", 10),)
    diverged = RaceEntry(1, False, {("short", 10): None})
    assert due([diverged]) == ()


def test_baselines_run_every_stage_however_bad_they_are():
    bad = entry(1, -9.0, seed_loss=True)
    entries = [bad, *(entry(n, 0.5) for n in range(2, 8))]
    assert {j for j in due(entries) if j.candidate_id == 1} == {Job(1, "full", s) for s in (10, 11, 12, 13)}


def test_a_failed_baseline_is_still_measured_elsewhere():
    jobs = due([RaceEntry(1, True, {("short", 10): None})])
    assert Job(1, "full", 10) in jobs and Job(1, "short", 10) not in jobs


def test_the_bar_counts_baselines_at_rungs_but_not_among_contenders():
    entries = [entry(1, 0.9, 0.9, 0.9, seed_loss=True), entry(2, 0.8, 0.8), entry(3, 0.7), entry(4, 0.6, 0.7)]
    jobs = due(entries, contenders=1, finalists=1, contender_seeds=2)
    assert jobs == (Job(2, "full", 11),)


def test_no_training_is_due_twice():
    entries = [entry(n, 0.1 * n) for n in range(6)]
    first = due(entries)
    assert len(set(first)) == len(first)
    for job in first:
        entries[job.candidate_id].results[job.rung, job.seed] = 0.5
    assert not set(first) & set(due(entries))


def test_the_same_results_give_the_same_jobs():
    """Replay: the same decisions follow from the recorded results."""
    rng = random.Random(0)
    entries = [entry(n, rng.random(), *(rng.random() for _ in range(rng.randrange(4)))) for n in range(40)]
    shuffled = [RaceEntry(e.candidate_id, e.seed_loss, dict(reversed(e.results.items()))) for e in entries]
    assert due(entries) == due(shuffled)


# ---- what it costs ---------------------------------------------------------------------------------------------------


def test_the_plan_names_every_part_and_its_cost():
    parts = plan(INFO, LadderSettings(keep=0.5, contenders=4, contender_seeds=2, finalists=2, finalist_seeds=3), 2, 18)
    assert [(p.part, p.rung, p.trainings, p.seconds_each) for p in parts] == [
        ("search", "short", 20, 1.0),
        ("search", "full", 2 + 10, 4.0),
        ("search, 2 seeds", "full", 2 + 4, 4.0),
        ("final", "held_out", 3 * (2 + 2 + 2), 4.0),
    ]


def test_the_plan_names_what_waits_for_the_end_of_the_proposals():
    parts = plan(INFO, LadderSettings(contender_seeds=8, early_seeds=3), 2, 18)
    assert [p.part for p in parts if p.late] == ["search, 4 seeds", "search, 8 seeds"]


@pytest.mark.parametrize("settings", [LadderSettings(), LadderSettings(keep=1.0, contenders=50, contender_seeds=5)])
def test_a_race_without_noise_costs_no_more_than_planned(settings):
    """With the best losses first, no promoted loss is displaced later."""
    race = run_race(range(20), lambda job: (1.0 - 0.01 * job.candidate_id, 1.0), INFO, settings, SEEDS)
    planned = sum(p.trainings for p in plan(INFO, settings, 0, 20) if p.part != "final")
    assert len(race.steps) <= planned


def test_the_cost_of_claims_is_planned():
    part = plan_of_claims(INFO, LadderSettings(finalists=2, finalist_seeds=3, baseline_widenings=2), 4)
    assert (part.rung, part.trainings) == ("held_out", 3 * (2 + 2 * 2 + 2))


# ---- the race against no race ----------------------------------------------------------------------------------------


def noisy_world(seed, losses=40):
    """True fitnesses spread by 0.1, a low rung with a correlation of about 0.8 with the full one, and noise of 0.03 per seed."""
    rng = random.Random(seed)
    true = {n: rng.gauss(0.5, 0.1) for n in range(losses)}
    cheap = {n: value + rng.gauss(0.0, 0.07) for n, value in true.items()}

    def measure(job):
        noise = random.Random(f"{seed} {job}").gauss(0.0, 0.03)
        if job.rung == "short":
            return cheap[job.candidate_id] + noise, 1.0
        return true[job.candidate_id] + noise, 4.0

    best = max(true.values())
    return measure, {n for n, value in true.items() if value >= best - 0.03}


def test_racing_finds_a_loss_as_good_as_the_best_with_a_third_of_the_training():
    settings = LadderSettings(contender_seeds=4)
    ratios, missed, costs = [], 0, []
    for world in range(20):
        measure, good = noisy_world(world)
        raced = run_race(range(40), measure, INFO, settings, SEEDS)
        unraced = run_unraced(range(40), measure, INFO, settings, SEEDS)
        missed += raced.found(good) is None
        costs.append(unraced.seconds / raced.seconds)
        if (mine := raced.found(good)) and (theirs := unraced.found(good)):
            ratios.append(theirs / mine)
    assert median(ratios) >= 3
    assert median(costs) >= 4
    assert missed <= 2


def test_diverging_losses_cost_one_training_at_the_lowest_rung():
    def measure(job):
        return (None, 0.1) if job.candidate_id % 2 else (0.5, 1.0)

    race = run_race(range(20), measure, INFO, LadderSettings(), SEEDS)
    assert all(step.job.rung == "short" for step in race.steps if step.job.candidate_id % 2)
