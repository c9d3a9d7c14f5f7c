"""Headlines: which claims are made, and which are not."""

import random
import struct

import pytest
from hostile_texts import STEERING
from make_archive import make_archive
from tiny_archive import tiny

from analysis.claims.comparison import decide
from analysis.claims.headline import headline_of
from analysis.claims.obstacles import ObstacleKind
from analysis.claims.table import final_lines
from analysis.snapshot import Outline, Snapshot
from archive.errors import CorruptArchive
from archive.query import Reader
from archive.records import Items
from archive.store import Archive
from sandbox.identity.relation import Kind, Part, Relation


def said(path):
    with Reader.open(path) as reader:
        return headline_of(Snapshot.of(reader))


NOISY = {0: 0.70, 1: 0.80, 2: 0.60, 3: 0.75}


def test_a_small_difference_is_not_distinguishable_and_the_minimum_detectable_difference_is_stated(tmp_path):
    ours = {seed: value + (0.02 if seed % 2 else -0.01) for seed, value in NOISY.items()}
    found = said(tiny(tmp_path, {"dpo": {"full": NOISY}, "mine": {"full": ours}}))
    assert not found.distinguishable
    assert found.text.startswith(
        "Not distinguishable from DPO: the best proposed loss, mine, differs by +0.0050 ± 0.0087"
    )
    assert found.minimum_detectable_difference > 3 * found.standard_error
    assert found.seeds == 4


BETTER = {seed: value + 0.1 + seed / 1000 for seed, value in NOISY.items()}
FINAL = {"rung": "full", "seeds": list(NOISY), "beta": 0.1}


def test_a_difference_that_fresh_seeds_agree_on_is_a_discovery(tmp_path):
    found = said(tiny(tmp_path, {"dpo": {"full": NOISY}, "mine": {"full": BETTER}}, final=FINAL))
    assert found.distinguishable and found.discovery
    assert found.text.startswith("A discovery: mine scores 0.10150 ± 0.00065 above DPO (paired over 4 fresh seeds")


def test_the_seeds_that_selected_a_loss_give_no_discovery(tmp_path):
    found = said(tiny(tmp_path, {"dpo": {"full": NOISY}, "mine": {"full": BETTER}}))
    assert found.distinguishable and not found.discovery


# ---- losses that recognise single pairs ----------------------------------------------------------------------------

LOOKED_UP = {seed: value + 0.3 + seed / 1000 for seed, value in NOISY.items()}


def looked_up(tmp_path, *names, **scores):
    """A run whose proposals of these names have the note on single pairs."""
    measured = {"dpo": {"full": NOISY}} | {name: {"full": fitness} for name, fitness in scores.items()}
    return tiny(tmp_path, measured, final=FINAL, notes=dict.fromkeys(names, "SBX327"))


def test_a_loss_that_recognises_single_pairs_is_in_no_headline(tmp_path):
    path = looked_up(tmp_path, "table", table=LOOKED_UP, mine=BETTER)
    found = said(path)
    assert found.discovery and found.text.startswith("A discovery: mine scores 0.10150")
    assert "table" not in found.text
    with Reader.open(path) as reader:
        snapshot = Snapshot.of(reader)
    decision = decide(snapshot)
    assert [snapshot.candidates[c.arm.candidate].name for c in decision.finalists] == ["mine", "table"]
    assert not decision.finalists[1].distinguishable
    (row,) = [line for line in final_lines(snapshot, decision, 9) if "table" in line]
    assert "table (singles out pairs by reference values: SBX327)" in row and "no claim is made for it" in row


def test_the_headline_says_that_all_finalists_recognise_single_pairs(tmp_path):
    found = said(looked_up(tmp_path, "table", "window", table=LOOKED_UP, window=BETTER))
    assert (found.distinguishable, found.discovery, found.candidate) == (False, False, None)
    assert found.text == (
        "No claim can be made for any finalist. table singles out pairs by reference values: SBX327; "
        "window singles out pairs by reference values: SBX327."
    )


def test_a_loss_that_recognises_single_pairs_is_not_called_worse(tmp_path):
    found = said(looked_up(tmp_path, "table", table={seed: value - 0.3 - seed / 1000 for seed, value in NOISY.items()}))
    assert not found.distinguishable and "below" not in found.text


