"""Comparison over seeds and items: on simulated noise it keeps the level, and the t-test over seeds does not."""

import math

import numpy as np
import pytest

from analysis import stats
from analysis.claims.crossed import least_groups, paired_crossed
from archive.records import Items

LEVEL = 0.05


def played(cells, sizes=None, redrawn=False):
    """Ours and theirs by seed, with differences `cells` (seeds, groups); group g has `sizes[g]` items."""
    sizes = sizes or [1] * cells.shape[1]
    ours, theirs = {}, {}
    for seed, row in enumerate(cells):
        own = f"{seed} " if redrawn else ""
        groups = tuple(f"{own}{group}" for group, size in enumerate(sizes) for _ in range(size))
        ours[seed] = Items(tuple(value for value, size in zip(row, sizes, strict=True) for _ in range(size)), groups)
        theirs[seed] = Items((0.0,) * len(groups), groups)
    return ours, theirs


def made_up(rng, seeds, groups, of_seeds, of_groups, of_both):
    """Differences of two equal losses: normal effects of these standard deviations."""
    return (
        of_seeds * rng.normal(size=(seeds, 1))
        + of_groups * rng.normal(size=(1, groups))
        + of_both * rng.normal(size=(seeds, groups))
    )


def false_alarms(seeds, groups, effects, runs=800, sizes=None, redrawn=False):
    """Number of `runs` comparisons of equal losses that are significant: over seeds and items, and over seeds only."""
    rng = np.random.default_rng(42)
    crossed = alone = 0
    for _ in range(runs):
        ours, theirs = played(made_up(rng, seeds, groups, *effects), sizes, redrawn)
        crossed += paired_crossed(ours, theirs).p_value < LEVEL
        alone += over_seeds(ours, theirs).p_value < LEVEL
    return crossed, alone


def over_seeds(ours, theirs):
    means = [{seed: stats.mean(items.values) for seed, items in side.items()} for side in (ours, theirs)]
    return stats.paired(*means)


@pytest.mark.parametrize(("seeds", "groups"), [(4, 6), (4, 100), (24, 6)])
@pytest.mark.parametrize("effects", [(1, 0, 1), (0, 1, 1), (1, 1, 1), (0, 1, 0.1), (0, 0, 1)])
def test_equal_losses_differ_significantly_no_more_often_than_the_level(seeds, groups, effects):
    crossed, _ = false_alarms(seeds, groups, effects, runs=400)
    assert stats.wilson(crossed, 400, 0.999).low <= LEVEL


@pytest.mark.parametrize(("seeds", "groups"), [(4, 6), (4, 100), (24, 6)])
def test_a_t_test_over_seeds_mistakes_item_noise_for_a_difference(seeds, groups):
    _, alone = false_alarms(seeds, groups, (0, 1, 1), runs=400)
    assert stats.wilson(alone, 400, 0.999).low > 2 * LEVEL


@pytest.mark.parametrize("sizes", [[30] + [1] * 9, list(range(1, 11))])
@pytest.mark.parametrize("effects", [(0, 1, 1), (1, 1, 1)])
def test_a_prompt_with_most_of_the_items_gives_no_more_false_claims(sizes, effects):
    crossed, _ = false_alarms(4, len(sizes), effects, runs=400, sizes=sizes)
    assert stats.wilson(crossed, 400, 0.999).low <= LEVEL


@pytest.mark.parametrize("seeds", [4, 24])
def test_seeds_that_share_some_items_keep_the_level(seeds):
    rng = np.random.default_rng(3)
    alarms = 0
    for _ in range(400):
        ours, theirs = played(made_up(rng, seeds, 30, 0.2, 1, 1))
        drawn = {seed: sorted(rng.choice(30, 15, replace=False)) for seed in ours}
        ours, theirs = ({seed: part(items, drawn[seed]) for seed, items in side.items()} for side in (ours, theirs))
        alarms += paired_crossed(ours, theirs).p_value < LEVEL
    assert stats.wilson(alarms, 400, 0.999).low <= LEVEL


def part(items, places):
    return Items(tuple(items.values[i] for i in places), tuple(items.groups[i] for i in places))


