"""The final: trainings on fresh seeds, the grid of the baseline, and further trainings for a claim."""

from dataclasses import replace

from ladder_entries import INFO, SEEDS, entry

from fitness.schedule.final import final, tuning_grid
from fitness.schedule.ladder import Job, RaceEntry, leaders
from fitness.schedule.settings import LadderSettings
from fitness.task import TaskInfo


def finalists(entries, **settings):
    return final(entries, INFO, LadderSettings(**settings), SEEDS)


def test_the_final_uses_fresh_seeds_and_the_held_out_rung():
    jobs = finalists([entry(1, 0.5, 0.5, seed_loss=True), entry(2, 0.6, 0.6)], finalist_seeds=2)
    assert set(jobs) == {Job(n, "held_out", s) for n in (1, 2) for s in (90, 91)}
    assert not {j.seed for j in jobs} & set(SEEDS.search)


def test_a_high_score_on_one_seed_does_not_beat_a_good_mean_over_several():
    steady, lucky = entry(1, 0.5, 0.7, 0.7, 0.7), entry(2, 0.5, 0.95)
    assert [e.candidate_id for e in leaders([lucky, steady], INFO, LadderSettings(), SEEDS)] == [1, 2]
    assert {j.candidate_id for j in finalists([lucky, steady], finalists=1)} == {1}


def test_a_loss_that_failed_once_is_not_a_finalist():
    assert finalists([entry(1, 0.5, 0.9, None)]) == ()


def test_only_the_baseline_is_tuned_over_beta():
    entries = [
        entry(1, 0.5, 0.5, seed_loss=True, baseline=True),
        entry(2, 0.5, 0.5, seed_loss=True),
        entry(3, 0.6, 0.6),
    ]
    jobs = finalists(entries, finalist_seeds=1, baseline_betas=(0.5, 1.0, 4.0))
    assert {j.beta for j in jobs if j.candidate_id == 1} == {None, 0.05, 0.4}
    assert {j.beta for j in jobs if j.candidate_id != 1} == {None}


def test_tuned_arms_that_are_done_are_not_due_again():
    done = entry(1, 0.5, 0.5, seed_loss=True, baseline=True, tuned={("held_out", 90, 0.05, None): 0.5})
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
    jobs = final(entries, INFO, LadderSettings(finalist_seeds=1, finalists=1, **settings), SEEDS, also)
    return {(job.candidate_id, job.beta) for job in jobs}


DPO = {"seed_loss": True, "baseline": True}


def test_a_grid_whose_best_arm_lies_at_its_edge_is_widened_beyond_it():
    dpo = measured(1, {None: 0.5, 0.05: 0.4, 0.2: 0.6}, **DPO)
    assert further(dpo, measured(3, {None: 0.9}, ahead=0.9)) == {(1, 0.4)}
    low = measured(1, {None: 0.5, 0.05: 0.7, 0.2: 0.6}, **DPO)
    assert further(low, measured(3, {None: 0.9}, ahead=0.9)) == {(1, 0.025)}


def test_it_is_widened_step_by_step_and_no_more_often_than_allowed():
    finalist = measured(3, {None: 0.95}, ahead=0.95)
    for ratio in (2, 0.5):
        arms = {None: 0.5, 0.1 / ratio: 0.4, 0.1 * ratio: 0.6}
        for step in range(2, 6):
            value = 0.1 * ratio**step
            assert further(measured(1, arms, **DPO), finalist, baseline_widenings=step - 2) == set()
            assert further(measured(1, arms, **DPO), finalist, baseline_widenings=4) == {(1, value)}
            arms[value] = 0.6 + 0.05 * step
        assert further(measured(1, arms, **DPO), finalist, baseline_widenings=4) == set()


def test_a_grid_whose_best_arm_lies_inside_is_not_widened():
    assert further(measured(1, {None: 0.6, 0.05: 0.4, 0.2: 0.5}, **DPO), measured(3, {None: 0.9}, ahead=0.9)) == set()


def test_nothing_more_is_trained_if_no_finalist_is_ahead():
    assert further(measured(1, {None: 0.5, 0.05: 0.4, 0.2: 0.95}, **DPO), measured(3, {None: 0.9}, ahead=0.9)) == set()


def test_an_arm_that_failed_ends_the_widening():
    dpo = measured(1, {None: 0.5, 0.05: 0.4, 0.2: 0.6, 0.4: None}, **DPO)
    assert further(dpo, measured(3, {None: 0.9}, ahead=0.9)) == set()