def test_a_known_loss_with_a_note_is_compared(tmp_path):
    close = {seed: value + 0.0005 * (-1) ** seed for seed, value in BETTER.items()}
    scores = {"dpo": {"full": NOISY}, "slic": {"full": close}, "mine": {"full": BETTER}}
    found = said(tiny(tmp_path, scores, seeds=("dpo", "slic"), final=FINAL, notes={"slic": "SBX327"}))
    assert found.text.startswith("As good as slic, which is published")


# ---- better than every known loss ------------------------------------------------------------------------------------


def judged(tmp_path, known, ours=BETTER, relation=None, **more):
    """The headline of a run with DPO, slic as `known` (fitness by rung) and one finalist."""
    scores = {"dpo": {"full": NOISY}, "slic": known, "mine": {"full": ours}}
    relations = {"relations": {"mine": relation}} if relation is not None else {}
    return said(tiny(tmp_path, scores, seeds=("dpo", "slic"), final=FINAL, **relations, **more))


def test_a_loss_as_good_as_a_published_one_is_no_discovery(tmp_path):
    close = {seed: value + 0.0005 * (-1) ** seed for seed, value in BETTER.items()}
    found = judged(tmp_path, {"full": close})
    assert found.distinguishable and not found.discovery
    assert found.text.startswith("As good as slic, which is published: mine scores 0.10150 ± 0.00065 above DPO")
    assert "and differs from slic by" in found.text


def test_a_published_loss_that_is_clearly_better_is_named(tmp_path):
    found = judged(tmp_path, {"full": {seed: value + 0.02 + seed / 1000 for seed, value in BETTER.items()}})
    assert found.text.startswith("Worse than slic, which is published: mine scores")


def test_a_discovery_states_the_weaker_claim_first(tmp_path):
    found = judged(tmp_path, {"full": {seed: value + 0.03 for seed, value in NOISY.items()}})
    assert found.discovery
    assert found.text.startswith(
        "A discovery: mine scores 0.07150 ± 0.00065 above slic, the hardest of 2 known losses to tell it from, and "
    )
    assert "0.10150 ± 0.00065 above DPO" in found.text


@pytest.mark.parametrize("arm", ["own", ("full", 0.05)])
def test_a_discovery_must_be_above_every_arm_of_a_known_loss(arm, tmp_path):
    as_good = {seed: value - 0.0001 * (-1) ** seed for seed, value in BETTER.items()}
    arms = {"full": NOISY, ("full", 0.05): as_good} if arm != "own" else {"full": as_good, ("full", 0.05): NOISY}
    found = judged(tmp_path, arms)
    assert not found.discovery and found.text.startswith("As good as slic")


@pytest.mark.parametrize(
    "relation",
    [
        Relation(Kind.SAME, (Part("ipo"),), 0.0),
        Relation(Kind.SCALED, (Part("ipo", 2.0),), 0.0),
        Relation(Kind.REBETA, (Part("dpo", 1.0, 2.5),), 0.0),
    ],
)
def test_a_published_loss_is_no_discovery_whatever_its_score(relation, tmp_path):
    found = judged(tmp_path, {"full": NOISY}, relation=relation)
    assert found.distinguishable and not found.discovery
    assert found.text.startswith(f"No discovery: mine ({relation.words}), the best proposed loss, scores")


def test_a_loss_near_a_published_one_must_be_better_than_it_at_that_beta(tmp_path):
    relation = Relation(Kind.NEAR, (Part("slic", 1.0, 0.5),), 0.03)
    (tmp_path / "without").mkdir()
    found = judged(tmp_path / "without", {"full": NOISY}, relation=relation)
    assert not found.discovery and "which could not be compared there." in found.text
    (tmp_path / "with").mkdir()
    there = {seed: value + 0.02 for seed, value in NOISY.items()}
    scores = {"dpo": {"full": NOISY}, "slic": {"full": NOISY, ("full", 0.05): there}, "mine": {"full": BETTER}}
    final = FINAL | {"grid": [[None, None]]}
    assert said(
        tiny(tmp_path / "with", scores, seeds=("dpo", "slic"), final=final, relations={"mine": relation})
    ).discovery


def test_a_blend_of_known_losses_may_be_a_discovery(tmp_path):
    relation = Relation(Kind.BLEND, (Part("dpo", 0.5), Part("slic", 0.5)), 0.0)
    found = judged(tmp_path, {"full": NOISY}, relation=relation)
    assert found.discovery
    assert "mine (a blend of 0.5 dpo and 0.5 slic) scores" in found.text


