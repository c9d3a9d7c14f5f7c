"""Examples of a data set: inputs with their classes, for the search and for the held-out rung (imports torch)."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Examples:
    """Inputs, shape (items, ...), and their classes, shape (items,)."""

    inputs: Tensor
    classes: Tensor

    def __len__(self) -> int:
        return len(self.classes)

    def take(self, index: Tensor) -> "Examples":
        """The items at these indices."""
        return Examples(self.inputs[index], self.classes[index])

    def to(self, device: torch.device) -> "Examples":
        """The same items on a device."""
        return Examples(self.inputs.to(device), self.classes.to(device))


@dataclass(frozen=True)
class Loaded:
    """A data set: the items of the search, those of the held-out rung, and what is worth a note to the user."""

    search: Examples
    test: Examples
    notes: tuple[str, ...] = ()
