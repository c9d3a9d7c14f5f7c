"""What a watched campaign looks like on a terminal, in a file and in its log."""

import asyncio
import io
import re
from contextlib import contextmanager
from dataclasses import replace

import pytest
from rich.console import Console

from archive.query import Reader
from archive.records import RunRow
from archive.store import Archive
from evo.campaign.asking.recorder import PendingRequest
from evo.campaign.loop import Campaign, Phase
from evo.config.schema import parse_config
from evo.display import progress, screen
from evo.display.log_lines import line
from evo.display.watch import Watch
from evo.proposing.propose import BuiltinProposer
from evo.search.population import Population
from fitness.schedule.ladder import Job
from fitness.schedule.planned import preparation_of_seeds
from fitness.task import task_info
from fitness.workers.pool import WorkerPool
from sandbox import known
from sandbox.vetting.pool import VetPool

EVIL = "\x1b[31mred [bold]loud[/bold] :smile:\nnext line"


def _accepted(loss):
    """A verdict as the sandbox writes it, without vetting."""
    return _verdict("accepted", [], known.graph(loss).to_json(), loss)


def _refused(message):
    finding = {"rule": "SBX103", "severity": "refuse", "message": message, "remedy": "", "line": None, "column": None,
               "excerpt": "", "counterexample": {}}  # fmt: skip
    return _verdict("refused", [finding], None, None)


def _verdict(status, findings, graph, hash):
    return {
        "status": status, "accepted": not findings, "contract": "preference", "entry": "loss", "findings": findings,
        "hash": hash, "fingerprint": None, "descriptors": {}, "guarantees": {}, "milliseconds": 7.5, "graph": graph,
    }  # fmt: skip


@contextmanager
def _watched(folder, **settings):
    """A campaign of which nothing runs, with an archive to write to."""
    config = parse_config({"workers": 2, "budget": {"proposals": 9}, **settings})
    info = task_info(config.task)
    row = RunRow(
        config.name, config.seed, config.task, info.contract, {}, config.model_dump(mode="json"), baseline="dpo"
    )
    folder.mkdir(exist_ok=True)
    with Archive.create(folder / "archive.db", row) as archive, Reader.open(folder / "archive.db") as reader:
        vetter, workers = VetPool(contract=info.contract), WorkerPool(config.task, {}, 2)
        population = Population(config, info, 2)
        campaign = Campaign(config, archive, reader, population, {"builtin": BuiltinProposer()}, vetter, workers)
        campaign.phase = Phase.SEARCH
        yield campaign, Watch(campaign)


def _proposed(archive, step, name=EVIL, error=None):
    """The candidate of a step, or none where its reply holds no loss."""
    proposal = archive.request_proposal(
        step, 1, "refine", "openai", "a-model", 0.7, "t", {"island": 0, "parents": []}, 1
    )
    archive.receive_proposal(proposal, "reply", 1000, 200, 0.01, 2.5)
    if error:
        archive.fail_proposal(proposal, error)
        return None
    return archive.add_candidate("proposal", name, EVIL, "def loss(): ...", "preference", proposal, [])


def _all_fates(archive):
    dpo = archive.add_candidate("seed", "dpo", "DPO", "def loss(): ...", "preference")
    archive.record_verdict(dpo, _accepted("dpo"))
    _scored(archive, dpo, 0.5)
    good = _proposed(archive, 1, "good")
    archive.record_verdict(good, _accepted("slic"))
    _scored(archive, good, 0.75)
    archive.record_verdict(_proposed(archive, 2), _refused(f"the name {EVIL} is not available"))
    archive.record_verdict(_proposed(archive, 3), _accepted("slic"), good, "hash")
    _proposed(archive, 4, error=EVIL)
    broken = _proposed(archive, 5, "broken")
    archive.record_verdict(broken, _accepted("ipo"))
    evaluation = archive.queue_evaluation(broken, "sentiment", "short", 7)
    archive.start_evaluation(evaluation)
    archive.fail_evaluation(evaluation, "diverged", EVIL)


def _scored(archive, candidate, fitness, seconds=3.0):
    seed = Population(parse_config({}), task_info("sentiment"), 1).seeds.search[0]
    evaluation = archive.queue_evaluation(candidate, "sentiment", "short", seed)
    archive.start_evaluation(evaluation)
    archive.score_evaluation(evaluation, fitness, {}, seconds, 10)