def test_a_known_loss_without_scores_in_the_final_prevents_a_discovery(tmp_path):
    found = judged(tmp_path, {"short": NOISY})
    assert not found.discovery and "it could not be compared on these seeds with slic" in found.text


def test_a_known_loss_that_diverges_on_every_seed_is_named_and_prevents_nothing(tmp_path):
    found = judged(tmp_path, {"full": dict.fromkeys(NOISY)})
    assert found.discovery and found.text.endswith("slic failed on 4 of 4 seeds.")
    assert "known losses" not in found.text, "slic was not compared"


def test_a_known_loss_with_too_few_scores_is_not_compared(tmp_path):
    found = judged(tmp_path, {"full": {**dict.fromkeys(NOISY), 0: 0.99}})
    assert not found.discovery and "it could not be compared on these seeds with slic" in found.text


def test_no_claim_is_made_if_the_baseline_failed_on_a_deciding_seed(tmp_path):
    path = tiny(tmp_path, {"dpo": {"full": NOISY | {2: None, 3: None}}, "mine": {"full": BETTER}}, final=FINAL)
    found = said(path)
    assert not found.distinguishable
    with Reader.open(path) as reader:
        snapshot = Snapshot.of(reader)
    (row,) = [line for line in final_lines(snapshot, decide(snapshot), 9) if "mine" in line]
    assert "no claim: the baseline failed on a deciding seed" in row and "grid" not in row
    assert "DPO itself failed on 2 of these seeds" in found.text and found.text.endswith("DPO failed on 2 of 4 seeds.")


def test_the_headline_asks_for_a_near_published_loss_outside_of_the_run(tmp_path):
    found = judged(tmp_path, {"full": NOISY}, relation=Relation(Kind.NEAR, (Part("squared_hinge"),), 0.03))
    assert not found.discovery and "add squared_hinge to seeds" in found.text


def test_a_difference_that_is_not_significant_after_correction_is_no_discovery(tmp_path):
    """The difference to slic has p = 0.025, but there are four finalists."""
    slic = {seed: BETTER[seed] - lead for seed, lead in zip(BETTER, (0.1, 0.16, 0.04, 0.12), strict=True)}
    others = {f"other{i}": {"full": {s: v - 0.2 * ((s + i) % 3) for s, v in NOISY.items()}} for i in range(3)}
    scores = {"dpo": {"full": NOISY}, "slic": {"full": slic}, "mine": {"full": BETTER}, **others}
    path = tiny(tmp_path, scores, seeds=("dpo", "slic"), final=FINAL)
    with Reader.open(path) as reader:
        (mine,) = [c for c in decide(Snapshot.of(reader)).finalists if c.arm.candidate == 3]
    assert mine.rival.paired.p_value < 0.05 <= mine.new
    assert (mine.above, mine.discovery, mine.obstacle.kind) == (True, False, ObstacleKind.UNCLEAR)
    text = said(path).text
    assert text.startswith("No discovery: mine")
    assert "its difference to slic is not significant after correction for the finalists" in text


HOSTILE = Relation(Kind.NEAR, (Part("\x1b[31mx\nnew line" * 20),), 0.03)


def test_a_hostile_relation_stays_one_printable_line(tmp_path):
    path = tiny(tmp_path, {"dpo": {"full": NOISY}, "mine": {"full": BETTER}}, final=FINAL, relations={"mine": HOSTILE})
    with Reader.open(path) as reader:
        snapshot = Snapshot.of(reader)
        assert all(line.isprintable() for line in final_lines(snapshot, decide(snapshot), 5))
    assert said(path).text.isprintable()


@pytest.mark.parametrize(
    "payload",
    [
        {"relations": {"²": {}, "1" * 5000: {}}},
        {"relations": {"2": {"kind": "near", "parts": [], "distance": 0}}},
        {
            "relations": {
                "2": {"kind": "near", "parts": [{"name": "dpo", "factor": 1, "beta_factor": 0}], "distance": 0}
            }
        },
        {"beta": 10**400, "grid": [3, [1], [None, "x"]]},
    ],
)
def test_an_invalid_recorded_final_raises_no_error(payload, tmp_path):
    path = tiny(tmp_path, {"dpo": {"full": NOISY}, "mine": {"full": BETTER}})
    with Archive.open(path) as archive:
        archive.event("final", FINAL | payload)
    assert not said(path).discovery


