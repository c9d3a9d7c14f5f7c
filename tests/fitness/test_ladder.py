"""The ladder: who is trained next, what the race saves, and what it never looks at."""

import random
from dataclasses import replace
from itertools import pairwise
from statistics import median

import pytest

from fitness.ladder import (
    Entry,
    Job,
    Seeds,
    Settings,
    final,
    leaders,
    plan,
    plan_of_claims,
    screening,
    stages,
    yardstick_grid,
)
from fitness.race import run_race, run_unraced
from fitness.task import Rung, TaskInfo

SEEDS = Seeds(search=tuple(range(10, 20)), final=tuple(range(90, 99)))
INFO = TaskInfo(
    "toy",
    "preference",
    "fitness",
    {r.name: r for r in (Rung("short", 10, 1.0), Rung("full", 40, 4.0), Rung("held_out", 40, 4.0, held_out=True))},
    beta=0.1,
)


def entry(number, short=None, *full, baseline=False, **options):
    """A loss with a fitness at the rung short, and further ones at full by seed."""
    results = {} if short is None else {("short", 10): short}
    results |= {("full", 10 + i): value for i, value in enumerate(full)}
    return Entry(number, baseline, results, **options)


def due(entries, **settings):
    return screening(entries, INFO, Settings(**{"keep": 0.5} | settings), SEEDS)


# ---- stages ----------------------------------------------------------------------------------------------------------


def test_the_way_up_is_every_rung_then_doubling_seeds():
    way = stages(INFO, Settings(contender_seeds=6), SEEDS)
    assert [(s.rung, len(s.seeds)) for s in way] == [("short", 1), ("full", 1), ("full", 2), ("full", 4), ("full", 6)]


def test_fewer_climb_at_each_stage_but_never_fewer_than_the_finalists():
    way = stages(INFO, Settings(contenders=8, contender_seeds=8, finalists=3), SEEDS)
    assert [s.places for s in way] == [None, 8, 4, 3, None]


def test_without_contenders_the_race_ends_at_the_dearest_rung():
    assert [(s.rung, len(s.seeds)) for s in stages(INFO, Settings(contenders=0), SEEDS)] == [("short", 1), ("full", 1)]


def test_a_stage_holds_the_seeds_of_the_stage_before():
    way = stages(INFO, Settings(contender_seeds=4), SEEDS)
    assert all(set(a.seeds) <= set(b.seeds) for a, b in pairwise(way[1:]))


# ---- screening -------------------------------------------------------------------------------------------------------


def test_a_new_loss_is_first_trained_at_the_cheapest_rung():
    assert due([entry(1)]) == (Job(1, "short", 10),)


def test_the_upper_part_climbs():
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


def test_a_loss_that_climbed_early_keeps_its_place_at_the_stage_it_reached():
    """It was in the upper half once; what counts from then on is how it did there."""
    entries = [entry(1, 0.1, 0.9), entry(2, 0.5, 0.2), entry(3, 0.6, 0.3)]
    jobs = due(entries, contenders=1, finalists=1, contender_seeds=2)
    assert jobs == (Job(1, "full", 11),)


def test_the_first_loss_of_all_has_nobody_to_be_above():
    assert due([entry(1, 0.5)]) == ()


# ---- hope ------------------------------------------------------------------------------------------------------------


def foretelling(slope, *, noise=0.0):
    """Ten losses that completed short and full, where full is `slope` times short give or take `noise`, and two others."""
    measured = [entry(n, 0.1 * n, slope * 0.1 * n + (noise if n % 2 else -noise)) for n in range(10)]
    return [*measured, entry(20, 0.5), entry(21, 0.95)]


def climbers(entries, **settings):
    return [j.candidate_id for j in due(entries, **{"contenders": 0, "keep": 1.0} | settings)]


def test_where_the_cheap_rung_foretells_the_dear_one_only_hopefuls_climb():
    assert climbers(foretelling(1.0, noise=0.01)) == [21]


def test_where_it_does_not_the_upper_part_climbs():
    assert climbers(foretelling(0.0, noise=0.3)) == [21, 20]


def test_more_optimism_lets_more_climb():
    assert climbers(foretelling(1.0, noise=0.01), optimism=100.0) == [21, 20]


def test_a_rung_that_foretells_the_opposite_is_not_turned_round():
    assert 21 in climbers(foretelling(-1.0))


def test_few_losses_foretell_nothing():
    assert climbers([*foretelling(1.0)[5:10], entry(20, 0.0)]) == [20]


