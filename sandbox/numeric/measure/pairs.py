"""The inputs of preference losses: pairs of completions, described by their margin rho and by beta."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from sandbox.execute.evaluate import Array, Points
from sandbox.numeric.measure import inputs
from sandbox.numeric.measure.contract_inputs import Inputs, batch_of
from sandbox.numeric.measure.findings import shown


class Pairs(Inputs):
    """Inputs of the contract `preference`."""

    usual = 3.0

    def draw(self, rng: np.random.Generator, items: int, spread: float) -> Mapping[str, Array | float]:
        points = inputs.scattered(rng, items, 1.5 * spread)
        return dict(zip((a.name for a in self.contract.tensors), points.tensors, strict=True)) | {
            "beta": inputs.LINE_BETA
        }

    def distance(self, points: Points) -> Array:
        """|beta rho| of each pair."""
        return np.asarray(np.abs(inputs.margins(points) * points.scalars[0]))

    def extents(self, points: Points) -> Array:
        """The four log-probabilities, the two log-ratios and the margin of each pair, and their opposites, nats."""
        pc, pr, rc, rr = points.tensors
        read = np.stack([pc, pr, rc, rr, pc - rc, pr - rr, inputs.margins(points)])
        return np.concatenate([read, -read])

    def example(self, points: Points, item: int) -> dict[str, Any]:
        """One pair as numbers by name: its margin, beta, its inputs, and the size of its batch."""
        return {
            "rho": float(inputs.margins(points)[item]),
            "beta": float(points.scalars[0, item]),
            **{a.name: float(t[item]) for a, t in zip(self.contract.tensors, points.tensors, strict=True)},
            "batch": batch_of(points, item),
        }

    def where(self, example: Mapping[str, Any]) -> str:
        """An example in words, such as "at rho = 3, beta = 0.1"."""
        return f"at rho = {shown(example['rho'])}, beta = {shown(example['beta'])}"