def test_one_group_with_nearly_all_items_raises_no_error(tmp_path):
    path = tiny(tmp_path, {"dpo": {}, "mine": {}}, final=FINAL)
    rng = random.Random(1)
    with Archive.open(path) as archive:
        for seed in FINAL["seeds"]:
            gains = [rng.gauss(0.1, 0.5) for _ in range(401)]
            for candidate, values in ((1, [0.5] * 401), (2, [0.5 + gain for gain in gains])):
                evaluation = archive.queue_evaluation(candidate, "task", "full", seed)
                items = Items(tuple(values), ("a",) * 400 + ("b",))
                archive.score_evaluation(evaluation, sum(values) / 401, items=items)
    assert not said(path).distinguishable


def test_a_finalist_that_was_not_compared_by_function_is_no_discovery(tmp_path):
    path = tiny(tmp_path, {"dpo": {"full": NOISY}, "mine": {"full": BETTER}}, final=FINAL, relations={"mine": None})
    assert "it was not compared with the published losses" in said(path).text


def test_the_baseline_is_the_recorded_one(tmp_path):
    scores = {"ipo": {"full": BETTER}, "dpo": {"full": NOISY}, "mine": {"full": BETTER}}
    assert "DPO" in said(tiny(tmp_path, scores, seeds=("ipo", "dpo"), baseline="dpo", final=FINAL)).text
    (tmp_path / "ipo").mkdir()
    found = said(tiny(tmp_path / "ipo", scores, seeds=("ipo", "dpo"), baseline="ipo", final=FINAL))
    assert " ipo" in found.text and "DPO" not in found.text


# ---- a baseline at the edge of its grid ------------------------------------------------------------------------------


def tuned(tmp_path, **lifts):
    """The headline where DPO has an arm per beta (b005=... for 0.05), each above its arm at the task's 0.1 by the given value."""
    arms = {("full", float(f"0.{name[2:]}")): {s: v + lift for s, v in NOISY.items()} for name, lift in lifts.items()}
    return said(tiny(tmp_path, {"dpo": {"full": NOISY, **arms}, "mine": {"full": BETTER}}, final=FINAL))


def test_a_baseline_at_the_edge_of_its_grid_prevents_the_claim(tmp_path):
    found = tuned(tmp_path, b005=0.02, b02=-0.02)
    assert not found.distinguishable and not found.discovery
    assert found.text.startswith("No claim can be made: the best proposed loss, mine, differs from DPO at beta 0.05 by")
    assert "the best beta of DPO, 0.05, is the smallest that was tried" in found.text
    assert "ladder.baseline_widenings" in found.text


def test_before_all_settings_of_the_baseline_are_trained_the_final_has_not_ended(tmp_path):
    final = FINAL | {"grid": [[None, None], [0.05, None], [0.2, None]]}
    found = said(tiny(tmp_path, {"dpo": {"full": NOISY}, "mine": {"full": BETTER}}, final=final))
    assert not found.distinguishable and "widen" not in found.text
    assert "the final has not ended: 2 of 3 settings of DPO are not trained yet" in found.text


def test_an_arm_close_to_the_best_one_does_not_hide_the_edge(tmp_path):
    """If a finalist is near the baseline at another beta, the final trains the baseline there too, between values of the grid."""
    arms = {0.05: 0.0199, 0.052: 0.02, 0.2: -0.02}
    scores = {("full", beta): {s: v + lift for s, v in NOISY.items()} for beta, lift in arms.items()}
    final = FINAL | {"grid": [[None, None], [0.05, None], [0.2, None]]}
    found = said(tiny(tmp_path, {"dpo": {"full": NOISY, **scores}, "mine": {"full": BETTER}}, final=final))
    assert not found.discovery and "0.052, is the smallest that was tried" in found.text


