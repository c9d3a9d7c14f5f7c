"""Reading of a judge's grades: the required form, its last occurrence, and replies that have no grade."""

import pytest

from fitness.benchmarks.mt_bench.grades import read_preference, read_rating


@pytest.mark.parametrize(
    ("reply", "rating"),
    [
        ("Good. Rating: [[7]]", 7.0),
        ("Rating: [[ 7.5 ]]", 7.5),
        ("[[Rating: 8]]", 8.0),
        ("**Rating:** [[10]].", 10.0),
        ("The first turn deserves [[9]], the second one less. Rating: [[4]]", 4.0),
        ("<think>Perhaps [[2]].</think>Rating: [[6]]", 6.0),
        ("Rating: [5]", 5.0),
        ("I give it [5]. As I said, [5].", 5.0),
    ],
)
def test_ratings(reply: str, rating: float) -> None:
    assert read_rating(reply) == rating


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "It is a fine answer.",
        "Rating: 7",
        "Rating: [[11]]",
        "Rating: [[0]]",
        "Rating: [[rating]]",
        "Rating: [[seven]]",
        "Sources [1] and [2] say so.",
        "The code reads a[5].",
        "See [5](http://example.org).",
        'I must write it in this form: "[[rating]]", for example: "Rating: [[5]]".',
        "<think>Rating: [[5]]",
        "[[5]",
    ],
)
def test_replies_without_a_rating(reply: str) -> None:
    assert read_rating(reply) is None


@pytest.mark.parametrize(
    ("reply", "points"),
    [
        ("Both are fine, A is finer. [[A]]", 1.0),
        ("Final verdict: [[B]]", 0.0),
        ("[[C]]", 0.5),
        ("At first sight [[A]], but it is wrong. So: [[B]]", 0.0),
        ("<think>[[A]]</think> [[C]]", 0.5),
    ],
)
def test_verdicts(reply: str, points: float) -> None:
    assert read_preference(reply) == points


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "Assistant A is better.",
        "[A]",
        "[[D]]",
        '"[[A]]" if assistant A is better, "[[B]]" if assistant B is better, and "[[C]]" for a tie.',
        "<think>[[A]]",
    ],
)
def test_replies_without_a_verdict(reply: str) -> None:
    assert read_preference(reply) is None
