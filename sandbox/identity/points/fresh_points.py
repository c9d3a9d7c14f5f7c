"""Fresh points at which two preference losses are compared before they count as the same (torch).

Every batch begins with eight usual pairs, |beta rho| <= 3, which determine the typical size of the gradient. The other pairs lie
where two otherwise equal losses can differ: exact ties of every pattern, betas on the grid and between its values, margins in the
range and beyond it up to |beta rho| = 100, log-probabilities near the ends of their range, batches of up to 512 items if the items
may influence each other, both sides of every edge of either graph, and the constants of either graph as values of its inputs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from sandbox.execute.evaluate import Array, CannotCompute, Evaluator, Points, joined
from sandbox.graph.loss_graph import VerifiedGraph
from sandbox.identity.points.comparison import Region
from sandbox.numeric.edges.beta_edges import beta_edges
from sandbox.numeric.edges.checks import edge_points
from sandbox.numeric.measure import inputs
from sandbox.numeric.measure.input_sets import BETAS

ORDINARY = 8
"""Number of usual pairs at the beginning of each batch."""
NEAR = 3.0
"""Largest |beta rho| of a usual pair."""
BEYOND = 100.0
"""Largest |beta rho| at which two losses are compared."""
LOWEST_BETA, HIGHEST_BETA = 0.005, 5.0
SIZES = (2, 3, 5, 7, 16, 33, 64, 100, 101, 128, 150, 200, 256, 300, 400, 512)
_SWEEP = {True: 512, False: 192}
"""Number of betas in the sweep: for pointwise losses (True), and for losses whose items may influence each other (False)."""
_MOST_CONSTANTS = 400
_NUMBERS_AT_ONCE = 2**23
"""About a fraction of a second of arithmetic."""
_BESIDE_BETA = (1.0, 1.0001, 0.9999, 1.001, 0.999, 1.02, 0.98)
_BESIDE = np.array([0.0, 1e-4, -1e-4, 1e-2, -1e-2])


def pair_regions(first: Evaluator, second: Evaluator, seed: int) -> list[Region]:
    """All regions for two preference losses, drawn from the seed."""
    rng = np.random.default_rng([seed, 5])
    graphs = (first.graph, second.graph)
    pointwise = first.pointwise and second.pointwise
    numbers = _numbers(graphs)
    found = [
        Region(joined(list(_starts())), exact=True),
        Region(_sweep(rng, _betas(rng, graphs, numbers, pointwise))),
        Region(joined(list(_ties(rng)))),
        Region(joined([_batch(rng, beta, _crowded(rng, 56)) for beta in (0.02, 0.05, 0.1, 0.25, 0.5, 1.0)])),
        Region(joined([_batch(rng, beta, _far(rng)) for beta in (0.05, 0.1, 0.3, 1.0, 2.0)]), trained=False),
        Region(_dense(rng, pointwise)),
        Region(joined([_at_level(rng, low, high) for low, high in ((0.01, 0.3), (1960.0, 1980.0))])),
    ]
    if not pointwise:
        largest = 64 * affordable(first, second) ** 0.5
        sizes = [size for size in _sizes(rng, numbers) if size <= largest]
        found.append(Region(joined([_of_size(rng, size) for size in sizes])))
    if not pointwise:
        numbers = [numbers[i] for i in rng.permutation(len(numbers))[: _MOST_CONSTANTS // 4]]
    singled = [_constants(rng, numbers), *(p for e in (first, second) for p in _edges(rng, e, numbers))]
    batches = [part for p in singled for part in ([p] if pointwise else _short(p)) if len(part)]
    if not pointwise:
        most = affordable(first, second)
        batches = [batches[i] for i in sorted(rng.permutation(len(batches))[:most])]
    if batches:
        found.append(Region(joined([_headed(rng, p) for p in batches]), trained=False))
    return found


def affordable(first: Evaluator, second: Evaluator) -> int:
    """The number of batches of 64 items at which two losses that are not pointwise can be computed in a fraction of a second."""
    return 1 + _NUMBERS_AT_ONCE // max(first.graph.work, second.graph.work)


# ---- batches ---------------------------------------------------------------------------------------------------------


def _batch(rng: np.random.Generator, beta: float, x: Array) -> Points:
    """A batch of usual pairs and of pairs with the given beta rho."""
    return _batches(rng, np.array([beta]), x[None])


def _sweep(rng: np.random.Generator, betas: Sequence[float]) -> Points:
    """A batch for each beta: usual pairs, and some with margins from the whole range."""
    far = rng.uniform(-inputs.MAX_SCALED_MARGIN, inputs.MAX_SCALED_MARGIN, (len(betas), 4))
    return _batches(rng, np.array(betas), far)


def _dense(rng: np.random.Generator, pointwise: bool) -> Points:
    """Many usual pairs, so that a condition that holds for one pair in a thousand holds for some of them."""
    betas = np.exp(rng.uniform(math.log(0.02), 0.0, 16))
    return _batches(rng, betas, rng.normal(0, 1.5, (16, 1000 if pointwise else 40)))


def _batches(rng: np.random.Generator, betas: Array, x: Array) -> Points:
    """A batch for each beta: usual pairs, and pairs with beta rho as in the row of x."""
    usual = rng.permuted(np.tile(np.linspace(-1, 1, ORDINARY), (len(betas), 1)), axis=1)
    usual = (usual + rng.uniform(-0.1, 0.1, usual.shape)).clip(-0.999, 0.999) * NEAR
    scaled = np.concatenate([usual, x], axis=1)
    each = np.repeat(betas, scaled.shape[1])
    levels = np.exp(rng.uniform(0, math.log(1000.0), (2, len(each))))
    points = inputs.margin_points(*_divided(rng, scaled.ravel(), each), levels, 1.0)
    return Points(points.tensors, each[None], (scaled.shape[1],) * len(betas))


def _divided(rng: np.random.Generator, scaled: Array, beta: Array) -> tuple[Array, Array]:
    """Log-ratios of chosen and rejected for these values of beta rho. If the margin lies in the range, so do they: outside the
    range, float32 may overflow in one way to write a loss and not in another."""
    rho = scaled / beta
    limit = np.minimum(inputs.MAX_MARGIN, inputs.MAX_SCALED_MARGIN / beta)
    limit = np.where(np.abs(rho) <= limit, limit, -inputs.LOWEST_LOGP * 0.99)
    chosen = rng.normal(0.5, 0.7, len(rho)) * rho
    chosen = np.clip(chosen, np.maximum(-limit, rho - limit), np.minimum(limit, rho + limit))
    return chosen, chosen - rho


def _crowded(rng: np.random.Generator, items: int) -> Array:
    """Values of beta rho over the range, denser around zero."""
    return np.asarray(np.sinh(6 * rng.uniform(-1, 1, items)) / np.sinh(6) * inputs.MAX_SCALED_MARGIN)


def _far(rng: np.random.Generator) -> Array:
    """Values of beta rho beyond the range, on both sides."""
    sizes = np.concatenate([[35.0, 50.0, BEYOND], rng.uniform(inputs.MAX_SCALED_MARGIN, BEYOND, 9)])
    return np.concatenate([sizes, -sizes])


def _at_level(rng: np.random.Generator, low: float, high: float) -> Points:
    """Log-probabilities close to one end of their range."""
    ratios = rng.normal(0, 5.0 if low > 1 else 0.05, (2, 32))
    return inputs.margin_points(ratios[0], ratios[1], rng.uniform(low, high, (2, 32)), inputs.LINE_BETA)


def _of_size(rng: np.random.Generator, size: int) -> Points:
    x = np.concatenate([rng.normal(0, 1.5, size - size // 4), rng.uniform(-10, 10, size // 4)])
    beta = float(np.exp(rng.uniform(math.log(0.02), 0.0)))
    x[0] = rng.uniform(-NEAR, NEAR)
    return inputs.margin_points(*_divided(rng, x, np.full(size, beta)), np.exp(rng.uniform(0, 6.5, (2, size))), beta)


def _sizes(rng: np.random.Generator, numbers: Sequence[float]) -> list[int]:
    """Batch sizes: some of each magnitude, some random ones, and those at and next to the graphs' constants."""
    found = {*SIZES, *(int(s) for s in rng.integers(2, 512, 3))}
    named = {int(abs(v)) + by for v in numbers if 2 <= abs(v) <= 512 for by in (-1, 0, 1)}
    return sorted(found | {size for size in named if 2 <= size <= 512})