def test_the_best_other_known_loss_must_be_tuned_too(tmp_path):
    final = FINAL | {"grid": [[None, None], [0.05, None], [0.2, None]]}
    dpo = {("full", beta): {s: v - 0.02 for s, v in NOISY.items()} for beta in (0.05, 0.2)}
    slic = {
        ("full", 0.05): {s: v + 0.02 for s, v in NOISY.items()},
        ("full", 0.2): {s: v - 0.01 for s, v in NOISY.items()},
    }
    for name, arms, words in (
        ("edge", slic, "the best beta of slic, 0.05, is the smallest"),
        ("plain", {}, "slic, the best other known loss, was not tuned"),
    ):
        (tmp_path / name).mkdir()
        scores = {"dpo": {"full": NOISY, **dpo}, "slic": {"full": NOISY, **arms}, "mine": {"full": BETTER}}
        found = said(tiny(tmp_path / name, scores, seeds=("dpo", "slic"), final=final))
        assert not found.discovery and words in found.text


def test_a_baseline_inside_its_grid_does_not_prevent_the_claim(tmp_path):
    assert tuned(tmp_path, b005=-0.02, b02=-0.02).discovery


def test_a_failed_arm_counts_as_tried(tmp_path):
    arms = {("full", 0.05): {s: v + 0.02 for s, v in NOISY.items()}, ("full", 0.025): dict.fromkeys(NOISY)}
    assert said(tiny(tmp_path, {"dpo": {"full": NOISY, **arms}, "mine": {"full": BETTER}}, final=FINAL)).discovery


# ---- other rules -----------------------------------------------------------------------------------------------------


def test_a_loss_below_the_baseline_is_called_below(tmp_path):
    ours = {seed: value - 0.1 - seed / 1000 for seed, value in NOISY.items()}
    found = said(tiny(tmp_path, {"dpo": {"full": NOISY}, "mine": {"full": ours}}))
    assert found.distinguishable
    assert "below DPO" in found.text


def test_one_seed_gives_no_claim(tmp_path):
    found = said(tiny(tmp_path, {"dpo": {"full": {0: 0.1}}, "mine": {"full": {0: 0.9}}}))
    assert not found.distinguishable
    assert found.text.startswith("No claim can be made")
    assert (found.difference, found.standard_error) == (pytest.approx(0.8), None)


def test_only_the_fresh_seeds_of_the_final_decide(tmp_path):
    searched = {0: 9.0, 1: 9.1, 2: 8.9}
    fresh = {100: 0.5, 101: 0.6}
    path = tiny(
        tmp_path,
        {"dpo": {"full": {0: 0.5, 1: 0.5, 2: 0.4, **fresh}}, "mine": {"full": {**searched, 100: 0.51, 101: 0.58}}},
        final={"rung": "full", "seeds": [100, 101]},
    )
    found = said(path)
    assert found.difference == pytest.approx(-0.005)
    assert "2 fresh seeds" in found.text


@pytest.mark.parametrize("payload", [{}, [], {"rung": None, "seeds": 3}, {"rung": "full", "seeds": []}])
def test_a_recorded_final_without_usable_content_is_ignored(payload, tmp_path):
    found = said(tiny(tmp_path, {"dpo": {"full": NOISY}, "mine": {"full": NOISY}}, final=payload))
    assert found.seeds == 4
    assert "shared seeds" in found.text


@pytest.mark.parametrize("seed", [None, -1, 10**50])
def test_a_final_with_an_invalid_seed_is_refused(seed, tmp_path):
    path = tiny(tmp_path, {"dpo": {"full": NOISY}}, final={"rung": "full", "seeds": [100, seed]})
    with pytest.raises(CorruptArchive, match="a seed of the final should be"):
        said(path)


def test_no_claim_above_is_made_for_a_loss_that_diverged_on_a_seed(tmp_path):
    ours = {seed: value + 0.1 + seed / 1000 for seed, value in NOISY.items()} | {3: None}
    found = said(tiny(tmp_path, {"dpo": {"full": NOISY}, "mine": {"full": ours}}, final=FINAL))
    assert not found.distinguishable
    assert found.text.startswith("No claim can be made: every finalist failed on a seed.")
    assert found.text.endswith("mine failed on 1 of 4 seeds.")


def test_a_finalist_that_failed_stays_in_the_family_and_is_listed_last(tmp_path):
    good = {seed: value + 0.05 + seed / 1000 for seed, value in NOISY.items()}
    better = {seed: value + 0.2 + seed / 1000 for seed, value in NOISY.items()} | {3: None}
    path = tiny(tmp_path, {"dpo": {"full": NOISY}, "good": {"full": good}, "frail": {"full": better}}, final=FINAL)
    with Reader.open(path) as reader:
        snapshot = Snapshot.of(reader)
    decision = decide(snapshot)
    assert [snapshot.candidates[c.arm.candidate].name for c in decision.finalists] == ["good", "frail"]
    assert [c.distinguishable for c in decision.finalists] == [True, False]
    found = said(path)
    assert found.text.startswith("A discovery: good scores") and "corrected for 2 finalists" in found.text
    assert found.text.endswith("frail failed on 1 of 4 seeds.")


