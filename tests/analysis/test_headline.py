"""What a run may claim, and what it may not."""

import struct

import pytest
from make_archive import logistic, make_archive, verdict

from analysis.comparison import decide
from analysis.headline import headline
from analysis.snapshot import Snapshot
from archive.query import Reader
from archive.records import RunRow
from archive.store import Archive


def tiny(tmp_path, scores, *, seeds=("dpo",), final=None, contract="preference"):
    """An archive with the seed losses, one proposal per further key of `scores`: {name: {rung: {seed: fitness}}}.

    A rung may be (rung, beta); a fitness of None is a training that diverged.
    """
    path = tmp_path / "archive.db"
    with Archive.create(path, RunRow("tiny", 0, "task", contract)) as archive:
        if final is not None:
            archive.event("final", final)
        ids = {}
        for step, name in enumerate(scores):
            if name in seeds:
                ids[name] = archive.add_candidate("seed", name, "", "", contract)
            else:
                proposal = archive.request_proposal(step, 1, "explore", "builtin", None, None, "t", {}, 0)
                archive.receive_proposal(proposal, "r")
                ids[name] = archive.add_candidate("proposal", name, "", "", contract, proposal)
            archive.record_verdict(ids[name], verdict(logistic()))
        for rung in dict.fromkeys(rung for rungs in scores.values() for rung in rungs):
            for name, rungs in scores.items():
                for seed, fitness in rungs.get(rung, {}).items():
                    trained, beta = rung if isinstance(rung, tuple) else (rung, None)
                    evaluation = archive.queue_evaluation(ids[name], "task", trained, seed, beta)
                    if fitness is None:
                        archive.fail_evaluation(evaluation, "diverged", "")
                    else:
                        archive.score_evaluation(evaluation, fitness)
    return path


def said(path):
    with Reader.open(path) as reader:
        return headline(reader)


NOISY = {0: 0.70, 1: 0.80, 2: 0.60, 3: 0.75}


def test_a_small_difference_is_not_distinguishable_and_says_what_could_have_been_seen(tmp_path):
    ours = {seed: value + (0.02 if seed % 2 else -0.01) for seed, value in NOISY.items()}
    found = said(tiny(tmp_path, {"dpo": {"full": NOISY}, "mine": {"full": ours}}))
    assert not found.distinguishable
    assert found.text.startswith(
        "Not distinguishable from DPO: the best proposed loss, mine, differs by +0.0050 ± 0.0087"
    )
    assert found.smallest_detectable > 3 * found.standard_error
    assert found.seeds == 4


def test_a_difference_that_seeds_agree_on_is_past_the_noise(tmp_path):
    ours = {seed: value + 0.1 + seed / 1000 for seed, value in NOISY.items()}
    found = said(tiny(tmp_path, {"dpo": {"full": NOISY}, "mine": {"full": ours}}))
    assert found.distinguishable
    assert "scores 0.10150 ± 0.00065 above DPO" in found.text


def test_worse_than_the_yardstick_is_said_as_plainly(tmp_path):
    ours = {seed: value - 0.1 - seed / 1000 for seed, value in NOISY.items()}
    found = said(tiny(tmp_path, {"dpo": {"full": NOISY}, "mine": {"full": ours}}))
    assert found.distinguishable
    assert "below DPO" in found.text


def test_one_seed_alone_claims_nothing(tmp_path):
    found = said(tiny(tmp_path, {"dpo": {"full": {0: 0.1}}, "mine": {"full": {0: 0.9}}}))
    assert not found.distinguishable
    assert found.text.startswith("No claim can be made")
    assert (found.difference, found.standard_error) == (pytest.approx(0.8), None)


def test_the_fresh_seeds_of_the_final_decide_alone(tmp_path):
    lucky = {0: 9.0, 1: 9.1, 2: 8.9}
    fresh = {100: 0.5, 101: 0.6}
    path = tiny(
        tmp_path,
        {"dpo": {"full": {0: 0.5, 1: 0.5, 2: 0.4, **fresh}}, "mine": {"full": {**lucky, 100: 0.51, 101: 0.58}}},
        final={"rung": "full", "seeds": [100, 101]},
    )
    found = said(path)
    assert found.difference == pytest.approx(-0.005)
    assert "2 fresh seeds" in found.text