# ---- ties ------------------------------------------------------------------------------------------------------------

_BINARY_BETAS = (0.125, 1.0, 0.03125)
"""Powers of two. The log-probabilities are multiples of a quarter, so ties are exact in any order of arithmetic."""


def _starts() -> Iterator[Points]:
    points = inputs.start_points()
    for beta in _BINARY_BETAS:
        yield Points(points.tensors, np.full_like(points.scalars, beta), points.sizes)
        yield Points((points.tensors[0],) * 4, np.full_like(points.scalars, beta), points.sizes)


def _ties(rng: np.random.Generator) -> Iterator[Points]:
    """Each pattern of ties among the four log-probabilities as batches of eight pairs, alone and after usual pairs."""
    for pattern in _partitions(4):
        if max(pattern) == 3:
            continue  # no tie
        for beta in _BINARY_BETAS[:2]:
            drawn = -np.stack([rng.choice(np.arange(4, 65), 4, replace=False) for _ in range(8)]) / 4
            tied = Points(tuple(drawn[:, group].copy() for group in pattern), np.full((1, 8), beta), (8,))
            yield tied
            yield _headed(rng, tied)
    for ratios in ((0.0, 0.0), (2.0, 0.0)):  # identical pairs: a batch without any spread
        same = (-8.0, -8.0 - ratios[1], -8.0 - ratios[0], -8.0)
        yield Points(tuple(np.full(8, v) for v in same), np.full((1, 8), 0.125), (8,))


