"""The line along which a loss is plotted: the contract's arguments as functions of one number, the margin (torch)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

_REFERENCE = -60.0
"""Log-probability of both completions under the reference, in nats; low enough for all plotted ones to be negative."""
_CLASSES = 10


class Line(ABC):
    """Interface to a contract's line. The contract's record names the subclass."""

    axis: ClassVar[str]
    """Label of the axis: the margin with its unit."""
    over: ClassVar[str]
    """The horizontal axis in words, for captions."""
    margin: ClassVar[str]
    """One word for the margin, which training increases where the slope is negative."""

    @abstractmethod
    def reach(self, beta: float) -> float:
        """The largest absolute margin of the plot. `beta` is that of the task, if it has one."""

    @abstractmethod
    def arguments(self, margins: Tensor, beta: float) -> Sequence[Tensor | float]:
        """The contract's arguments, in order, for a batch with these margins, (batch,). Differentiable."""


class PairLine(Line):
    """Pairs with a symmetric margin: the chosen completion's log-ratio is rho / 2, the rejected one's is -rho / 2."""

    axis = "margin ρ (nats)"
    over = "the margin, at the task's beta"
    margin = "margin"

    def reach(self, beta: float) -> float:
        return 6.0 / beta  # beyond, the logistic loss is nearly linear

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
