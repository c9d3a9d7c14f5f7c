"""Training curves: thinning to 50 points with both ends, and validation."""

import json
import math

import pytest

from fitness.score import EvaluationFailed
from fitness.training import curves
from fitness.training.curves import MOST_POINTS, CurveRecorder, from_json, thinned, to_json


@pytest.mark.parametrize("length", [0, 1, 2, 49, 50, 51, 99, 1000, 12_345])
def test_a_curve_of_any_length_keeps_its_ends_and_at_most_fifty_points_in_order(length):
    points = [(step, float(step)) for step in range(1, length + 1)]
    kept = list(thinned(points))
    assert kept[:1] == points[:1] and kept[-1:] == points[-1:]
    assert len(kept) == min(length, MOST_POINTS) and kept == sorted(set(kept)) and set(kept) <= set(points)


def test_micro_batches_of_a_step_are_averaged():
    watch = CurveRecorder()
    for step, value in [(1, 1.0), (1, 2.0), (1, 6.0), (2, 5.0), (2, math.inf), (2, 1.0)]:
        watch.add(step, {"loss": value})
    assert watch.curves == {"loss": ((1, 3.0), (2, math.inf))}


def test_a_failure_carries_the_curves():
    watch = CurveRecorder()
    with pytest.raises(EvaluationFailed) as caught, watch.kept_on_failure():
        watch.add(1, {"loss": 0.5})
        raise EvaluationFailed("diverged")
    assert caught.value.curves == {"loss": ((1, 0.5),)}


def test_curves_round_trip_through_json_with_values_that_are_not_finite():
    sent = {"loss": ((1, 0.5), (2, math.inf), (3, -math.inf)), "margin": ()}
    assert from_json(json.loads(json.dumps(to_json(sent), allow_nan=False))) == sent
    (last,) = from_json(json.loads(json.dumps(to_json({"loss": [(7, math.nan)]}), allow_nan=False)))["loss"]
    assert last[0] == 7 and math.isnan(last[1])


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        {"loss": None},
        {"loss": {"1": 2.0}},
        {"loss": [[1]]},
        {"loss": [[1, "high"]]},
        {"loss": [[1, True]]},
        {"loss": [[0.5, 1.0]]},
        {"loss": [[i, 0.0] for i in range(51)]},
        {"": []},
        {"x" * 41: []},
        {"\x1b[31m": []},
        {str(i): [] for i in range(curves.MOST_CURVES + 1)},
    ],
    ids=lambda v: str(v)[:24].replace("\x1b", ""),
)
def test_invalid_curves_are_refused(data):
    with pytest.raises(ValueError, match="expected"):
        from_json(data)


def test_a_task_that_imports_the_recorder_from_its_earlier_place_still_works():
    from fitness.curves import Watch

    watch = Watch()
    with watch.kept_on_failure():
        watch.add(1, {"loss": 0.5})
    assert watch.curves == {"loss": ((1, 0.5),)}
