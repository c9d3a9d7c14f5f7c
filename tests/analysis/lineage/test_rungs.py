"""Rank correlations against scipy, the gain of shared seeds on known noise, and the winner's curse on a real archive."""

import random

import pytest
from tiny_archive import tiny

from analysis.claims.comparison import decide
from analysis.lineage import rungs
from analysis.lineage.rungs import (
    Rank,
    agreement,
    agreements,
    describe,
    pairing,
    pairings,
    spearman,
    spearman_interval,
    winners_curse,
)
from analysis.snapshot import Snapshot
from archive.query import Reader


@pytest.mark.parametrize("seed", range(5))
def test_spearman_is_that_of_scipy_with_ties(seed):
    scipy_stats = pytest.importorskip("scipy.stats")
    rng = random.Random(seed)
    xs = [rng.randrange(6) for _ in range(25)]
    ys = [x + rng.randrange(8) for x in xs]
    assert spearman(xs, ys) == pytest.approx(scipy_stats.spearmanr(xs, ys).statistic)


def test_spearman_depends_on_order_only():
    assert spearman([1, 2, 3, 4], [1, 10, 100, 1e9]) == 1.0
    assert spearman([1, 2, 3, 4], [4, 3, 2, 1]) == -1.0


@pytest.mark.parametrize("xs, ys", [([1], [2]), ([1, 1, 1], [1, 2, 3])])
def test_spearman_without_variation_is_unknown(xs, ys):
    assert spearman(xs, ys) is None


def test_the_interval_has_the_stated_coverage():
    rng = random.Random(0)
    covered = 0
    for _ in range(300):
        xs = [rng.gauss(0, 1) for _ in range(30)]
        ys = [0.6 * x + 0.8 * rng.gauss(0, 1) for x in xs]
        found = Rank.of(list(zip(xs, ys, strict=True)))
        covered += found.interval.low <= 0.5823 <= found.interval.high  # Spearman of normals with correlation 0.6
    assert covered >= 0.9 * 300


def test_few_losses_have_no_interval():
    assert spearman_interval(0.5, 3) is None


@pytest.mark.parametrize("n, low", [(4, -1.0), (7, 0.3), (30, 0.98)])
def test_a_perfect_order_of_few_losses_has_a_wide_interval(n, low):
    found = spearman_interval(1.0, n)
    assert low < found.low < 1.0 == found.high
    mirrored = spearman_interval(-1.0, n)
    assert (mirrored.low, mirrored.high) == (-1.0, pytest.approx(-found.low))


def test_the_better_half_is_that_of_the_higher_rung():
    pairs = [(1.0, 0.1), (2.0, 0.2), (9.0, 0.8), (7.0, 0.9)]
    found = agreement("short", "full", pairs)
    assert (found.all.n, found.better_half.n) == (4, 2)
    assert found.better_half.spearman == -1.0


def losses(shared, own, seed=0, count=8, seeds=200):
    rng = random.Random(seed)
    common = [rng.gauss(0, shared) for _ in range(seeds)]
    return [{s: 0.1 * n + common[s] + rng.gauss(0, own) for s in range(seeds)} for n in range(count)]


def test_the_gain_from_shared_seeds_is_that_of_their_shared_variance():
    # Var a + Var b over Var(a - b) = (shared + own) / own, in variances
    assert pairing("full", losses(3.0, 1.0)).factor == pytest.approx(10.0, rel=0.25)
    assert pairing("full", losses(0.0, 1.0)).factor == pytest.approx(1.0, rel=0.1)


def test_of_many_losses_only_the_pairs_of_some_are_computed(monkeypatch):
    found = [{1: 0.1 * n, 2: 0.1 * n * n} for n in range(30)]
    monkeypatch.setattr(rungs, "PAIRED", 10)
    assert pairing("full", found) == pairing("full", found[::3])
    assert pairing("full", found).pairs == 45


def test_pairing_needs_two_shared_seeds_and_some_variation():
    assert pairing("full", [{1: 0.5}, {1: 0.6}]) is None
    assert pairing("full", [{1: 0.5, 2: 0.5}, {1: 0.6, 2: 0.6}]) is None


def test_an_archive_of_a_campaign_has_all_diagnostics(snapshot):
    assert next((a.lower, a.higher) for a in agreements(snapshot)) == ("short", "full")
    assert all(p.factor > 0 and p.pairs > 0 for p in pairings(snapshot))
    assert any("Spearman" in line for line in describe(snapshot))


def test_the_winners_curse_compares_selecting_seeds_with_fresh_ones(snapshot):
    decision = decide(snapshot)
    found = winners_curse(snapshot, decision)
    assert sum("on the seeds that selected it" in line for line in describe(snapshot, decision)) == len(found)
    assert decision.fresh == bool(found)
    for row in found:
        assert not set(row.searched.seeds) & set(row.fresh.seeds)
        assert row.arm.candidate in {c.arm.candidate for c in decision.finalists}


def test_the_winners_curse_uses_the_baselines_arm_of_the_search(tmp_path):
    search, fresh = {0: 0.5, 1: 0.6, 2: 0.55}, {10: 0.52, 11: 0.61, 12: 0.5}
    ours = {seed: value + 0.1 + seed / 1e4 for seed, value in (search | fresh).items()}
    tuned = {seed: value + 0.09 for seed, value in fresh.items()}
    path = tiny(
        tmp_path,
        {"dpo": {"full": search | fresh, ("full", 0.05): tuned}, "mine": {"full": ours}},
        final={"rung": "full", "seeds": list(fresh)},
    )
    with Reader.open(path) as reader:
        snapshot = Snapshot.of(reader)
    decision = decide(snapshot)
    assert decision.best.paired.difference == pytest.approx(0.01, abs=2e-3)
    [row] = winners_curse(snapshot, decision)
    assert row.searched.difference == pytest.approx(0.1, abs=2e-3)
    assert row.fresh.difference == pytest.approx(0.1, abs=2e-3)
    assert any(line.endswith("both over DPO as it was in the search.") for line in describe(snapshot, decision))
