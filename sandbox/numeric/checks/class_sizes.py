"""The direction of a classification loss for each label and class, at many batch sizes, and at many numbers of classes (torch).

All probes are fixed, so no finding depends on a seed. Batch sizes are tested only if it is not proved that each item's loss depends
on this item only, and numbers of classes only if the loss can tell how many there are.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Final

import numpy as np
import torch

from sandbox.contracts.contract import BATCH
from sandbox.execute.evaluate import Array, CannotCompute, Evaluator, Points, joined
from sandbox.graph.equivariance import is_equivariant
from sandbox.graph.loss_graph import VerifiedGraph
from sandbox.graph.nodes import Node
from sandbox.graph.operations import OPERATIONS
from sandbox.graph.types import Type, elements
from sandbox.numeric.measure import inputs
from sandbox.numeric.measure.direction import rounding
from sandbox.numeric.measure.findings import numeric_finding
from sandbox.numeric.measure.finite import finite
from sandbox.numeric.measure.input_sets import FIXED
from sandbox.verdicts.verdict import Finding

_NEARLY_NONE: Final = 0.05
"""The direction is wrong where a smaller share of the items has the right one. No usual loss comes near this share."""
_SPREAD: Final = 1.5
"""Standard deviation of the logits, as in the group `near` of the other tests."""
_MOST: Final = 2**22
"""Numbers in the largest value of a loss that is still tested at a size. Only values with an entry for each pair of classes, for
each item, are larger: these are not tested at 1,000 classes."""


def check_directions(evaluator: Evaluator) -> list[Finding]:
    """Findings on a loss whose direction is right at the probes of the other tests. Raises CannotCompute and NotFinite."""
    return _by_label(evaluator) or _by_batch(evaluator) or _by_classes(evaluator)


def push_on_label(gradient: Array, targets: Array) -> Array:
    """How much a gradient step raises the label's score relative to the mean of the other scores, shape (items,). `gradient` has
    shape (items, classes)."""
    own, others = _sides(gradient, targets)
    return np.asarray(others - own)


def _sides(gradient: Array, targets: Array) -> tuple[Array, Array]:
    """The gradient of each label's logit, and the mean of those of the other logits."""
    own = gradient[np.arange(len(targets)), targets]
    return own, (gradient.sum(axis=1) - own) / (gradient.shape[1] - 1)


# --- labels and classes ---

_CLASSES: Final = 10
_ITEMS_OF_LABEL: Final = 24
_BATCHES: Final = 6
_CLEAR_LABEL: Final = 0.05
"""A label is turned if its score is lowered by this much of what the scores of other labels are raised. A loss may have no
gradient, or nearly none, for a label, as with a class weight of 0."""
_CLEAR_CLASS: Final = 0.5
"""The same for a class that is not the label. Label smoothing raises the score of a class that is nearly never likely, by a tenth
of what other classes are lowered."""


def _by_label(evaluator: Evaluator) -> list[Finding]:
    """A refusal if the loss lowers the score of one label, or raises the score of one class wherever it is not the label."""
    points = _labelled()
    (gradient,) = finite(evaluator, points).gradients
    own, rounded = points.tensors[1], rounding(gradient)
    push = push_on_label(gradient, own).reshape(-1, _CLASSES)  # a column for each label
    if (label := _turned(push, rounded, _CLEAR_LABEL)) is not None:
        message = f"the loss lowers the score of label {label} at nearly all items that have it"
        return [numeric_finding("SBX310", message, {"label": label, "classes": _CLASSES})]
    down = gradient - gradient.mean(axis=1, keepdims=True)
    down[np.arange(len(own)), own] = 0.0  # classes that are not the label
    if (turned := _turned(down, rounded, _CLEAR_CLASS)) is not None:
        message = f"the loss raises the score of class {turned} at nearly all items with other labels"
        return [numeric_finding("SBX310", message, {"class": turned, "classes": _CLASSES})]
    return []