def _drawn(watch, width=100, height=40):
    out = io.StringIO()
    console = Console(file=out, width=width, height=height, force_terminal=True, color_system="standard")
    console.print(screen.view(watch, width, height))
    return out.getvalue()


def test_a_file_gets_one_line_for_each_phase_at_its_begin(tmp_path):
    out = io.StringIO()
    with _watched(tmp_path) as (campaign, watch):
        lines = progress._Lines(Console(file=out, width=40))
        for phase in Phase:
            campaign.phase = phase
            lines(watch)
            lines(watch)
    said = out.getvalue().splitlines()
    assert len(said) == 4 and all(line.startswith(f"phase {phase}") for line, phase in zip(said, Phase, strict=True))


def test_every_fate_of_a_candidate_is_named(tmp_path):
    with _watched(tmp_path) as (campaign, watch):
        _all_fates(campaign.archive)
        watch.new_events()
        drawn = _drawn(watch)
    for words in (
        "2 good: accepted, fitness 0.750 at rung short",
        "refused, SBX103",
        "duplicate of 2 good",
        "step 4: no loss in the reply",
        "5 broken: training failed at rung short: diverged",
        "5 of 9: 2 accepted, 1 refused, 1 duplicate, 1 without a loss, 1 failed in training",
        "good (+0.250",
    ):
        assert words in drawn


def test_a_terminal_without_a_sign_gets_its_escape_within_the_width(tmp_path):
    with _watched(tmp_path) as (campaign, watch):
        _all_fates(campaign.archive)
        watch.new_events()
        out = io.StringIO()
        console = Console(file=out, width=40, height=40, force_terminal=True, color_system=None)
        console.print(screen.view(watch, 40, 40, "ascii"))
    assert out.getvalue().isascii()
    assert max(map(len, out.getvalue().splitlines())) <= 40


def test_text_of_a_model_is_neither_an_escape_nor_markup_nor_a_second_line(tmp_path):
    with _watched(tmp_path) as (campaign, watch):
        _all_fates(campaign.archive)
        events = watch.new_events()
        drawn, plain = _drawn(watch), screen.plain(watch)
        log = [text for event in events if (text := line(event, campaign.reader))]
    assert set(re.findall(r"\x1b\[[0-9;]*m", drawn)) <= {"\x1b[1m", "\x1b[0m"}, "only our own bold"
    assert "[bold]loud[/bold] :smile:" in drawn
    for text in (plain, *log):
        assert "\x1b" not in text and "\n" not in text


@pytest.mark.parametrize(("width", "height"), [(40, 24), (20, 8), (100, 3), (1, 1)])
def test_the_view_keeps_to_the_terminal(tmp_path, width, height):
    with _watched(tmp_path) as (campaign, watch):
        _all_fates(campaign.archive)
        watch.new_events()
        campaign.requests.update({step: PendingRequest("refine", attempt=1) for step in range(6, 20)})
        lines = re.sub(r"\x1b\[[0-9;]*m", "", _drawn(watch, width, height)).splitlines()
    assert len(lines) <= height and all(len(text) <= width for text in lines)


def test_requests_under_way_show_attempt_age_and_trouble(tmp_path):
    with _watched(tmp_path) as (campaign, watch):
        now = campaign.allowance.began
        campaign.requests[6] = PendingRequest("explore", began=now, attempt=2, since=now)
        campaign.requests[7] = PendingRequest(
            "refine", began=now, attempt=1, since=now, trouble="HTTP 429", again_at=now + 1000
        )
        drawn = _drawn(watch)
    assert re.search(r"step 6 explore, attempt 2, \d+ s", drawn)
    assert re.search(r"step 7 refine, attempt 2 in \d+ s: HTTP 429", drawn)


def test_the_log_has_a_line_for_every_request_reply_verdict_and_training(tmp_path):
    with _watched(tmp_path) as (campaign, watch):
        _all_fates(campaign.archive)
        log = "\n".join(text for event in watch.new_events() if (text := line(event, campaign.reader)))
    assert log.count("requested of a-model, attempt 1") == 5
    assert log.count("reply after 2.5 s, 1200 tokens, 0.0100 USD") == 5
    assert "candidate 2 good (step 1, refine): accepted" in log
    assert "candidate 1 dpo (seed loss): accepted" in log
    assert re.search(r"candidate 2 good: fitness 0.75 at rung short, seed \d+, 3.0 s", log)
    assert "(step 2, refine): refused, SBX103: the name" in log
    assert "(step 3, refine): duplicate of candidate 2 good, shown by its hash; not trained" in log
    assert "step 4, attempt 1: no loss in the reply: " in log
    assert "candidate 5 broken: training failed at rung short, seed 7: diverged" in log