def _partitions(items: int) -> Iterator[tuple[int, ...]]:
    """Every partition of some items into groups of equal ones: the group of each item, numbered in order of appearance."""
    if items == 0:
        yield ()
        return
    for rest in _partitions(items - 1):
        for group in range(max(rest, default=-1) + 2):
            yield (*rest, group)


def _headed(rng: np.random.Generator, points: Points) -> Points:
    """The points, all of one beta, as one batch after usual pairs."""
    beta = float(points.scalars[0, 0])
    head = _batch(rng, beta, np.zeros(0))
    both = joined([head, points])
    return Points(both.tensors, both.scalars, (len(both),))


def _short(points: Points) -> Iterator[Points]:
    """The points in batches of 56."""
    for start in range(0, len(points), 56):
        yield points.take(slice(start, start + 56))


# ---- points from the graphs' constants and edges -----------------------------------------------------------------------


def _numbers(graphs: Sequence[VerifiedGraph]) -> list[float]:
    """The absolute values of the graphs' constants and numeric attributes, each once."""
    found: dict[float, None] = {}
    for graph in graphs:
        for node in graph.nodes:
            for value in node.attrs.values():
                if isinstance(value, int | float) and not isinstance(value, bool) and 0 < abs(value) < 1e6:
                    found[abs(float(value))] = None
    return list(found)[:_MOST_CONSTANTS]


def _betas(
    rng: np.random.Generator, graphs: Sequence[VerifiedGraph], numbers: Sequence[float], pointwise: bool
) -> list[float]:
    """The betas of the grid, one random beta from each of some hundred equal intervals of its logarithm, and betas from the
    graphs: edges of their arithmetic on beta, and their constants."""
    count = _SWEEP[pointwise]
    low, high = math.log(LOWEST_BETA), math.log(HIGHEST_BETA)
    drawn = np.exp(low + (high - low) * (np.arange(count) + rng.random(count)) / count)
    turns = [beta for graph in graphs for beta in beta_edges(Evaluator.of(graph))]
    named = [v * by for v in (*turns, *numbers) for by in _BESIDE_BETA if LOWEST_BETA <= v * by <= HIGHEST_BETA]
    return [*BETAS, *(float(b) for b in drawn), *named[: count // 2]]


def _constants(rng: np.random.Generator, numbers: Sequence[float]) -> Points:
    """Pairs in which a log-probability, a log-ratio, the margin or beta rho equals a constant of a graph, or is close to it."""
    values = (np.array(numbers)[:, None] + _BESIDE).ravel()
    values = values[(values > -inputs.HIGHEST_LOGP) & (values < -inputs.LOWEST_LOGP)]
    beta, rows = inputs.LINE_BETA, []
    for place in range(4):
        pairs = -np.exp(rng.uniform(0, math.log(300.0), (2, len(values))))[[0, 1, 0, 1]] + rng.normal(
            0, 8, (4, len(values))
        )
        pairs[place] = -values
        rows.append(np.minimum(pairs, inputs.HIGHEST_LOGP))
    signed = np.concatenate([values, -values, values / beta, -values / beta])
    signed = signed[np.abs(signed) < min(BEYOND / beta, -inputs.LOWEST_LOGP / 2 - 5)]
    for share in (1.0, 0.0, 0.5):  # the chosen's log-ratio, the rejected's, the margin alone
        base = -np.abs(signed) - 5.0
        rows.append(np.stack([base + share * signed, base - (1 - share) * signed, base, base]))
    columns = np.concatenate(rows, axis=1)
    return Points(tuple(columns), np.full((1, columns.shape[1]), beta), (columns.shape[1],))


def _edges(rng: np.random.Generator, evaluator: Evaluator, numbers: Sequence[float]) -> Iterator[Points]:
    """Pairs on and near the edges of a loss, at LINE_BETA and at some constants of the graphs as beta."""
    named = [v for v in numbers if LOWEST_BETA <= v <= 2.0 and v not in BETAS][:3]
    for beta in (inputs.LINE_BETA, *named, 0.5):
        try:
            yield edge_points(evaluator, beta, _batch(rng, beta, _crowded(rng, 24)))
        except CannotCompute:
            continue