def test_a_failed_training_ends_the_race_for_a_loss():
    assert due([entry(1, None, baseline=False), entry(2, 0.5, None)]) == (Job(1, "short", 10),)
    diverged = Entry(1, False, {("short", 10): None})
    assert due([diverged]) == ()


def test_baselines_run_every_stage_however_bad_they_are():
    bad = entry(1, -9.0, baseline=True)
    entries = [bad, *(entry(n, 0.5) for n in range(2, 8))]
    assert {j for j in due(entries) if j.candidate_id == 1} == {Job(1, "full", s) for s in (10, 11, 12, 13)}


def test_a_failed_baseline_is_still_measured_elsewhere():
    jobs = due([Entry(1, True, {("short", 10): None})])
    assert Job(1, "full", 10) in jobs and Job(1, "short", 10) not in jobs


def test_the_bar_counts_baselines_at_rungs_but_not_among_contenders():
    entries = [entry(1, 0.9, 0.9, 0.9, baseline=True), entry(2, 0.8, 0.8), entry(3, 0.7), entry(4, 0.6, 0.7)]
    jobs = due(entries, contenders=1, finalists=1, contender_seeds=2)
    assert jobs == (Job(2, "full", 11),)


def test_nothing_is_asked_for_twice():
    entries = [entry(n, 0.1 * n) for n in range(6)]
    first = due(entries)
    assert len(set(first)) == len(first)
    for job in first:
        entries[job.candidate_id].results[job.rung, job.seed] = 0.5
    assert not set(first) & set(due(entries))


def test_the_same_results_give_the_same_jobs():
    """Replay: a recorded run is chosen again from what it had seen."""
    rng = random.Random(0)
    entries = [entry(n, rng.random(), *(rng.random() for _ in range(rng.randrange(4)))) for n in range(40)]
    shuffled = [Entry(e.candidate_id, e.baseline, dict(reversed(e.results.items()))) for e in entries]
    assert due(entries) == due(shuffled)


# ---- the final -------------------------------------------------------------------------------------------------------


def finalists(entries, **settings):
    return final(entries, INFO, Settings(**settings), SEEDS)


def test_the_final_uses_fresh_seeds_and_the_held_out_rung():
    jobs = finalists([entry(1, 0.5, 0.5, baseline=True), entry(2, 0.6, 0.6)], finalist_seeds=2)
    assert set(jobs) == {Job(n, "held_out", s) for n in (1, 2) for s in (90, 91)}
    assert not {j.seed for j in jobs} & set(SEEDS.search)


def test_one_lucky_seed_does_not_beat_what_held_up_over_several():
    steady, lucky = entry(1, 0.5, 0.7, 0.7, 0.7), entry(2, 0.5, 0.95)
    assert [e.candidate_id for e in leaders([lucky, steady], INFO, Settings(), SEEDS)] == [1, 2]
    assert {j.candidate_id for j in finalists([lucky, steady], finalists=1)} == {1}


def test_a_loss_that_failed_once_is_no_finalist():
    assert finalists([entry(1, 0.5, 0.9, None)]) == ()


def test_the_yardstick_is_tuned_over_beta_and_nobody_else_is():
    entries = [entry(1, 0.5, 0.5, baseline=True, yardstick=True), entry(2, 0.5, 0.5, baseline=True), entry(3, 0.6, 0.6)]
    jobs = finalists(entries, finalist_seeds=1, yardstick_betas=(0.5, 1.0, 4.0))
    assert {j.beta for j in jobs if j.candidate_id == 1} == {None, 0.05, 0.4}
    assert {j.beta for j in jobs if j.candidate_id != 1} == {None}


def test_tuned_arms_that_are_done_are_not_asked_for_again():
    done = entry(1, 0.5, 0.5, baseline=True, yardstick=True, tuned={("held_out", 90, 0.05, None): 0.5})
    jobs = finalists([done], finalist_seeds=1)
    assert set(jobs) == {Job(1, "held_out", 90), Job(1, "held_out", 90, 0.2)}


# A claim depends on more trainings only where a leader is ahead of all baselines.


def measured(id, arms, *, ahead=None, **flags):
    """An entry with one fresh seed: fitness by beta, None for the task's own 0.1; `ahead` makes it a finalist."""
    tuned = {("held_out", 90, beta, None): fitness for beta, fitness in arms.items() if beta is not None}
    found = entry(id, 0.5, 0.5 if ahead is None else ahead, **flags, tuned=tuned)
    found.results["held_out", 90] = arms[None]
    return found