def _turned(moves: Array, rounded: float, clear: float) -> int | None:
    """The first class whose moves, a column, are clearly negative at nearly all items compared with those of other classes."""
    means = moves.mean(axis=0)
    right, wrong = (moves > rounded).sum(axis=0), (moves < -rounded).sum(axis=0)
    turned = (means < -clear * np.median(np.abs(means))) & (right < _NEARLY_NONE * (right + wrong))
    return int(turned.argmax()) if turned.any() else None


@cache
def _labelled() -> Points:
    """Batches in which each label is equally frequent."""
    items = _CLASSES * _ITEMS_OF_LABEL
    drawn = inputs.scored(np.random.default_rng([FIXED, 11]), items, _CLASSES, _SPREAD)
    return Points((drawn.tensors[0], np.arange(items) % _CLASSES), drawn.scalars, (items // _BATCHES,) * _BATCHES)


# --- batch sizes ---

_USUAL_SIZES: Final = (1, 8, 16, 32, 64, 100, 128, 256, 512)
_MORE_SIZES: Final = (
    *(2, 3, 4, 5, 6, 7, 10, 12, 20, 24, 40, 48, 50, 56, 80, 96, 112),
    *(150, 160, 192, 200, 224, 250, 300, 320, 384, 400, 500),
)
"""Sizes at which a loss is also tested if it can tell how many items there are."""
_SIZES_OF_STATISTICS: Final = 4
"""In smaller batches a loss of a statistic may have no gradient."""
_LEAST_ITEMS: Final = 64
_LATER: Final = 100
"""Items from this position on are also checked without the earlier ones, if there are as many: smaller batches lack them."""


def _by_batch(evaluator: Evaluator) -> list[Finding]:
    """A refusal if the loss lowers the label's score in batches of some size; a note if only in a batch of one, since the trainer
    never forms such a batch."""
    if evaluator.pointwise:
        return []
    graph, alone = evaluator.graph, list[Finding]()
    for size in _USUAL_SIZES + (_MORE_SIZES if _tells(graph, BATCH) else ()):
        if _largest(graph, size, _CLASSES) > _MOST:
            continue
        points = _batches(size)
        if size == 1:
            alone = _alone(evaluator, points)
            continue
        (gradient,) = finite(evaluator, points, torch.float32).gradients
        if size < _SIZES_OF_STATISTICS and not gradient.any():
            continue
        targets, example = points.tensors[1], {"batch": size}
        found = _wrong_direction(gradient, targets, f"in batches of {size}", example)
        if not found and size >= 2 * _LATER and not is_equivariant(graph):
            place = f"from position {_LATER} on in a batch of {size}"
            found = _wrong_direction(gradient[_LATER:size], targets[_LATER:size], place, example)
        if found:
            return found
    return alone


def _alone(evaluator: Evaluator, points: Points) -> list[Finding]:
    (gradient,) = evaluator(points, torch.float32).gradients
    if not np.isfinite(gradient).all() or not gradient.any():
        return []  # `check_batches` has a note on the former
    if not _wrong_direction(gradient, points.tensors[1], "", {}):
        return []
    return [numeric_finding("SBX322", "for a batch of one, the loss lowers the label's score", {"batch": 1})]


@cache
def _batches(size: int) -> Points:
    """Enough batches of this size to determine the direction."""
    return _scored(np.random.default_rng([FIXED, 12, size]), size, -(-_LEAST_ITEMS // size), _CLASSES)


# --- numbers of classes ---

_NUMBERS_OF_CLASSES: Final = ((5, 32), (20, 32), (50, 32), (100, 32), (1000, 16))
"""Numbers of classes, each with the size of a batch. Enough for the direction, and one batch, which is fastest."""


def _by_classes(evaluator: Evaluator) -> list[Finding]:
    """A refusal if the loss lowers the label's score at another number of classes than the other tests have.

    Numbers at which it cannot be computed, is not finite or has no gradient are left out: a loss may be made for few classes.
    """
    if not _tells(evaluator.graph, "C"):
        return []
    for classes, size in _NUMBERS_OF_CLASSES:
        if _largest(evaluator.graph, size, classes) > _MOST:
            continue
        points = _many(classes, size)
        try:
            (gradient,) = evaluator(points, torch.float32).gradients
        except CannotCompute:
            continue
        if np.isfinite(gradient).all() and gradient.any():
            found = _wrong_direction(gradient, points.tensors[1], f"with {classes} classes", {"classes": classes})
            if found:
                return found
    return []


@cache
def _many(classes: int, size: int) -> Points:
    return _scored(np.random.default_rng([FIXED, 13, classes]), size, 1, classes)


def _scored(rng: np.random.Generator, size: int, count: int, classes: int) -> Points:
    return joined([inputs.scored(rng, size, classes, _SPREAD) for _ in range(count)])


# --- what a graph can tell, and the direction ---

_TELLING: Final = frozenset(
    {"softmax", "log_softmax", "logsumexp", "logcumsumexp", "normalize", "argsort", "argmax", "argmin", "var", "std"}
)
"""Operations along an axis that tell its length if their operand is constant along it, as log_softmax of zeros does."""
_ALONG_ALL: Final = frozenset({"dot", "matmul"})
"""Operations that add along an axis without naming it."""
_ALONG_CLASSES: Final = frozenset({"cross_entropy", "one_hot", "mean"})
"""The same as _TELLING for the classes: a mean of a one-hot vector is 1 / C."""


def _tells(graph: VerifiedGraph, symbol: str) -> bool:
    """Whether the loss may compute with the size `symbol`. A usual classification loss has one operation along the classes, such as
    a softmax of the logits: one more of these may be of constants."""
    telling = 0
    for node in graph.nodes:
        operands = [graph.types[a] for a in node.args]
        if OPERATIONS[node.op].counts and _is_along(node, operands, symbol):
            return True
        if symbol == BATCH:
            telling += 2 * (node.op in _TELLING | _ALONG_ALL and _is_along(node, operands, symbol))
        elif node.op == "matmul":
            return True
        else:
            telling += node.op in _TELLING | _ALONG_CLASSES and _is_along(node, operands, symbol)
    return telling > 1


def _is_along(node: Node, operands: list[Type], symbol: str) -> bool:
    """Whether an operation works along an axis whose length depends on `symbol`, or makes one. Axes that it does not name count."""
    if "symbol" in node.attrs:
        return bool(node.attrs["symbol"] == symbol)
    dims = operands[0].dims
    dim = node.attrs.get("dim")
    if not dims:
        return False  # torch lets a single number have an axis 0
    chosen = range(len(dims)) if dim is None else dim if isinstance(dim, tuple) else (dim,)
    return any(symbol in symbols for k in chosen for symbols, _ in dims[k].terms)


def _largest(graph: VerifiedGraph, items: int, classes: int) -> int:
    """The numbers in the largest value of a loss."""
    sizes = {BATCH: items, "C": classes}
    return max(elements(dims).at(sizes) for dims in {t.dims for t in graph.types})


def _wrong_direction(gradient: Array, targets: Array, place: str, example: Mapping[str, Any]) -> list[Finding]:
    """A refusal if a gradient step lowers the label's score at nearly all items, or changes nothing."""
    if not gradient.any():
        return [numeric_finding("SBX307", f"the gradient to the logits is zero {place}", example)]
    sides = np.stack(_sides(gradient, targets))
    push = sides[1] - sides[0]
    counts = np.abs(push) > rounding(sides)
    if not counts.any():
        message = f"the loss changes the logits of the label and the other classes in the same way {place}"
        return [numeric_finding("SBX310", message, {"share": 0.0, **example})]
    share = float((push[counts] > 0).mean())
    if share >= _NEARLY_NONE:
        return []
    message = f"the loss raises the label's score at only {share:.0%} of the probes {place}"
    return [numeric_finding("SBX310", message, {"share": share, **example})]