def test_the_best_other_baseline_is_tuned_too_and_no_further_one():
    dpo = measured(1, {None: 0.5, 0.05: 0.4, 0.2: 0.4}, **DPO)
    slic, ipo = measured(2, {None: 0.6}, seed_loss=True), measured(4, {None: 0.3}, seed_loss=True)
    assert further(dpo, slic, ipo, measured(3, {None: 0.9}, ahead=0.9)) == {(2, 0.05), (2, 0.2)}


def test_a_baseline_that_reads_no_beta_is_not_trained_at_others():
    dpo = measured(1, {None: 0.5, 0.05: 0.4, 0.2: 0.4}, **DPO)
    assert (
        further(dpo, measured(2, {None: 0.6}, seed_loss=True, reads_beta=False), measured(3, {None: 0.9}, ahead=0.9))
        == set()
    )


def test_a_seed_loss_that_a_finalist_is_a_variation_of_is_trained_at_its_tuning():
    dpo = measured(1, {None: 0.5, 0.05: 0.4, 0.2: 0.4}, **DPO)
    slic = measured(2, {None: 0.3}, seed_loss=True)
    leader = measured(3, {None: 0.2}, ahead=0.9)
    assert further(dpo, slic, leader, also=[(2, (0.17, None))]) == {(2, 0.17)}


def test_a_finalist_that_fails_in_the_final_is_not_replaced():
    failed = measured(3, {None: None}, ahead=0.9)
    jobs = final([failed, entry(4, 0.5, 0.8)], INFO, LadderSettings(finalist_seeds=2, finalists=1), SEEDS)
    assert jobs == (Job(3, "held_out", 91),), "its other seeds are trained, and nobody else"


def test_arms_between_those_of_the_grid_neither_bound_it_nor_set_the_step():
    finalist = measured(3, {None: 0.9}, ahead=0.9)
    dpo = measured(1, {None: 0.5, 0.05: 0.7, 0.052: 0.69, 0.2: 0.6}, **DPO)
    assert further(dpo, finalist) == {(1, 0.025)}
    assert further(measured(1, {None: 0.5, 0.05: 0.69, 0.052: 0.7, 0.2: 0.6}, **DPO), finalist) == {(1, 0.025)}


def test_a_baseline_that_reads_no_beta_is_tuned_over_the_learning_rate():
    info = replace(INFO, learning_rate=0.01)
    sft = entry(1, 0.5, 0.5, seed_loss=True, baseline=True, reads_beta=False)
    jobs = final([sft], info, LadderSettings(finalist_seeds=1), SEEDS)
    assert {(job.beta, job.learning_rate) for job in jobs} == {(None, None), (None, 0.005), (None, 0.02)}


def test_a_lead_within_the_noise_needs_nothing_more():
    def two_seeds(id, first, second, **flags):
        return RaceEntry(id, flags.pop("seed_loss", False), {("full", 10): 0.9, ("short", 10): 0.5, ("held_out", 90): first,
                     ("held_out", 91): second}, **flags)  # fmt: skip

    dpo = two_seeds(1, 0.5, 0.6, seed_loss=True, baseline=True)
    grid = {"baseline_betas": (), "finalist_seeds": 2, "finalists": 1}
    slic = two_seeds(2, 0.5, 0.59, seed_loss=True)
    tuned = LadderSettings(**grid | {"baseline_betas": (2.0,)})
    for seed in (90, 91):
        dpo.tuned["held_out", seed, 0.2, None] = 0.4
    assert final([dpo, slic, two_seeds(3, 0.9, 0.61)], INFO, tuned, SEEDS) == ()
    assert {job.candidate_id for job in final([dpo, slic, two_seeds(3, 0.9, 0.99)], INFO, tuned, SEEDS)} == {1, 2}


def test_a_contract_without_beta_has_no_arms():
    info = TaskInfo("toy", "classification", "accuracy", INFO.rungs)
    assert tuning_grid(info, LadderSettings()) == ()


def test_the_baseline_is_tuned_over_the_learning_rate_on_request():
    info = replace(INFO, learning_rate=0.01)
    grid = tuning_grid(info, LadderSettings(baseline_betas=(2.0,), baseline_learning_rates=(0.5, 1.0)))
    assert set(grid) == {(None, 0.005), (0.2, None), (0.2, 0.005)}
    assert tuning_grid(INFO, LadderSettings(baseline_betas=(), baseline_learning_rates=(0.5,))) == ()


def test_a_baseline_without_beta_is_tuned_over_the_learning_rate_by_default():
    info = replace(INFO, beta=None, learning_rate=0.01)
    assert tuning_grid(info, LadderSettings()) == ((None, 0.005), (None, 0.02))
    assert tuning_grid(info, LadderSettings(baseline_learning_rates=())) == ()
    assert all(rate is None for _, rate in tuning_grid(replace(info, beta=0.5), LadderSettings()))
