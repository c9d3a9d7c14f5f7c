"""What a budget allows: limits, what is under way, and what nobody told the price of."""

from __future__ import annotations

import itertools

import pytest

from archive.query import Reader
from archive.records import RunRow, Usage
from archive.store import Archive
from evo.baselines.trainings import JudgeBudget
from evo.campaign.backlog import open_steps
from evo.campaign.training import TaskUnusable
from evo.config.budget_settings import BudgetConfig
from evo.config.schema import parse_config
from evo.search.budget import NO_COST, Cost, Spent, exceeded_limit
from evo.search.budget_split import Reserve, budget_forecast
from evo.search.ledger import LONGEST_PROMPT, Ledger
from evo.search.population import Population
from fitness.chat.costs import Usage as Paid
from fitness.schedule.ladder import Job
from fitness.schedule.planned import Planned, plan
from fitness.task import task_info


@pytest.mark.parametrize(
    ("budget", "used", "under_way", "wanted", "words"),
    [
        ({"proposals": 3}, Spent(proposals=2), NO_COST, Cost(proposals=1), None),
        ({"proposals": 3}, Spent(proposals=2), Cost(proposals=1), Cost(proposals=1), "3 proposals is reached"),
        ({"tokens": 100}, Spent(tokens=50), Cost(tokens=20), Cost(tokens=30), None),
        ({"tokens": 100}, Spent(tokens=50), Cost(tokens=20), Cost(tokens=31), "70 are spent or in progress"),
        ({"usd": 1}, Spent(usd=0.9), NO_COST, Cost(usd=0.2), "the budget of 1 usd"),
        ({"usd": 1}, Spent(usd=2), NO_COST, Cost(evaluations=1), None),
        ({"seconds": 5}, Spent(seconds=5), NO_COST, NO_COST, "5 seconds is reached"),
        ({"tokens": "unlimited", "usd": "unlimited"}, Spent(tokens=10**9), NO_COST, Cost(tokens=1, usd=1), None),
    ],
)  # fmt: skip
def test_what_does_not_fit_beside_what_is_spent_and_under_way_is_not_begun(budget, used, under_way, wanted, words):
    said = exceeded_limit(BudgetConfig(**{"proposals": None} | budget), used, under_way, wanted)
    assert said is None if words is None else said is not None and words in said


JUDGED = {
    "task": "preference",
    "llm": {"max_tokens": 100, "usd_per_million_in": 1, "usd_per_million_out": 10},
    "fitness": {
        "model": "m",
        "data": "d/d",
        "evaluation": {"by": "judge", "base_url": "http://127.0.0.1:1/v1", "model": "j", "prompts": 2},
    },
}


@pytest.fixture
def archive(tmp_path):
    with Archive.create(tmp_path / "a.db", RunRow("r", 0, "preference", "preference", {}, {}, "0")) as archive:
        yield archive


def spent(archive: Archive) -> Spent:
    config = parse_config(JUDGED)
    ledger = Ledger(config, task_info(config.task, config.fitness))
    with Reader.open(archive.path) as reader:
        for event in reader.events():
            ledger.take(event, reader)
    return ledger.spent(0.0)


def asked(archive: Archive, step: int = 1) -> int:
    return archive.request_proposal(step, 1, "explore", "openai", "m", 1.0, "t", {}, 0)


def training(archive: Archive, seed: int = 0) -> int:
    if not seed:
        archive.add_candidate("seed", "dpo", "", "", "preference")
    evaluation = archive.queue_evaluation(1, "preference", "short", seed)
    archive.start_evaluation(evaluation)
    return evaluation


def test_a_reply_that_does_not_tell_what_it_cost_counts_with_the_most(archive):
    archive.receive_proposal(asked(archive), "a reply")
    assert spent(archive).tokens == LONGEST_PROMPT + 100
    assert spent(archive).usd == pytest.approx((LONGEST_PROMPT * 1 + 100 * 10) / 1e6)


@pytest.mark.parametrize("possibly_paid", [True, False])
def test_a_call_that_may_have_been_answered_unseen_counts_and_an_error_status_does_not(archive, possibly_paid):
    archive.fail_proposal(asked(archive), "an error", possibly_paid=possibly_paid)
    assert (spent(archive).tokens > 0) is possibly_paid


def test_a_call_counts_with_the_most_that_was_recorded_when_it_left(archive):
    most = Usage(300, 50, 0.5)
    for step, ends in enumerate(("lost", "received", "failed", "refused", "told"), 1):
        call = archive.request_proposal(step, 1, "explore", "openai", "m", 1.0, "t", {}, 0, most=most)
        if ends == "lost":
            archive.lose_proposal(call)
        elif ends in ("received", "told"):
            archive.receive_proposal(call, "a reply", *((1, 2, 0.25) if ends == "told" else ()))
        else:
            archive.fail_proposal(
                call, f"{'timeout' if ends == 'failed' else 'rate_limit'}: t | r", possibly_paid=ends == "failed"
            )
    assert (spent(archive).tokens, spent(archive).usd) == (3 * 350 + 3, 1.75)
    with Reader.open(archive.path) as reader:
        told = reader.spending()
    assert (told.tokens_in + told.tokens_out, told.usd, told.at_most) == (3 * 350 + 3, 1.75, 3)