def test_a_balanced_design_has_the_error_from_mean_squares():
    seeds, groups = 5, 7
    cells = made_up(np.random.default_rng(8), seeds, groups, 0.5, 2, 0.5)
    found = paired_crossed(*played(cells))
    rows, columns = cells.mean(axis=1, keepdims=True), cells.mean(axis=0, keepdims=True)
    of_seeds = groups * rows.var(ddof=1)
    of_groups = seeds * columns.var(ddof=1)
    of_rest = ((cells - rows - columns + cells.mean()) ** 2).sum() / ((seeds - 1) * (groups - 1))
    squares = np.array([of_seeds, of_groups, of_rest]) / (seeds * groups)
    variance = squares[0] + squares[1] - squares[2]
    freedom = variance**2 / (squares**2 / [seeds - 1, groups - 1, (seeds - 1) * (groups - 1)]).sum()
    assert found.difference == pytest.approx(cells.mean())
    assert found.standard_error == pytest.approx(math.sqrt(variance))
    assert found.freedom == pytest.approx(freedom)
    assert found.groups == groups


def test_new_items_for_each_seed_give_the_t_test_over_seeds():
    pair = played(made_up(np.random.default_rng(1), 6, 20, 1, 1, 1), redrawn=True)
    expected, found = over_seeds(*pair), paired_crossed(*pair)
    assert found.p_value == pytest.approx(expected.p_value)
    assert (found.standard_error, found.freedom) == (pytest.approx(expected.standard_error), expected.freedom)


@pytest.mark.parametrize("effects", [(1, 0, 1), (0, 1, 1), (1, 1, 1), (0, 0, 1)])
def test_items_never_make_a_claim_easier(effects):
    rng = np.random.default_rng(4)
    for _ in range(200):
        pair = played(made_up(rng, 4, 8, *effects))
        assert paired_crossed(*pair).p_value >= over_seeds(*pair).p_value * (1 - 1e-9)
        assert paired_crossed(*pair).standard_error >= over_seeds(*pair).standard_error * (1 - 1e-9)


def test_a_difference_on_all_seeds_and_items_is_found():
    found = paired_crossed(*played(3 + made_up(np.random.default_rng(6), 4, 50, 0.5, 1, 1)))
    assert found.p_value < 0.01


def test_the_difference_is_that_of_the_fitness_with_prompts_of_many_items():
    ours, theirs = played(made_up(np.random.default_rng(9), 4, 3, 1, 1, 1), sizes=[9, 2, 1])
    assert paired_crossed(ours, theirs).difference == pytest.approx(over_seeds(ours, theirs).difference)


def test_one_seed_gives_no_comparison_by_item():
    assert paired_crossed(*played(np.ones((1, 50)))) is None


def test_losses_measured_on_different_items_are_not_compared_by_item():
    ours, theirs = played(np.eye(4))
    theirs[2] = Items(theirs[2].values, ("other", *theirs[2].groups[1:]))
    assert paired_crossed(ours, theirs) is None


def test_differences_that_are_equal_everywhere_give_no_comparison_by_item():
    assert paired_crossed(*played(np.full((4, 20), 0.25))) is None


@pytest.mark.parametrize(("comparisons", "least"), [(1, 6), (2, 7), (3, 7), (10, 9)])
def test_too_few_groups_give_no_claim_whatever_the_difference(comparisons, least):
    def adjusted(groups):
        pair = played(100 + made_up(np.random.default_rng(2), 12, groups, 0.1, 0.1, 0.1))
        return comparisons * paired_crossed(*pair).p_value

    assert least_groups(comparisons) == least
    assert adjusted(least - 1) >= LEVEL > adjusted(least)


def test_six_pairs_are_too_few_for_a_discovery_among_three_finalists():
    """Regression: 6 held-out pairs, all won by one loss on nearly every seed, were once called a discovery."""
    wins = np.ones((4, 6))
    wins[0, 0] = 0
    ours, theirs = played(wins)
    assert 3 * over_seeds(ours, theirs).p_value < LEVEL
    assert 3 * paired_crossed(ours, theirs).p_value >= LEVEL


def test_seeds_that_agree_on_every_item_still_have_the_error_of_the_items():
    """Six pairs, five of them won on every seed: over seeds only, the error would be zero."""
    found = paired_crossed(*played(np.tile([1.0, 1, 1, 1, 1, 0], (4, 1))))
    assert over_seeds(*played(np.tile([1.0, 1, 1, 1, 1, 0], (4, 1)))).p_value is None
    assert found.standard_error == pytest.approx(stats.standard_error([1.0, 1, 1, 1, 1, 0]))