def test_a_significantly_better_loss_is_named_before_one_with_a_larger_difference(tmp_path):
    sure = {seed: value + 0.05 + seed / 1000 for seed, value in NOISY.items()}
    wild = {seed: value + 0.1 + 0.3 * (-1) ** seed for seed, value in NOISY.items()}
    found = said(tiny(tmp_path, {"dpo": {"full": NOISY}, "wild": {"full": wild}, "sure": {"full": sure}}, final=FINAL))
    assert found.text.startswith("A discovery: sure scores 0.0515")


def test_a_baseline_arm_with_a_failed_seed_does_not_represent_the_baseline(tmp_path):
    hard = {seed: value - 0.3 * (seed == 3) for seed, value in NOISY.items()}
    other = {seed: value - 0.02 for seed, value in hard.items()} | {3: None}
    ours = {seed: value - 0.01 - seed / 10000 for seed, value in hard.items()}
    found = said(tiny(tmp_path, {"dpo": {"full": hard, ("full", 0.05): other}, "mine": {"full": ours}}, final=FINAL))
    assert found.difference == pytest.approx(-0.01015)
    assert found.seeds == 4


def test_below_the_best_arm_is_claimed_only_if_also_below_the_tasks_own_arm(tmp_path):
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


def test_differences_that_are_equal_up_to_float32_give_no_claim(tmp_path):
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


def test_p_values_are_corrected_for_the_number_of_finalists(tmp_path):
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


def test_a_baseline_of_another_contract_is_named(tmp_path):
    scores = {"cross_entropy": {"full": NOISY}, "focal": {"full": NOISY}, "mine": {"full": NOISY}}
    path = tiny(tmp_path, scores, seeds=("cross_entropy", "focal"), contract="classification")
    assert "cross_entropy" in said(path).text


def test_the_headline_says_that_nothing_was_scored_yet(tmp_path):
    for index, (scores, expected) in enumerate(
        [({}, "no seed loss"), ({"dpo": {}}, "DPO has no score"), ({"dpo": {"full": NOISY}}, "no proposed loss")]
    ):
        (tmp_path / str(index)).mkdir()
        assert expected in said(tiny(tmp_path / str(index), scores)).text


def test_a_hostile_name_stays_one_printable_line(tmp_path):
    name = f"{STEERING} [red]x[/red]\n \ud800"
    text = said(tiny(tmp_path, {"dpo": {"full": NOISY}, name: {"full": NOISY}})).text
    assert text.isprintable()


def test_a_whole_campaign_has_a_headline(tmp_path):
    assert "DPO" in said(make_archive(tmp_path)).text
    (tmp_path / "lifted").mkdir()
    lifted = said(make_archive(tmp_path / "lifted", 12, lift=0.3))
    assert lifted.distinguishable
    assert lifted.difference > 0.1


# ---- the noise of the test set ---------------------------------------------------------------------------------------


def judged_items(tmp_path, prompts, same):
    """A run whose finalist is better by 0.2 on average, over `prompts` prompts. With `same`, all seeds have the same prompts."""
    rng = random.Random(0)
    path = tiny(tmp_path, {"dpo": {}, "mine": {}}, final=FINAL)
    with Archive.open(path) as archive:
        effects = {prompt: rng.gauss(0.2, 0.5) for prompt in range(prompts)}
        for seed in FINAL["seeds"]:
            groups = tuple(f"{prompt}" if same else f"{seed}.{prompt}" for prompt in range(prompts))
            gains = [effects[prompt] + rng.gauss(0, 0.02) for prompt in range(prompts)]
            for candidate, values in ((1, [0.5] * prompts), (2, [0.5 + gain for gain in gains])):
                evaluation = archive.queue_evaluation(candidate, "task", "full", seed)
                archive.score_evaluation(evaluation, sum(values) / prompts, items=Items(tuple(values), groups))
    return path


