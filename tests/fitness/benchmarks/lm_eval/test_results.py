"""Reading of lm-eval's results files. `results_0_4_13.json` was written by lm-eval 0.4.13 for a small task of two choices; the
description of the machine and the task's configuration were removed.
"""

import json
from pathlib import Path

import pytest

from fitness.benchmarks.lm_eval.results import TaskScore, read_results
from fitness.benchmarks.protocol import BenchmarkError

RECORDED = Path(__file__).parent / "results_0_4_13.json"


@pytest.fixture
def changed(tmp_path):
    """The recorded file with other contents at these places."""

    def write(**sections):
        content = json.loads(RECORDED.read_text("utf-8"))
        for name, value in sections.items():
            content[name.replace("n_samples", "n-samples")] = value
        path = tmp_path / "results.json"
        path.write_text(json.dumps(content), "utf-8")
        return path

    return write


def test_a_recorded_file_is_read():
    found = read_results(RECORDED, ["reviews"])
    assert found.lm_eval == "0.4.13"
    assert found.scores == (TaskScore("reviews", "acc", 0.5, 0.08006407690254357, 40, True, "1.0"),)


def test_several_metrics_filters_and_numbers_that_are_not_finite(changed):
    own = {
        "alias": "reviews", "exact_match,strict-match": 0.25, "exact_match_stderr,strict-match": 0.1,
        "exact_match,flexible-extract": 0.5, "exact_match_stderr,flexible-extract": "N/A",
        "word_perplexity,none": float("nan"), "word_perplexity_stderr,none": "N/A",
    }  # fmt: skip
    better = {"reviews": {"exact_match": True, "word_perplexity": False}}
    strict, flexible, perplexity = read_results(
        changed(results={"reviews": own}, higher_is_better=better), ["reviews"]
    ).scores
    assert (strict.metric, strict.value, strict.error) == ("exact_match (strict-match)", 0.25, 0.1)
    assert (flexible.metric, flexible.error) == ("exact_match (flexible-extract)", None)
    assert (perplexity.value, perplexity.higher_is_better, strict.higher_is_better) == (None, False, True)


def test_a_group_has_its_own_score_or_those_of_its_tasks(changed):
    parts = {"a": {"acc,none": 0.1, "acc_stderr,none": 0.01}, "b": {"acc,none": 0.3, "acc_stderr,none": 0.01}}
    samples = {name: {"original": 9, "effective": size} for name, size in (("a", 4), ("b", 5))}
    groups = {"all": ["middle"], "middle": ["a", "b"], "a": [], "b": []}
    rest = {"n_samples": samples, "group_subtasks": groups, "versions": {}, "higher_is_better": {}}
    with_score = {"all": {"alias": "all", "acc,none": 0.2, "acc_stderr,none": 0.02}, **parts}
    (one,) = read_results(changed(results=with_score, **rest), ["all"]).scores
    assert (one.task, one.value, one.items) == ("all", 0.2, 9)
    both = read_results(changed(results={"all": {" ": " ", "alias": "all"}, **parts}, **rest), ["all"]).scores
    assert [(score.task, score.items) for score in both] == [("a", 4), ("b", 5)]


def test_groups_that_hold_each_other_end(changed):
    path = changed(results={"a": {"alias": "a"}}, group_subtasks={"a": ["b"], "b": ["a"]})
    with pytest.raises(BenchmarkError, match=r"results\.a has no metric"):
        read_results(path, ["a"])


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"lm_eval_version": "0.3.0"}, r"expected results of lm-eval 0\.4\.x, got lm_eval_version '0\.3\.0'"),
        ({"results": {}}, "has no task 'reviews'"),
        ({"results": {"review": {"acc,none": 0.5}}}, "did you mean review"),
        ({"results": {"reviews": {"alias": "reviews"}}}, "results.reviews has no metric"),
        ({"results": {"reviews": {"acc,none": "0.5"}}}, "results.reviews.acc,none: expected a number, got '0.5'"),
        ({"results": {"reviews": {"acc,none": 0.5, "acc_stderr,none": True}}}, "acc_stderr,none: expected a number"),
        ({"results": []}, "results: expected an object, got list"),
        ({"n_samples": {}}, "n-samples.reviews: expected an object"),
        ({"n_samples": {"reviews": {"effective": 0}}}, "expected a number of items, got '0'"),
        ({"higher_is_better": {"reviews": {"acc": "yes"}}}, "higher_is_better.reviews.acc: expected true or false"),
    ],
)
def test_a_file_that_is_not_as_lm_eval_writes_it_is_refused(sections, words, changed):
    with pytest.raises(BenchmarkError, match=words):
        read_results(changed(**sections), ["reviews"])


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"{", "is not JSON"), (b"\xff", "is not JSON"), (b"[]", "expected an object"), (None, "cannot read")],
)
def test_what_is_no_json_object_is_refused(content, words, tmp_path):
    path = tmp_path / "results.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BenchmarkError, match=words):
        read_results(path, ["reviews"])