def further(*entries, also=(), **settings):
    jobs = final(entries, INFO, Settings(finalist_seeds=1, finalists=1, **settings), SEEDS, also)
    return {(job.candidate_id, job.beta) for job in jobs}


DPO = {"baseline": True, "yardstick": True}


def test_a_grid_whose_best_arm_lies_at_its_edge_is_widened_beyond_it():
    dpo = measured(1, {None: 0.5, 0.05: 0.4, 0.2: 0.6}, **DPO)
    assert further(dpo, measured(3, {None: 0.9}, ahead=0.9)) == {(1, 0.4)}
    low = measured(1, {None: 0.5, 0.05: 0.7, 0.2: 0.6}, **DPO)
    assert further(low, measured(3, {None: 0.9}, ahead=0.9)) == {(1, 0.025)}


def test_it_is_widened_no_more_often_than_allowed():
    arms = {None: 0.5, 0.05: 0.4, 0.2: 0.6, 0.4: 0.7}
    finalist = measured(3, {None: 0.9}, ahead=0.9)
    assert further(measured(1, arms, **DPO), finalist) == {(1, 0.8)}
    assert further(measured(1, arms | {0.8: 0.8}, **DPO), finalist) == set()
    assert further(measured(1, arms, **DPO), finalist, yardstick_widenings=1) == set()


def test_a_grid_whose_best_arm_lies_inside_is_left_alone():
    assert further(measured(1, {None: 0.6, 0.05: 0.4, 0.2: 0.5}, **DPO), measured(3, {None: 0.9}, ahead=0.9)) == set()


def test_nothing_more_is_trained_where_no_leader_is_ahead():
    assert further(measured(1, {None: 0.5, 0.05: 0.4, 0.2: 0.95}, **DPO), measured(3, {None: 0.9}, ahead=0.9)) == set()


def test_an_arm_that_failed_ends_the_widening():
    dpo = measured(1, {None: 0.5, 0.05: 0.4, 0.2: 0.6, 0.4: None}, **DPO)
    assert further(dpo, measured(3, {None: 0.9}, ahead=0.9)) == set()


def test_the_best_other_baseline_is_tuned_too_and_no_further_one():
    dpo = measured(1, {None: 0.5, 0.05: 0.4, 0.2: 0.4}, **DPO)
    slic, ipo = measured(2, {None: 0.6}, baseline=True), measured(4, {None: 0.3}, baseline=True)
    assert further(dpo, slic, ipo, measured(3, {None: 0.9}, ahead=0.9)) == {(2, 0.05), (2, 0.2)}


def test_a_baseline_that_reads_no_beta_is_not_trained_at_others():
    dpo = measured(1, {None: 0.5, 0.05: 0.4, 0.2: 0.4}, **DPO)
    assert (
        further(dpo, measured(2, {None: 0.6}, baseline=True, reads_beta=False), measured(3, {None: 0.9}, ahead=0.9))
        == set()
    )


def test_a_baseline_that_a_leader_varies_is_trained_where_it_varies_it():
    dpo = measured(1, {None: 0.5, 0.05: 0.4, 0.2: 0.4}, **DPO)
    slic = measured(2, {None: 0.3}, baseline=True)
    leader = measured(3, {None: 0.2}, ahead=0.9)
    assert further(dpo, slic, leader, also=[(2, (0.17, None))]) == {(2, 0.17)}


def test_a_finalist_that_fails_in_the_final_makes_no_room_for_another():
    failed = measured(3, {None: None}, ahead=0.9)
    jobs = final([failed, entry(4, 0.5, 0.8)], INFO, Settings(finalist_seeds=2, finalists=1), SEEDS)
    assert jobs == (Job(3, "held_out", 91),), "its other seeds are trained, and nobody else"


def test_arms_between_those_of_the_grid_neither_bound_it_nor_set_the_step():
    finalist = measured(3, {None: 0.9}, ahead=0.9)
    dpo = measured(1, {None: 0.5, 0.05: 0.7, 0.052: 0.69, 0.2: 0.6}, **DPO)
    assert further(dpo, finalist) == {(1, 0.025)}
    assert further(measured(1, {None: 0.5, 0.05: 0.69, 0.052: 0.7, 0.2: 0.6}, **DPO), finalist) == {(1, 0.025)}


