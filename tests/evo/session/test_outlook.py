"""What a run says it will be able to see, before anything is spent."""

from dataclasses import replace

import pytest

from analysis.stats import minimum_detectable_difference
from evo.session.outlook import detectable_difference_note, items_warning
from fitness.schedule.settings import LadderSettings
from fitness.task import TaskInfo, task_info

INFO = TaskInfo("toy", "preference", "fitness", {}, deviation=0.04)


def test_the_smallest_difference_is_that_of_the_final():
    seen = minimum_detectable_difference(0.04 / 8**0.5, 7, comparisons=2)
    assert f"about {seen:.2g} (" in detectable_difference_note(INFO, LadderSettings(finalists=2, finalist_seeds=8))


def test_more_seeds_see_smaller_differences():
    def seen(seeds):
        return float(
            detectable_difference_note(INFO, LadderSettings(finalist_seeds=seeds)).split("about ")[1].split()[0]
        )

    assert seen(4) > seen(8) > seen(24)


@pytest.mark.parametrize("settings", [LadderSettings(finalists=0), LadderSettings(finalist_seeds=1)])
def test_a_final_without_finalists_or_repeats_shows_nothing(settings):
    assert "can show no difference" in detectable_difference_note(INFO, settings)


def test_a_task_of_unknown_noise_promises_nothing():
    assert "is unknown" in detectable_difference_note(TaskInfo("toy", "preference", "fitness", {}), LadderSettings())


@pytest.mark.parametrize("task, other", [("sentiment", {"kl_weight": 0.5}), ("classification", {"label_noise": 0.0})])
def test_a_measured_deviation_holds_for_the_options_it_was_measured_with(task, other):
    assert task_info(task).deviation is not None
    assert task_info(task, other).deviation is None


@pytest.mark.parametrize(("finalists", "least"), [(1, 6), (3, 7), (10, 9)])
def test_a_test_set_too_small_for_any_claim_is_named_with_the_number_needed(finalists, least):
    settings = LadderSettings(finalists=finalists)
    line = items_warning(least - 1, settings)
    assert f"at least {least};" in line and "no claim will be made" in line
    assert "no claim will be made" not in items_warning(least, settings)


def test_a_small_test_set_is_named_and_a_large_or_unknown_one_is_not():
    assert "12 prompts" in items_warning(12, LadderSettings())
    assert items_warning(20, LadderSettings()) is None
    assert items_warning(None, LadderSettings()) is None
    assert items_warning(3, LadderSettings(finalists=0)) is None


def test_test_items_that_all_seeds_share_limit_what_more_seeds_can_show():
    def seen(seeds, **changes):
        line = detectable_difference_note(replace(INFO, **changes), LadderSettings(finalist_seeds=seeds))
        return float(line.split("about ")[1].split()[0])

    assert seen(4, items_error=0.001) == seen(4)
    assert seen(1000, items_error=0.01) > 2 * seen(1000)
    assert seen(1000, items_error=0.01) == pytest.approx(
        minimum_detectable_difference(0.01, 1e6, comparisons=3), rel=0.1
    )


@pytest.mark.parametrize("items_error", [0.0, 0.005, 0.02, 0.2])
def test_items_never_make_the_outlook_brighter(items_error):
    def seen(seeds, error):
        line = detectable_difference_note(replace(INFO, items_error=error), LadderSettings(finalist_seeds=seeds))
        return float(line.split("about ")[1].split()[0])

    for seeds in (2, 4, 24):
        assert seen(seeds, items_error) >= seen(seeds, None)
