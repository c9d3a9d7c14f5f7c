"""How long a run will take: what is left, at the speed that was measured."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from evo.config.budget_settings import BudgetConfig
from evo.config.schema import Config
from evo.search.budget import Spent
from evo.search.estimate import Pace, Workload, proposals_left, remaining_work, requests_at_once, seconds, whole_run
from evo.search.ledger import Ledger
from fitness.schedule.planned import plan, plan_of_claims
from fitness.schedule.settings import LadderSettings
from fitness.task import Rung, TaskInfo

RUNGS = {
    "short": Rung("short", 10, 2.0),
    "full": Rung("full", 30, 6.0),
    "held_out": Rung("held_out", 30, 8.0, held_out=True),
}
INFO = TaskInfo("toy", "preference", "fitness", RUNGS, beta=0.1)
LADDER = LadderSettings()


def _pace(**measured):
    pace = Pace()
    for rung, times in measured.items():
        for time in times:
            pace.trained(rung, time)
    return pace


def test_before_anything_is_measured_a_run_takes_what_its_plan_says():
    planned = plan(INFO, LADDER, 4, 24)
    work = whole_run(INFO, LADDER, 4, 24)
    assert work.trainings == sum(part.trainings for part in planned)
    assert seconds(work, Pace(), INFO, workers=1).least == pytest.approx(sum(part.seconds for part in planned))


def test_measured_trainings_replace_the_task_s_estimate():
    assert seconds(Workload({"short": 10}, {}), _pace(short=[1.0, 1.0]), INFO, workers=2) == pytest.approx((5.0, 5.0))


def test_a_rung_that_was_not_measured_is_as_much_slower_as_those_that_were():
    pace = _pace(short=[6.0, 6.0], full=[18.0])
    assert pace.training("held_out", INFO) == pytest.approx(24.0)
    assert seconds(Workload({}, {"held_out": 4}), pace, INFO, workers=2) == pytest.approx((48.0, 48.0))


def test_one_slow_first_training_does_not_make_the_speed():
    assert _pace(short=[30.0, 2.0, 2.0, 2.0]).training("short", INFO) == 2.0


def test_of_two_or_three_trainings_the_shortest_is_usual_and_the_mean_bounds_the_estimate():
    pace = _pace(short=[21.0, 3.0])
    assert (pace.training("short", INFO), pace.training("short", INFO, slow=True)) == (3.0, 12.0)
    assert (pace.training("full", INFO), pace.training("full", INFO, slow=True)) == (9.0, 18.0), "loading took 9 s"
    assert seconds(Workload({"short": 10}, {}), pace, INFO, workers=1) == pytest.approx((30.0, 120.0))
    prepared = replace(INFO, seed_seconds=4.0)  # twice what a training at the rung short takes by the estimate
    assert pace.training("short", prepared) == pytest.approx(1.0)
    assert _pace(short=[3.0] * 4).training("short", prepared) == 3.0


def test_further_trainings_that_a_claim_depends_on_bound_the_estimate():
    work = whole_run(INFO, LADDER, 4, 24)
    claims = plan_of_claims(INFO, LADDER, 4)
    assert (
        work.claims == {"held_out": claims.trainings}
        and claims.trainings >= LADDER.finalist_seeds * LADDER.baseline_widenings
    )
    span = seconds(work, Pace(), INFO, workers=1)
    assert span.most - span.least == pytest.approx(claims.seconds)
    assert not whole_run(INFO, LADDER, 4, 0).claims, "without a proposal there is no claim"


def test_seeds_that_no_worker_has_used_take_longer():
    info = replace(INFO, seed_seconds=5.0)
    plain, prepared = (seconds(whole_run(i, LADDER, 4, 24), Pace(), i, workers=2).least for i in (INFO, info))
    assert prepared - plain == pytest.approx(5.0 * (LADDER.contender_seeds + LADDER.finalist_seeds))


def test_trainings_that_wait_for_the_last_proposal_are_counted_while_proposals_come():
    late = sum(part.trainings for part in plan(INFO, LADDER, 4, 30) if part.late)
    work = remaining_work(INFO, LADDER, 4, accepted=29, answered=30, left=1)
    assert late > 0 and sum(work.search.values()) >= late


def test_the_speed_is_that_of_the_last_trainings():
    assert _pace(short=[2.0] * 50 + [9.0] * 20).training("short", INFO) == 9.0


def test_the_final_waits_for_its_slowest_round():
    pace = _pace(held_out=[10.0])
    assert seconds(Workload({}, {"held_out": 5}), pace, INFO, workers=4) == pytest.approx((20.0, 20.0))


def test_slow_replies_make_a_run_longer_than_its_trainings():
    pace = _pace(short=[1.0])
    pace.proposals.extend([59.0])
    assert seconds(Workload({"short": 10}, {}, proposals=10), pace, INFO, workers=1, at_once=2).least == pytest.approx(
        300.0
    )


def test_before_a_reply_came_the_oldest_request_tells_how_long_one_takes_at_least():
    work, pace = Workload({"short": 1}, {}, proposals=10), _pace(short=[1.0])
    assert seconds(work, pace, INFO, 1, oldest=20.0).least == pytest.approx(210.0)


def test_refused_proposals_are_not_expected_to_train():
    few = remaining_work(INFO, LADDER, 4, accepted=2, answered=40, left=40)
    many = remaining_work(INFO, LADDER, 4, accepted=40, answered=40, left=40)
    assert few.search["short"] < many.search["short"] / 5
    assert many.search["short"] == pytest.approx(40)


def test_with_no_proposal_to_come_only_the_final_is_left():
    work = remaining_work(INFO, LADDER, 4, accepted=10, answered=24, left=0)
    assert sum(work.search.values()) == 0 and work.final["held_out"] == LADDER.finalist_seeds * (
        4 + LADDER.finalists + 2
    )


def test_a_budget_of_tokens_or_money_ends_at_what_a_proposal_has_cost():
    used = Spent(proposals=10, tokens=1000, usd=0.5)
    assert proposals_left(BudgetConfig(proposals=None, tokens=3000), used) == pytest.approx(20)
    assert proposals_left(BudgetConfig(proposals=None, tokens=3000, usd=0.6), used) == pytest.approx(2)
    assert proposals_left(BudgetConfig(proposals=14), used) == 4
    assert proposals_left(BudgetConfig(proposals=None, seconds=5.0), used) is None
    assert proposals_left(BudgetConfig(proposals=4), used) == 0


def _measured(answered: int, replies: list[float], trained: float) -> Ledger:
    ledger = Ledger(Config(), INFO)
    ledger.replies.extend(replies)
    ledger.trained = trained
    ledger._answered = set(range(answered))
    ledger._count(SimpleNamespace(proposer="openai", step=0))
    return ledger


@pytest.mark.parametrize(
    ("answered", "reply", "each", "expected"),
    [
        (3, 10.0, 5.0, 3),  # not measured yet
        (20, 10.0, 5.0, 3 + 4),  # two workers train four proposals in the time of a reply
        (20, 10.0, 2.5, 3 + 8),  # half of the proposals are duplicates
        (20, 10.0, 0.0, 3 + 8),  # no more than four for each worker
        (20, 0.01, 5.0, 3),  # replies at once
        (20, 40.0, 5.0, 3),  # the endpoint may be busy already
    ],
)
def test_as_many_requests_as_keep_the_workers_busy(answered: int, reply: float, each: float, expected: int) -> None:
    assert requests_at_once(2, _measured(answered, [reply] * 5, each * answered), 120.0) == expected
