"""Pairs in both orders: the published rule for a win, and the position bias."""

import pytest

from analysis.benchmarks.mt_bench.pairs import in_both_orders
from archive.judgements import JudgementRow


def row(id: int, first: int, second: int, grade: float | None) -> JudgementRow:
    return JudgementRow(id, "mt-bench", "81", "writing", 1, "pair", "hash", "j", first, second, grade, "")


@pytest.mark.parametrize(
    ("forward", "backward", "points", "bias", "agreed"),
    [
        (1.0, 0.0, 1.0, 0.0, True),  # ours is better in both orders
        (0.0, 1.0, 0.0, 0.0, True),
        (0.5, 0.5, 0.5, 0.0, True),
        (1.0, 1.0, 0.5, 0.5, False),  # the first position wins
        (0.0, 0.0, 0.5, -0.5, False),  # the second position wins
        (1.0, 0.5, 0.5, 0.25, False),  # a win in one order, a tie in the other
        (0.5, 0.0, 0.5, -0.25, False),
    ],
)
def test_verdicts_of_both_orders(forward: float, backward: float, points: float, bias: float, agreed: bool) -> None:
    (pair,) = in_both_orders([row(1, 7, 9, forward), row(2, 9, 7, backward)])
    ours = pair.seen_from(7)
    assert (ours.points, ours.bias, ours.agreed) == (points, bias, agreed)
    theirs = pair.seen_from(9)
    assert (theirs.ours, theirs.points, theirs.bias) == (9, 1 - points, bias)


def test_a_pair_with_one_graded_order_is_left_out() -> None:
    assert in_both_orders([row(1, 7, 9, 1.0), row(2, 9, 7, None), row(3, 5, 9, 1.0)]) == []
