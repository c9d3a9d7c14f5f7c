"""The inputs of classification losses: scores of the classes, and the labelled class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from sandbox.execute.evaluate import Array, Points
from sandbox.numeric.measure import inputs
from sandbox.numeric.measure.contract_inputs import Inputs, batch_of
from sandbox.numeric.measure.findings import shown


class Scores(Inputs):
    """Inputs of the contract `classification`."""

    usual = 8.0

    def draw(self, rng: np.random.Generator, items: int, spread: float) -> Mapping[str, Array | float]:
        points = inputs.scored(rng, items, inputs.CLASS_COUNTS[1], 1.5 * spread)
        return dict(zip(("logits", "targets"), points.tensors, strict=True))

    def example(self, points: Points, item: int) -> dict[str, Any]:
        """One item as numbers by name: its scores, its label, and the size of its batch."""
        logits, targets = points.tensors
        return {"logits": logits[item].tolist(), "target": int(targets[item]), "batch": batch_of(points, item)}

    def where(self, example: Mapping[str, Any]) -> str:
        """An example in words, such as "at logits = [1, 0], target = 1"."""
        return f"at logits = [{', '.join(map(shown, example['logits']))}], target = {example['target']}"