@pytest.mark.parametrize("payload", [{}, [], {"rung": None, "seeds": 3}, {"rung": "full", "seeds": [[1], None]}])
def test_a_final_that_names_nothing_usable_is_passed_over(payload, tmp_path):
    found = said(tiny(tmp_path, {"dpo": {"full": NOISY}, "mine": {"full": NOISY}}, final=payload))
    assert found.seeds == 4
    assert "shared seeds" in found.text


FINAL = {"rung": "full", "seeds": list(NOISY)}


def test_nothing_is_claimed_of_a_loss_that_was_only_seen_where_it_did_not_diverge(tmp_path):
    ours = {seed: value + 0.1 + seed / 1000 for seed, value in NOISY.items()} | {3: None}
    found = said(tiny(tmp_path, {"dpo": {"full": NOISY}, "mine": {"full": ours}}, final=FINAL))
    assert not found.distinguishable
    assert found.text.startswith("No claim can be made: every finalist failed on a seed.")
    assert found.text.endswith("mine failed on 1 of 4 seeds.")


def test_a_finalist_that_failed_stays_in_the_family_and_behind_those_that_did_not(tmp_path):
    good = {seed: value + 0.05 + seed / 1000 for seed, value in NOISY.items()}
    better = {seed: value + 0.2 + seed / 1000 for seed, value in NOISY.items()} | {3: None}
    path = tiny(tmp_path, {"dpo": {"full": NOISY}, "good": {"full": good}, "frail": {"full": better}}, final=FINAL)
    with Reader.open(path) as reader:
        snapshot = Snapshot.of(reader)
    decision = decide(snapshot)
    assert [snapshot.candidates[c.arm.candidate].name for c in decision.finalists] == ["good", "frail"]
    assert [c.distinguishable for c in decision.finalists] == [True, False]
    found = said(path)
    assert "good, the best proposed loss, scores" in found.text and "corrected for 2 comparisons" in found.text
    assert found.text.endswith("frail failed on 1 of 4 seeds.")


def test_a_loss_past_the_noise_is_named_before_a_better_one_within_it(tmp_path):
    sure = {seed: value + 0.05 + seed / 1000 for seed, value in NOISY.items()}
    wild = {seed: value + 0.1 + 0.3 * (-1) ** seed for seed, value in NOISY.items()}
    found = said(tiny(tmp_path, {"dpo": {"full": NOISY}, "wild": {"full": wild}, "sure": {"full": sure}}, final=FINAL))
    assert found.text.startswith("sure, the best proposed loss that is past the noise, scores 0.0515")


def test_a_yardstick_arm_that_failed_on_a_hard_seed_does_not_stand(tmp_path):
    hard = {seed: value - 0.3 * (seed == 3) for seed, value in NOISY.items()}
    other = {seed: value - 0.02 for seed, value in hard.items()} | {3: None}
    ours = {seed: value - 0.01 - seed / 10000 for seed, value in hard.items()}
    found = said(tiny(tmp_path, {"dpo": {"full": hard, ("full", 0.05): other}, "mine": {"full": ours}}, final=FINAL))
    assert found.difference == pytest.approx(-0.01015)
    assert found.seeds == 4


def test_below_the_best_of_several_betas_is_claimed_only_if_below_the_tasks_own_too(tmp_path):
    best = {seed: value + 0.05 + seed / 1000 for seed, value in NOISY.items()}
    scores = {"dpo": {"full": NOISY, ("full", 0.05): best}, "mine": {"full": {**NOISY, 0: NOISY[0] + 0.001}}}
    found = said(tiny(tmp_path, scores, final=FINAL))
    assert found.difference == pytest.approx(-0.0512, abs=1e-3)
    assert not found.distinguishable
    (tmp_path / "lower").mkdir()
    lower = {seed: value - 0.04 - seed / 1000 for seed, value in NOISY.items()}
    found = said(tiny(tmp_path / "lower", scores | {"mine": {"full": lower}}, final=FINAL))
    assert found.distinguishable
    assert "below DPO at beta 0.05 (paired" in found.text


