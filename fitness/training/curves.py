"""Training curves: values by optimiser step, thinned to at most 50 points per curve.

    loss         mean loss of the step's batch
    margin       preference losses: mean over the batch of (log pi - log pi_ref)(chosen) - (log pi - log pi_ref)(rejected), in
                 nats, without beta; classification: mean of the label's logit minus the highest other logit
    kl_estimate  preference losses: mean over the batch's completions of log pi_ref - log pi, in nats per sequence. Its
                 expectation is KL(reference || policy) if the completions are samples of the reference and were not trained on
                 yet. For other completions it measures how far the policy has moved on them, and may be negative.

All values come from the forward pass of the training step, before the update. NaN and infinite values are kept: curves are most
useful for a training that diverged.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from fitness.score import EvaluationFailed, Points

MOST_POINTS = 50
"""Most points of one curve."""
MOST_CURVES = 8
LONGEST_NAME = 40
"""Characters of a curve's name."""

_NON_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


class CurveRecorder:
    """Collects the curves of one training."""

    def __init__(self) -> None:
        self._curves: dict[str, list[tuple[int, float]]] = {}
        self._step = 0
        self._parts = 0

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Add values at an optimiser step, counted from 1. Values added several times in a step (micro-batches) are averaged."""
        self._parts = self._parts + 1 if step == self._step else 1
        self._step = step
        for name, value in values.items():
            points = self._curves.setdefault(name, [])
            if points and points[-1][0] == step:
                value = (points.pop()[1] * (self._parts - 1) + value) / self._parts
            points.append((step, float(value)))

    @property
    def curves(self) -> dict[str, Points]:
        """The curves so far, thinned."""
        return {name: thinned(points) for name, points in self._curves.items()}

    @contextmanager
    def kept_on_failure(self) -> Iterator[None]:
        """Attach the curves to an EvaluationFailed that leaves the block."""
        try:
            yield
        except EvaluationFailed as failure:
            failure.curves = self.curves
            raise


def preference_values(loss: float, chosen_ratio: float, rejected_ratio: float) -> dict[str, float]:
    """Curve values of one step of preference training, from its loss and the mean log-ratio of each side, in nats."""
    return {
        "loss": loss,
        "margin": chosen_ratio - rejected_ratio,
        "kl_estimate": -(chosen_ratio + rejected_ratio) / 2,
    }


def thinned(points: Sequence[tuple[int, float]], most: int = MOST_POINTS) -> Points:
    """At most `most` (two or more) of the points, evenly spaced, always with the first and the last."""
    if len(points) <= most:
        return tuple(points)
    return tuple(points[round(i * (len(points) - 1) / (most - 1))] for i in range(most))


def to_json(curves: Mapping[str, Points]) -> dict[str, list[list[int | float | str]]]:
    """Curves as plain data, thinned; values that are not finite become "nan", "inf" and "-inf". Raises ValueError if invalid."""
    plain = {name: [[step, value if math.isfinite(value) else str(value)] for step, value in thinned(points)]
             for name, points in curves.items()}  # fmt: skip
    from_json(plain)
    return plain


def from_json(data: Any) -> dict[str, Points]:
    """Curves from plain data, with every part checked. Raises ValueError that says what is wrong."""
    if not isinstance(data, dict) or len(data) > MOST_CURVES:
        raise ValueError(f"expected at most {MOST_CURVES} named curves, got {str(data)[:80]}")
    return {_name(name): _points(name, points) for name, points in data.items()}


def _name(name: Any) -> str:
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME or not name.isprintable():
        raise ValueError(
            f"expected a curve's name of at most {LONGEST_NAME} printable characters, got {str(name)[:80]!r}"
        )
    return name


def _points(name: str, points: Any) -> Points:
    if not isinstance(points, list) or len(points) > MOST_POINTS:
        raise ValueError(f"expected at most {MOST_POINTS} points in the curve {name}")
    found = []
    for point in points:
        step, value = point if isinstance(point, list) and len(point) == 2 else (None, None)
        value = _NON_FINITE.get(value, value) if isinstance(value, str) else value
        if type(step) is not int or isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"expected (optimiser step, value) in the curve {name}, got {str(point)[:80]}")
        found.append((step, float(value)))
    return tuple(found)
