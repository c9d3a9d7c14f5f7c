"""The digits of scikit-learn: 1,797 images of 8 x 8 grey values (imports torch)."""

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from fitness.classification.examples import Examples, Loaded
from fitness.score import EvaluationFailed

if TYPE_CHECKING:
    from numpy.typing import NDArray

TEST_FRACTION = 0.4
"""Fraction of the digits kept for the held-out rung."""


def load_digits() -> Loaded:
    """All digits, inputs of shape (items, 64) from 0 to 1. Raises EvaluationFailed('bad_data') without scikit-learn."""
    table = _table()  # a row for each item: its 64 pixels from 0 to 16, then its class
    items = Examples(
        torch.tensor(table[:, :-1] / 16.0, dtype=torch.float32), torch.tensor(table[:, -1], dtype=torch.int64)
    )
    order = torch.randperm(len(items), generator=torch.Generator().manual_seed(0))
    held_out = int(TEST_FRACTION * len(items))
    return Loaded(items.take(order[held_out:]), items.take(order[:held_out]))


def _table() -> "NDArray[np.float64]":
    """The digits from scikit-learn's data file, without importing scikit-learn: that takes longer than a short training."""
    found = importlib.util.find_spec("sklearn")
    if found is None or not found.submodule_search_locations:
        raise EvaluationFailed("bad_data", "the digits come with scikit-learn: pip install 'evopo[train]'")
    return np.loadtxt(Path(found.submodule_search_locations[0], "datasets", "data", "digits.csv.gz"), delimiter=",")