def test_the_estimate_says_what_it_rests_on(tmp_path):
    with _watched(tmp_path) as (campaign, watch):
        assert "by the task's estimate for a slow core" in screen.plain(watch)
        _all_fates(campaign.archive)
        watch.new_events()
        assert "at the speed measured here" in screen.plain(watch)
        resumed = Watch(campaign)
        assert resumed.pace.trainings == watch.pace.trainings
        assert [*resumed.pace.proposals] == [2.5] * 5, "the recorded replies"
        assert resumed.new_events() == []


def test_the_estimate_is_a_span_where_a_claim_may_depend_on_more_trainings(tmp_path):
    with _watched(tmp_path) as (_, watch):
        assert re.search(r"about \d+ min \d\d s to \d+ min \d\d s more by the task's estimate", screen.plain(watch))
    settings = {"ladder": {"finalists": 0, "finalist_seeds": 1}}
    with _watched(tmp_path / "none", **settings) as (_, watch):
        assert re.search(r"about (\d+ min )?\d+ s more by", screen.plain(watch))


def test_after_two_trainings_a_resumed_run_estimates_by_what_was_measured(tmp_path):
    with _watched(tmp_path) as (campaign, watch):
        before = watch.left()
        for name, loss in (("dpo", "dpo"), ("slic", "slic")):
            candidate = campaign.archive.add_candidate("seed", name, name, "def loss(): ...", "preference")
            campaign.archive.record_verdict(candidate, _accepted(loss))
            _scored(campaign.archive, candidate, 0.5, seconds=90.0)
        resumed = Watch(campaign)
        assert resumed.pace.measured and "at the speed measured here" in screen.plain(resumed)
        assert resumed.left().least > 10 * before.most


def test_without_a_budget_that_tells_no_end_is_promised(tmp_path):
    with _watched(tmp_path, budget={"proposals": None}) as (_, watch):
        assert watch.left() is None and "more" not in screen.plain(watch)


def test_an_end_by_the_clock_bounds_the_estimate(tmp_path):
    with _watched(tmp_path, budget={"proposals": 10_000, "seconds": 50}) as (_, watch):
        left = watch.left()
        assert left is not None and left.least <= left.most <= 50


def test_a_budget_of_trainings_bounds_the_estimate(tmp_path):
    with _watched(tmp_path, budget={"proposals": 10_000, "evaluations": 2}) as (campaign, watch):
        left = watch.left()
        longest = max(r.estimated_seconds for r in campaign.population.info.rungs.values())
        seeds = preparation_of_seeds(campaign.population.info, campaign.population.ladder)
        assert left is not None and left.most < 10 * longest + seeds


def test_in_the_final_what_is_left_is_all_of_it_until_it_begins_and_then_what_is_under_way(tmp_path):
    with _watched(tmp_path) as (campaign, watch):
        campaign.phase = Phase.FINAL
        _all_fates(campaign.archive)
        watch.new_events()
        whole = watch.left()
        assert whole is not None and whole.most > whole.least > 36 / 2, (
            "36 trainings of more than a second on two workers"
        )
        campaign.population.seeds = replace(campaign.population.seeds, final=(5,))
        ended = asyncio.Future(loop=asyncio.new_event_loop())
        ended.set_result(None)
        campaign.trainings[Job(1, "held_out", 5)] = ended
        under_way = watch.left()
        assert under_way is not None and under_way.least == 0.0 < under_way.most, "a claim may depend on more trainings"
        campaign.trainings[Job(2, "held_out", 5)] = asyncio.Future(loop=ended.get_loop())
        campaign.running.add(Job(2, "held_out", 5))
        assert 0.0 < watch.left().least < whole.least
        further = sum(watch._work().claims.values())
        campaign.population.ladder = campaign.population.ladder.model_copy(update={"baseline_widenings": 0})
        assert sum(watch._work().claims.values()) < further
        ended.get_loop().close()