def test_differences_that_are_equal_up_to_float32_are_no_certainty(tmp_path):
    counts = {0: 600, 1: 603, 2: 606, 3: 610}
    theirs, ours = (
        {s: struct.unpack("f", struct.pack("f", (k + one) / 718))[0] for s, k in counts.items()} for one in (0, 1)
    )
    assert len({ours[s] - theirs[s] for s in counts}) > 1
    found = said(tiny(tmp_path, {"dpo": {"full": theirs}, "mine": {"full": ours}}))
    assert found.text.startswith("No claim can be made") and found.standard_error is None


def test_the_highest_rung_that_both_reached_decides(tmp_path):
    scores = {"dpo": {"short": NOISY, "full": NOISY, "held_out": NOISY}, "mine": {"short": NOISY, "full": NOISY}}
    assert said(tiny(tmp_path, scores)).rung == "full"


def test_only_shared_seeds_are_compared(tmp_path):
    found = said(tiny(tmp_path, {"dpo": {"full": {0: 0.5, 1: 0.6}}, "mine": {"full": {1: 0.7, 2: 99.0}}}))
    assert found.seeds == 1
    assert found.difference == pytest.approx(0.1)


def test_many_finalists_must_pay_for_their_number(tmp_path):
    ours = {seed: value + 0.02 + 0.03 * (seed % 2) for seed, value in NOISY.items()}
    noise = {f"other{i}": {"full": {s: v - 0.2 * ((s + i) % 3) for s, v in NOISY.items()}} for i in range(12)}
    (tmp_path / "one").mkdir()
    (tmp_path / "many").mkdir()
    alone = said(tiny(tmp_path / "one", {"dpo": {"full": NOISY}, "mine": {"full": ours}}))
    crowd = said(tiny(tmp_path / "many", {"dpo": {"full": NOISY}, "mine": {"full": ours}, **noise}))
    assert crowd.p_value == pytest.approx(13 * alone.p_value)
    assert (alone.distinguishable, crowd.distinguishable) == (True, False)


def test_the_other_seed_losses_are_compared_but_are_no_finalists(tmp_path):
    path = tiny(tmp_path, {"dpo": {"f": NOISY}, "ipo": {"f": NOISY}, "mine": {"f": NOISY}}, seeds=("dpo", "ipo"))
    with Reader.open(path) as reader:
        decision = decide(Snapshot.of(reader))
    assert [c.arm.candidate for c in decision.comparisons] == [2, 3]
    assert [c.arm.candidate for c in decision.finalists] == [3]


def test_without_dpo_the_first_seed_is_the_yardstick(tmp_path):
    scores = {"cross_entropy": {"full": NOISY}, "focal": {"full": NOISY}, "mine": {"full": NOISY}}
    path = tiny(tmp_path, scores, seeds=("cross_entropy", "focal"), contract="classification")
    assert "cross_entropy" in said(path).text


def test_nothing_scored_yet_is_said_in_words(tmp_path):
    for index, (scores, expected) in enumerate(
        [({}, "no seed loss"), ({"dpo": {}}, "DPO has no score"), ({"dpo": {"full": NOISY}}, "no proposed loss")]
    ):
        (tmp_path / str(index)).mkdir()
        assert expected in said(tiny(tmp_path / str(index), scores)).text


def test_a_hostile_name_stays_one_printable_line(tmp_path):
    name = "\x1b]0;owned\x07 [red]x[/red]\n\u202egnp \x00 \ud800"
    text = said(tiny(tmp_path, {"dpo": {"full": NOISY}, name: {"full": NOISY}})).text
    assert text.isprintable()


def test_a_whole_campaign_has_a_headline(tmp_path):
    assert "DPO" in said(make_archive(tmp_path)).text
    (tmp_path / "lifted").mkdir()
    lifted = said(make_archive(tmp_path / "lifted", 12, lift=0.3))
    assert lifted.distinguishable
    assert lifted.difference > 0.1
