"""Seed losses of the user are known losses for every claim; a loss that a person injected is named as a person's."""

import pytest
from tiny_archive import tiny

from analysis.claims.comparison import decide
from analysis.claims.headline import headline_of
from analysis.claims.obstacles import ObstacleKind
from analysis.snapshot import Snapshot
from archive.query import Reader
from sandbox.verdicts.verdict import Fingerprint

NOISY = {0: 0.70, 1: 0.80, 2: 0.60, 3: 0.75}
BETTER = {seed: value + 0.1 + seed / 1000 for seed, value in NOISY.items()}
BEST = {seed: value + 0.2 + seed / 999 for seed, value in NOISY.items()}
FINAL = {"rung": "full", "seeds": list(NOISY), "beta": 0.1, "grid": [[None, None]]}


def snapshot(path):
    with Reader.open(path) as reader:
        return Snapshot.of(reader)


def test_a_loss_that_equals_the_user_s_own_is_no_discovery_and_the_headline_says_against_what(tmp_path):
    scores = {"dpo": {"full": NOISY}, "own": {"full": BETTER}, "mine": {"full": BETTER}}
    found = headline_of(snapshot(tiny(tmp_path, scores, seeds=("dpo", "own"), given=("own",), final=FINAL)))
    assert not found.discovery and found.text.startswith("As good as own, which was given to the run: mine scores")


def test_a_discovery_over_the_user_s_own_says_how_many_known_losses_were_given(tmp_path):
    scores = {"dpo": {"full": NOISY}, "own": {"full": BETTER}, "mine": {"full": BEST}}
    found = headline_of(snapshot(tiny(tmp_path, scores, seeds=("dpo", "own"), given=("own",), final=FINAL)))
    assert (
        found.discovery and "the hardest of 2 known losses (1 of them given to the run) to tell it from" in found.text
    )


@pytest.mark.parametrize(
    ("scale_key", "beta_key", "words"), [("s", "x", "times a factor"), ("x", "b", "at another beta")]
)
def test_a_variation_of_the_user_s_own_is_no_discovery_even_if_it_scores_higher(tmp_path, scale_key, beta_key, words):
    scores = {"dpo": {"full": NOISY}, "own": {"full": BETTER}, "mine": {"full": BEST}}
    prints = {
        "own": Fingerprint("k", "s", "b", (1.0, 2.0)).to_json(),
        "mine": Fingerprint("l", scale_key, beta_key, (2.0, 3.0)).to_json(),
    }
    path = tiny(tmp_path, scores, seeds=("dpo", "own"), given=("own",), final=FINAL, fingerprints=prints)
    found = snapshot(path)
    headline = headline_of(found)
    assert headline.distinguishable and not headline.discovery
    assert f"it is own {words}, which was given to the run" in headline.text
    assert decide(found).finalists[0].obstacle.kind is ObstacleKind.GIVEN


def test_a_claim_of_an_injected_loss_names_a_person_as_its_author(tmp_path):
    scores = {"dpo": {"full": NOISY}, "mine": {"full": BETTER}}
    found = headline_of(snapshot(tiny(tmp_path, scores, by_person=("mine",), final=FINAL)))
    assert found.discovery and found.text.startswith("A discovery: mine (written by a person) scores")