def test_a_baseline_that_reads_no_beta_is_tuned_over_the_learning_rate():
    info = replace(INFO, learning_rate=0.01)
    sft = entry(1, 0.5, 0.5, baseline=True, yardstick=True, reads_beta=False)
    jobs = final([sft], info, Settings(finalist_seeds=1), SEEDS)
    assert {(job.beta, job.learning_rate) for job in jobs} == {(None, None), (None, 0.005), (None, 0.02)}


def test_a_lead_within_the_noise_needs_nothing_more():
    def two_seeds(id, first, second, **flags):
        return Entry(id, flags.pop("baseline", False), {("full", 10): 0.9, ("short", 10): 0.5, ("held_out", 90): first,
                     ("held_out", 91): second}, **flags)  # fmt: skip

    dpo = two_seeds(1, 0.5, 0.6, baseline=True, yardstick=True)
    grid = {"yardstick_betas": (), "finalist_seeds": 2, "finalists": 1}
    slic = two_seeds(2, 0.5, 0.59, baseline=True)
    tuned = Settings(**grid | {"yardstick_betas": (2.0,)})
    for seed in (90, 91):
        dpo.tuned["held_out", seed, 0.2, None] = 0.4
    assert final([dpo, slic, two_seeds(3, 0.9, 0.61)], INFO, tuned, SEEDS) == ()
    assert {job.candidate_id for job in final([dpo, slic, two_seeds(3, 0.9, 0.99)], INFO, tuned, SEEDS)} == {1, 2}


def test_what_claims_may_cost_is_planned():
    part = plan_of_claims(INFO, Settings(finalists=2, finalist_seeds=3), 4)
    assert (part.rung, part.trainings) == ("held_out", 3 * (2 + 2 * 2 + 2))


def test_a_contract_without_beta_has_no_arms():
    info = TaskInfo("toy", "classification", "accuracy", INFO.rungs)
    assert yardstick_grid(info, Settings()) == ()


def test_the_yardstick_is_tuned_over_the_learning_rate_on_request():
    info = replace(INFO, learning_rate=0.01)
    grid = yardstick_grid(info, Settings(yardstick_betas=(2.0,), yardstick_learning_rates=(0.5, 1.0)))
    assert set(grid) == {(None, 0.005), (0.2, None), (0.2, 0.005)}
    assert yardstick_grid(INFO, Settings(yardstick_betas=(), yardstick_learning_rates=(0.5,))) == ()


# ---- what it costs ---------------------------------------------------------------------------------------------------


def test_the_plan_names_every_part_and_its_cost():
    parts = plan(INFO, Settings(keep=0.5, contenders=4, contender_seeds=2, finalists=2, finalist_seeds=3), 2, 18)
    assert [(p.part, p.rung, p.trainings, p.seconds_each) for p in parts] == [
        ("search", "short", 20, 1.0),
        ("search", "full", 2 + 10, 4.0),
        ("search, 2 seeds", "full", 2 + 4, 4.0),
        ("final", "held_out", 3 * (2 + 2 + 2), 4.0),
    ]


@pytest.mark.parametrize("settings", [Settings(), Settings(keep=1.0, contenders=50, contender_seeds=5)])
def test_a_quiet_race_costs_no_more_than_planned(settings):
    """Best first, nobody climbs who is kept down later."""
    race = run_race(range(20), lambda job: (1.0 - 0.01 * job.candidate_id, 1.0), INFO, settings, SEEDS)
    planned = sum(p.trainings for p in plan(INFO, settings, 0, 20) if p.part != "final")
    assert len(race.steps) <= planned


# ---- the race against no race ----------------------------------------------------------------------------------------


def noisy_world(seed, losses=40):
    """True fitnesses spread by 0.1, a cheap rung that agrees with the dear one by about 0.8, and 0.03 of noise by seed."""
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
    settings = Settings(contender_seeds=4)
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


def test_diverging_losses_cost_one_cheap_training():
    def measure(job):
        return (None, 0.1) if job.candidate_id % 2 else (0.5, 1.0)

    race = run_race(range(20), measure, INFO, Settings(), SEEDS)
    assert all(step.job.rung == "short" for step in race.steps if step.job.candidate_id % 2)


def test_a_yardstick_without_beta_is_tuned_over_the_learning_rate_unless_told_otherwise():
    info = replace(INFO, beta=None, learning_rate=0.01)
    assert yardstick_grid(info, Settings()) == ((None, 0.005), (None, 0.02))
    assert yardstick_grid(info, Settings(yardstick_learning_rates=())) == ()
    assert all(rate is None for _, rate in yardstick_grid(replace(info, beta=0.5), Settings()))