def test_seeds_that_agree_on_a_small_test_set_make_no_claim(tmp_path):
    found = said(judged_items(tmp_path, 6, same=True))
    assert not found.distinguishable
    assert "4 fresh seeds and 6 groups of test items" in found.text


def test_a_large_test_set_allows_the_claim(tmp_path):
    assert said(judged_items(tmp_path, 200, same=True)).discovery


# ---- unfinished runs, and runs that ended without their final ----------------------------------------------------------


def ended_as(path, *events, **ladder):
    """The headline after these events of a session with these settings of the ladder."""
    with Archive.open(path) as archive:
        archive.event("session_started", {"config": {"ladder": ladder}, "fitness": {}})
        for kind, payload in events:
            archive.event(kind, payload)
    return said(path)


def test_an_unfinished_run_concludes_nothing(tmp_path):
    scores = {"dpo": {"full": NOISY}, "mine": {"full": BETTER}}
    found = ended_as(tiny(tmp_path, scores), early_seeds=2, contender_seeds=4)
    assert (found.distinguishable, found.discovery, found.candidate) == (False, False, 2)
    assert found.text == (
        "The run is unfinished, so nothing is concluded yet: the best proposed loss so far, mine, differs from DPO by +0.10150 ± "
        "0.00065 (paired over 4 shared seeds at rung full), on the seeds that selected it; contenders have at most 2 of 4 seeds "
        "until the last proposal is trained, and only the final decides."
    )
    with Reader.open(tmp_path / "archive.db") as reader:
        snapshot = Snapshot.of(reader)
    assert [line.rpartition("  ")[2] for line in final_lines(snapshot, decide(snapshot), 9)[1:]] == [
        "not decided yet", "the baseline",
    ]  # fmt: skip


def test_a_final_that_was_interrupted_makes_no_discovery_until_it_has_ended(tmp_path):
    path = tiny(tmp_path, {"dpo": {"full": NOISY}, "mine": {"full": BETTER}}, final=FINAL)
    found = ended_as(path)
    assert not found.discovery and not found.distinguishable
    assert "nothing is concluded yet" in found.text and "trainings of the final that are recorded so far" in found.text
    assert ended_as(path, ("finished", {"reason": "done"})).discovery


def test_a_run_that_ended_before_its_final_says_so_where_it_judges(tmp_path):
    few = {seed: NOISY[seed] for seed in (0, 1)}
    path = tiny(tmp_path, {"dpo": {"full": few}, "mine": {"full": {0: 0.9, 1: 0.7}}})
    ended = ("finished", {"reason": "the budget of 60 seconds is reached"})
    found = ended_as(path, ended, contender_seeds=4)
    assert found.text.startswith("Not distinguishable from DPO")
    assert found.text.endswith(
        "The run ended (the budget of 60 seconds is reached) before its final was trained: all this rests on the seeds that "
        "selected the losses, 2 of 4 seeds for a contender."
    )
    assert "The run has no final (ladder.finalists is 0)" in ended_as(path, ended, finalists=0).text


def test_a_run_that_ended_without_a_comparison_does_not_say_yet(tmp_path):
    ended = ("finished", {"reason": "the budget of 0 proposals is reached"})
    found = ended_as(tiny(tmp_path, {"dpo": {"full": NOISY}}), ended)
    assert found.text == (
        "Nothing to compare: no proposed loss was scored on a seed that DPO was scored on; the run has ended: the budget of 0 "
        "proposals is reached."
    )


# ---- losses with the same name ---------------------------------------------------------------------------------------


def test_losses_with_the_same_name_are_named_with_their_ids(tmp_path):
    close = {seed: value + 0.0005 * (-1) ** seed for seed, value in BETTER.items()}
    scores = {"dpo": {"full": NOISY}, "slic": {"full": close}, "SLiC": {"full": BETTER}, "other": {"full": NOISY}}
    path = tiny(tmp_path, scores, seeds=("dpo", "slic"), final=FINAL)
    assert said(path).text.startswith(
        "As good as slic (candidate 2), which is published: SLiC (candidate 3) scores 0.10150 ± 0.00065"
    )
    with Reader.open(path) as reader, reader.consistent():
        whole, outline = Snapshot.of(reader), Outline.read(reader)
        assert whole.namesakes == outline.namesakes == {2, 3}
        assert headline_of(outline).text == headline_of(whole).text
