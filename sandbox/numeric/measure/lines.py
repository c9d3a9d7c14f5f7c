"""The line along which a loss is drawn: its arguments as functions of one number, the margin (torch)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

_REFERENCE = -60.0
"""Log-probability of both completions under the reference, in nats; low enough for all drawn ones to be negative."""
_CLASSES = 10


class Line(ABC):
    """One subclass per contract, which its record names."""

    axis: ClassVar[str]
    """What the margin is, for a label, with its unit."""
    over: ClassVar[str]
    """What a loss is drawn over, in words."""
    margin: ClassVar[str]
    """What training widens where the slope is below zero, in a word."""

    @abstractmethod
    def reach(self, beta: float) -> float:
        """The margin to which a loss is drawn, to either side of 0; `beta` is that of the task, where it has one."""

    @abstractmethod
    def arguments(self, margins: Tensor, beta: float) -> Sequence[Tensor | float]:
        """The contract's arguments, in order, for a batch with these margins, (batch,). Differentiable."""


class PairLine(Line):
    """Reached symmetrically: the chosen completion's log-probability rises by rho / 2 above the reference's, the rejected one's
    falls by as much."""

    axis = "margin ρ (nats)"
    over = "the margin, at the task's beta"
    margin = "margin"

    def reach(self, beta: float) -> float:
        return 6.0 / beta  # where the logistic loss is all but straight

    def arguments(self, margins: Tensor, beta: float) -> Sequence[Tensor | float]:
        reference = torch.full_like(margins, _REFERENCE)
        return reference + margins / 2, reference - margins / 2, reference, reference, beta


class ScoreLine(Line):
    """The lead of the labelled class's logit over the others, which are equal."""

    axis = "lead of the label's logit"
    over = "the lead of the label's logit over the others"
    margin = "lead"

    def reach(self, beta: float) -> float:
        return 8.0

    def arguments(self, margins: Tensor, beta: float) -> Sequence[Tensor | float]:
        others = torch.zeros(len(margins), _CLASSES - 1, dtype=margins.dtype)
        return torch.cat([margins[:, None], others], 1), torch.zeros(len(margins), dtype=torch.int64)