@pytest.mark.parametrize(("ends_step", "counted", "next_step"), [(True, 1, 2), (False, 0, 1)])
def test_a_failed_step_counts_where_its_failure_says_so_as_in_no_older_archive(archive, ends_step, counted, next_step):
    archive.fail_proposal(asked(archive), "malformed: t | r", ends_step=ends_step)
    assert spent(archive).proposals == counted
    with Reader.open(archive.path) as reader:
        assert reader.spending().steps == counted
        assert next(itertools.chain(*open_steps(reader))) == next_step


def test_what_a_judge_was_paid_counts_whether_the_training_was_scored_failed_or_left_open(archive):
    archive.score_evaluation(training(archive), 0.5, judged=Usage(100, 10, 0.25))
    archive.fail_evaluation(training(archive, 1), "collapsed", judged=Usage(100, 10, 0.25))
    archive.charge("judge", Usage(100, 10, 0.25), training(archive, 2))
    assert (spent(archive).tokens, spent(archive).usd) == (330, 0.75)
    with Reader.open(archive.path) as reader:
        told = reader.spending()
    assert (told.judge_tokens_in, told.judge_tokens_out, told.judge_usd) == (300, 30, 0.75)
    assert (told.tokens_in, told.usd) == (0, 0.0)


def test_a_judged_training_that_was_cut_off_was_possibly_paid_unless_it_is_known_what_for(archive):
    archive.score_evaluation(training(archive), 0.5, judged=Usage(100, 10))
    training(archive, 1)
    archive.charge("judge", Usage(1, 1), training(archive, 2))
    archive.recover()
    assert spent(archive).possibly_paid == 1
    with Reader.open(archive.path) as reader:
        assert reader.spending().judge_possibly_paid == 1


def test_trying_a_proposer_s_endpoint_counts_as_the_proposer_s(archive):
    archive.charge("proposer", Usage(9, 1, 0.5))
    assert (spent(archive).tokens, spent(archive).usd) == (10, 0.5)
    with Reader.open(archive.path) as reader:
        assert (reader.spending().tokens_in, reader.spending().usd) == (9, 0.5)


def test_the_table_of_baselines_stops_its_judge_at_the_budget_and_repeats_nothing(archive):
    config = parse_config({**JUDGED, "budget": {"tokens": 40_000}})
    info = task_info(config.task, config.fitness)
    archive.score_evaluation(training(archive), 0.5, judged=Usage(100, 10))
    with Reader.open(archive.path) as reader:
        judge_budget = JudgeBudget(config, info, "short", reader)
        with judge_budget.reserved(Job(1, "short", 1)):
            with judge_budget.reserved(Job(1, "short", 0)):
                pass  # it is there already
            with (
                pytest.raises(TaskUnusable, match="the budget of 40000 tokens is reached"),
                judge_budget.reserved(Job(1, "short", 2)),
            ):
                pass


def bought(**settings: object) -> str:
    config = parse_config({"task": "classification", **settings})
    return "\n".join(budget_forecast(config, Population(config, task_info(config.task, config.fitness), 1)))


def test_what_a_budget_of_trainings_buys_is_said_beforehand():
    said = bought(budget={"evaluations": 6})
    assert "6 of the budget of 6 are left" in said
    assert "4 of them before the first proposal" in said
    assert "at most 2 proposals can be trained" in said
    assert bought() == ""


def test_a_budget_that_cannot_train_one_proposal_is_said():
    assert "No proposal will be requested" in bought(budget={"evaluations": 4})
    assert "the budget of 4 evaluations is reached" in bought(budget={"evaluations": 4})


def test_a_final_is_kept_room_for_where_the_budget_has_it():
    assert "The final takes 48, for which the budget is too small" in bought(budget={"evaluations": 52})
    assert "The final takes 48, which are reserved" in bought(budget={"evaluations": 53})
    assert "at most 1 proposal can be trained" in bought(budget={"evaluations": 53})


def test_stages_that_wait_for_the_end_of_the_proposals_are_kept_room_for():
    def most(early: int) -> int:
        said = bought(budget={"evaluations": 200}, ladder={"early_seeds": early})
        return int(said.split("at most ")[1].split(" ")[0])

    config = parse_config({"task": "classification", "budget": {"evaluations": 200}})
    population = Population(config, task_info(config.task, config.fitness), 1)
    late = Reserve.of(config, population).late.evaluations
    assert (
        most(2) == most(4) - late and late == sum(part.trainings for part in planned(population, 200) if part.late) > 0
    )


def planned(population: Population, proposals: int) -> tuple[Planned, ...]:
    return plan(population.info, population.ladder, population.all_seed_losses, proposals)


def test_a_judge_that_leaves_nothing_for_a_proposal_is_said():
    config = parse_config({**JUDGED, "budget": {"tokens": 1000}})
    population = Population(config, task_info(config.task, config.fitness), 1)
    assert population.info.judging("short") != Paid()
    assert "No proposal will be requested" in "\n".join(budget_forecast(config, population))
