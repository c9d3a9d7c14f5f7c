"""Inputs of the numeric tests, drawn from a seed: usual inputs, possible ones, and corner cases. `input_sets` chooses the seeds.

All values are exact in float32, so that a difference between float32 and float64 comes from the loss and not from rounded
inputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from itertools import product

import numpy as np

from sandbox.execute.evaluate import Array, Points, joined

MAX_SCALED_MARGIN = 30.0
"""Largest |beta rho| at which a loss must be finite."""
MAX_MARGIN = 1500.0
"""Largest |rho| at which a loss must be finite, nats."""
LOWEST_LOGP = -2000.0
HIGHEST_LOGP = -0.01
MAX_LOGIT = 50.0
LINE_BETA = 0.1
"""The beta at which the shape along the margin is measured."""
BEYOND = (35.0, 50.0, 80.0, 100.0, 200.0, 500.0, 1000.0)
"""|beta rho| of the probes beyond the range."""
LEVELS_BEYOND = (-2050.0, -3000.0, -10_000.0, -50_000.0)
"""Log-probabilities of the probes beyond the range, those of long completions, nats. Their margins are usual."""
SHORT_LEVELS = (-0.1, -0.5, -2.0, -5.0, -10.0)
"""The same for completions of a few tokens, which training seldom has: most inputs have levels from 15 nats on."""
CERTAIN = (-1e-3, -1e-6, 0.0)
"""The same for completions that the policy is certain of: in float32, the log-probability of a single token can be 0."""


@dataclass(frozen=True, eq=False)
class ProbeSet:
    """Named groups of batches: `groups` has each group's batches, `points` all of them, `items` each group's items in `points`.
    `order` has the positions in `near` of the items of `permuted`."""

    groups: Mapping[str, Points]
    points: Points
    items: Mapping[str, slice]
    order: Array
    _parts: dict[tuple[str, ...], ProbeSet] = field(default_factory=dict)

    @classmethod
    def of(cls, groups: Mapping[str, Points], order: Array) -> ProbeSet:
        """The set of these groups, in their order."""
        items, start = {}, 0
        for name, points in groups.items():
            items[name] = slice(start, start + len(points))
            start += len(points)
        return cls(dict(groups), joined(list(groups.values())), items, order)

    def only(self, names: Sequence[str]) -> ProbeSet:
        """The set of the named groups. Cached, since every candidate of this seed uses the same."""
        key = tuple(names)
        if key not in self._parts:
            self._parts[key] = ProbeSet.of({n: self.groups[n] for n in key}, self.order)
        return self._parts[key]


# --- preference ---


def margin_points(
    chosen: Array, rejected: Array, level: Array, beta: float, sizes: Sequence[int] | None = None
) -> Points:
    """Pairs with the given log-ratios of chosen and rejected (policy over reference, nats), shape (items,) each.

    `level`, shape (2, items), is minus the larger log-probability of policy and reference, in nats.
    """
    room = -LOWEST_LOGP
    sides = []
    for ratio, depth in ((chosen, level[0]), (rejected, level[1])):
        top = -np.clip(depth, -HIGHEST_LOGP, np.maximum(room - np.abs(ratio), -HIGHEST_LOGP))
        low = np.minimum(top, 0.0) - np.abs(ratio)
        sides.append((np.where(ratio >= 0, top, low), np.where(ratio >= 0, low, top)))
    (pc, rc), (pr, rr) = sides
    tensors = tuple(exact(t) for t in (pc, pr, rc, rr))
    return Points(tensors, np.full((1, len(pc)), beta), tuple(sizes or (len(pc),)))


def margins(points: Points) -> Array:
    """The margin rho of each pair, nats."""
    pc, pr, rc, rr = points.tensors
    return np.asarray((pc - pr) - (rc - rr))


def split(rho: Array, share: Array, beta: float) -> tuple[Array, Array]:
    """Log-ratios of chosen and rejected whose difference is rho. That of chosen is about `share` times rho."""
    limit = min(MAX_MARGIN, MAX_SCALED_MARGIN / beta)
    chosen = np.clip(share * rho, np.maximum(-limit, rho - limit), np.minimum(limit, rho + limit))
    return chosen, chosen - rho


@lru_cache(maxsize=16)
def preference_probes(seed: int) -> ProbeSet:
    """The probes of a preference loss for this seed.

    Groups in the range where a loss must be finite: `start` (policy equals reference), `near`, `wide`, `far`, `sharp`, `corners`
    (the whole range at other betas), `pair` (a batch of two), `odd`, `equal` (identical pairs), `short`, `long`, `ties` (some of
    the four log-probabilities equal or nearly equal). Variations of `near` and `wide` for the structural tests: `swapped`,
    `permuted`, `mixed` (half of `near` replaced), `tight` and `tight_mixed` (the same where margins hardly differ), `elsewhere`
    (another reference), `resplit` (same margins, other log-ratios). `line`: the margin alone, from -30 to 30 over beta.
    """
    rng = np.random.default_rng([seed, 1])
    groups = _range_groups(rng) | {"corners": _corners(np.random.default_rng([seed, 14]))}
    near, wide = groups["near"], groups["wide"]
    order = reordering(rng, len(near))
    other = _scattered(rng, len(near), LINE_BETA, 3.0)
    half = len(near) // 2
    tight, loose = _scattered(rng, len(near), LINE_BETA, 0.02), _scattered(rng, len(near), LINE_BETA, 0.06)
    groups |= {
        "swapped": joined([_swapped(near), _swapped(wide)]),
        "permuted": near.take(order),
        "mixed": joined([near.take(slice(half)), other.take(slice(half, None))]).take(slice(None)),
        "elsewhere": Points((*near.tensors[:2], *_moved(rng, near.tensors[2:])), near.scalars, near.sizes),
        "resplit": _resplit(rng, near),
        "tight": tight,
        "tight_mixed": joined([tight.take(slice(half)), loose.take(slice(half, None))]).take(slice(None)),
        "line": line_points(LINE_BETA),
    }
    return ProbeSet.of(groups, order)


def start_points() -> Points:
    """Pairs whose policy equals the reference, with powers of two, so that arithmetic in any order is exact."""
    chosen, rejected = -(2.0 ** np.arange(1, 9)), -(2.0 ** np.array([3, 6, 2, 5, 8, 1, 4, 7]))
    return Points((chosen, rejected, chosen, rejected), np.full((1, 8), 0.125), (8,))


def reordering(rng: np.random.Generator, items: int) -> Array:
    """A random order in which no item keeps its position."""
    while True:
        order = rng.permutation(items)
        if (order != np.arange(items)).all():
            return order


LINE_STEPS = 201
"""Number of pairs along the margin."""


def line_points(beta: float) -> Points:
    """Pairs along the margin. The reference is constant; each completion's log-ratio is half of the margin."""
    rho = exact(bent(LINE_STEPS) * MAX_SCALED_MARGIN / beta)
    base = np.full(LINE_STEPS, -MAX_SCALED_MARGIN / beta)
    tensors = (base + rho / 2, base - rho / 2, base, base)
    return Points(tensors, np.full((1, LINE_STEPS), beta), (LINE_STEPS,))


BESIDE = (-2.0, -1.0, -0.5, 0.25, 0.5, 1.0, 2.0)
"""Margins, in beta rho or scores, of the items that do not move in the batches of `moving_margins`."""


@cache
def moving_margins() -> Array:
    """Batches in which one item, the first, moves from -30 to 30 and the others stay: margins, shape (batches, items)."""
    first = np.linspace(-MAX_SCALED_MARGIN, MAX_SCALED_MARGIN, 41)
    return np.column_stack([first, np.tile(BESIDE, (len(first), 1))])


@cache
def moving_points() -> Points:
    """The pairs of `moving_margins` at LINE_BETA. Each completion's log-ratio is half of the margin."""
    margins = moving_margins()
    rho = exact(margins.ravel() / LINE_BETA)
    base = np.full(rho.size, -MAX_SCALED_MARGIN / LINE_BETA)
    tensors = (base + rho / 2, base - rho / 2, base, base)
    return Points(tensors, np.full((1, rho.size), LINE_BETA), (margins.shape[1],) * len(margins))


@cache
def beyond_points() -> Points:
    """Pairs outside the range: one batch for each size of |beta rho| in BEYOND, both signs, margins up to 10,000, one for each of
    LEVELS_BEYOND, one for each of SHORT_LEVELS, with margins as large as the log-probabilities, and one for each of CERTAIN,
    where the policy is certain of the chosen completion or of the rejected one."""
    parts = []
    for x in BEYOND:
        rho = np.array([x, -x, 0.5, -0.5]) / LINE_BETA
        parts.append(margin_points(rho / 2, -rho / 2, np.full((2, 4), 50.0), LINE_BETA))
    ratios = np.array([[6.0, -4.0, 0.0, -9.0], [-2.0, 5.0, 0.0, 7.0]])
    for level in LEVELS_BEYOND:
        policy, reference = np.full((2, 4), level), level - ratios
        tensors = tuple(exact(t) for t in (*policy, *reference))
        parts.append(Points(tensors, np.full((1, 4), LINE_BETA), (4,)))
    shares = np.array([[0.7, 0.2, 0.9, 0.4], [0.4, 0.9, 0.3, 0.5], [0.2, 0.7, 0.4, 0.3], [0.9, 0.4, 0.6, 0.8]])
    for level in SHORT_LEVELS:
        tensors = tuple(exact(share * level) for share in shares)
        parts.append(Points(tensors, np.full((1, 4), LINE_BETA), (4,)))
    for certain in CERTAIN:
        chosen, rejected = np.array([certain, -3.0, certain, -5.0]), np.array([-4.0, certain, -1.0, certain])
        tensors = tuple(exact(t) for t in (chosen, rejected, chosen - 2.0, rejected - 1.0))
        parts.append(Points(tensors, np.full((1, 4), LINE_BETA), (4,)))
    return joined(parts)


def bent(steps: int) -> Array:
    """Numbers from -1 to 1 that are denser around 0, and include it."""
    t = np.linspace(-1.0, 1.0, steps)
    return np.asarray(np.sinh(6.0 * t) / np.sinh(6.0))


SIZE = 32
"""Size of most batches. Batches of one size are evaluated in one call."""
RANGE = ("start", "near", "wide", "far", "sharp", "pair", "odd", "equal", "short", "long", "ties", "corners")
"""The groups in which a loss must be finite."""
SPREAD = ("near", "wide", "far", "sharp")
"""Those that represent usual pairs, also distant ones. They decide which sides of an edge are rare."""


def _range_groups(rng: np.random.Generator) -> dict[str, Points]:
    zero = np.zeros(SIZE)
    same = np.full(SIZE, rng.normal() / LINE_BETA)
    return {
        "start": margin_points(zero, zero, levels(rng, SIZE), LINE_BETA),
        "near": _scattered(rng, SIZE, LINE_BETA, 1.5),
        "wide": joined([_cornered(rng, SIZE, 0.05) for _ in range(3)]),
        "far": _cornered(rng, SIZE, MAX_SCALED_MARGIN / MAX_MARGIN),
        "sharp": _cornered(rng, SIZE, 1.0),
        "pair": _scattered(rng, 2, _beta(rng), 3.0),
        "odd": _scattered(rng, 7, _beta(rng), 3.0),
        "equal": margin_points(same, zero, np.full((2, SIZE), 40.0), LINE_BETA),
        "short": _around(rng, 0.05, 10.0 ** rng.uniform(-2, -0.5, (2, SIZE)), 0.5),
        "long": _around(rng, 5.0, rng.uniform(1960, 1980, (2, SIZE)), LINE_BETA),
        "ties": _ties(rng),
    }


def _around(rng: np.random.Generator, spread: float, level: Array, beta: float) -> Points:
    """Pairs whose log-ratios lie around zero, at the given levels."""
    chosen, rejected = rng.normal(0, spread, level.shape)
    return margin_points(chosen, rejected, level, beta)


_TIES = tuple(
    labels
    for labels in product(range(4), repeat=4)
    if all(n <= max(labels[:i], default=-1) + 1 for i, n in enumerate(labels))
)
"""All patterns of equality among the four log-probabilities: equal ones have the same label."""


def _ties(rng: np.random.Generator) -> Points:
    """Pairs in which some log-probabilities are equal, exactly or nearly, and pairs of different ones whose margin is zero.

    Values are multiples of 1/64, so that differences of equal sums are exactly zero. Margins are moderate, so that a large
    gradient can only come from the tie.
    """
    parts = []
    for level, spread, offset in ((2.0, 1.0, 0.0), (2.0, 1.0, 1e-6), (200.0, 8.0, 0.0), (200.0, 8.0, 1e-3)):
        pairs = []
        for labels in _TIES:
            values = rng.permutation(4) * spread + rng.uniform(0.1, 0.8, 4) * spread
            pairs.append(-level * rng.uniform(0.2, 1.0) - values[list(labels)])
        down, apart = _in_64ths(-level - spread * rng.uniform(0.1, 2.0, 2)), _in_64ths(spread * rng.uniform(0.1, 2.0))
        pairs.append(np.array([down[0], down[0] - apart, down[1], down[1] - apart]))
        inputs = _in_64ths(np.stack(pairs)) + offset * rng.integers(-2, 3, (len(pairs), 4))
        parts.append(np.minimum(inputs, HIGHEST_LOGP))
    inputs = np.concatenate(parts)
    tensors = tuple(exact(column.copy()) for column in inputs.T)
    return Points(tensors, np.full((1, len(inputs)), LINE_BETA), (SIZE,) * (len(inputs) // SIZE))


def scattered(rng: np.random.Generator, items: int, spread: float = 1.5) -> Points:
    """A batch of usual pairs at LINE_BETA; `spread` is the standard deviation of beta rho."""
    return _scattered(rng, items, LINE_BETA, spread)


def _in_64ths(values: Array | float) -> Array:
    return np.asarray(np.round(np.asarray(values) * 64) / 64)


def _scattered(rng: np.random.Generator, items: int, beta: float, spread: float) -> Points:
    """Usual pairs: normally distributed margins, split at random between the two log-ratios."""
    x = np.clip(rng.normal(0, spread, items), -MAX_SCALED_MARGIN, MAX_SCALED_MARGIN)
    chosen, rejected = split(x / beta, rng.normal(0.5, 0.7, items), beta)
    return margin_points(chosen, rejected, levels(rng, items), beta)


def _cornered(rng: np.random.Generator, items: int, beta: float) -> Points:
    """Margins over the whole range at this beta, denser around zero, including the corners and near-ties."""
    ends = np.repeat([-1.0, 1.0], 3)
    near_ties = np.array([0.0, 1e-6, -1e-6, 1e-3, -1e-3])
    x = np.concatenate([ends, near_ties, np.sinh(6 * rng.uniform(-1, 1, items - 11)) / np.sinh(6)]) * MAX_SCALED_MARGIN
    share = np.concatenate([np.tile([0.0, 0.5, 1.0], 2), np.full(5, 0.5), rng.uniform(-0.2, 1.2, items - 11)])
    chosen, rejected = split(x / beta, share, beta)
    return margin_points(chosen, rejected, levels(rng, items), beta)


def _corners(rng: np.random.Generator) -> Points:
    """The whole range at a beta drawn from each part of those above LINE_BETA."""
    return joined(
        [_cornered(rng, SIZE, float(beta)) for beta in rng.uniform((0.12, 0.25, 0.4, 1.2), (0.25, 0.4, 1.0, 2.5))]
    )


def levels(rng: np.random.Generator, items: int) -> Array:
    return np.exp(rng.uniform(np.log(1.0), np.log(1900.0), (2, items)))


def _beta(rng: np.random.Generator) -> float:
    return float(np.exp(rng.uniform(np.log(0.02), 0.0)))


def _swapped(points: Points) -> Points:
    pc, pr, rc, rr = points.tensors
    return Points((pr, pc, rr, rc), points.scalars, points.sizes)


def _resplit(rng: np.random.Generator, points: Points) -> Points:
    beta = float(points.scalars[0, 0])
    rho = margins(points)
    chosen, rejected = split(rho, rng.normal(0.5, 0.7, len(rho)), beta)
    return margin_points(chosen, rejected, levels(rng, len(rho)), beta)


def _moved(rng: np.random.Generator, references: Sequence[Array]) -> list[Array]:
    return [exact(np.minimum(r + rng.normal(0, 15, len(r)), HIGHEST_LOGP)) for r in references]


def exact(values: Array) -> Array:
    return values.astype(np.float32).astype(np.float64)


# --- classification ---

CLASS_COUNTS = (2, 3, 10)


@lru_cache(maxsize=16)
def classification_probes(seed: int, classes: int) -> ProbeSet:
    """The probes of a classification loss with this many classes. Groups as in `preference_probes`: `start` (all scores
    equal), `near`, `wide` (scores up to 50), `pair`, `odd`, `equal`, and `permuted`, `mixed`, `relabelled`."""
    rng = np.random.default_rng([seed, 2, classes])
    near = scored(rng, 24, classes, 1.5)
    order = reordering(rng, 24)
    other = scored(rng, 24, classes, 3.0)
    groups = {
        "start": Points((np.zeros((4, classes)), np.arange(4) % classes), np.zeros((0, 4)), (4,)),
        "near": near,
        "wide": _extreme(rng, 48, classes),
        "pair": scored(rng, 2, classes, 2.0),
        "odd": scored(rng, 7, classes, 2.0),
        "equal": Points((np.full((3, classes), 0.5), np.zeros(3, np.int64)), np.zeros((0, 3)), (3,)),
        "permuted": near.take(order),
        "mixed": joined([near.take(slice(12)), other.take(slice(12, None))]).take(slice(None)),
        "relabelled": Points((near.tensors[0], (near.tensors[1] + 1) % classes), near.scalars, near.sizes),
    }
    return ProbeSet.of(groups, order)


CLASSIFICATION_RANGE = ("start", "near", "wide", "pair", "odd", "equal")


def scored(rng: np.random.Generator, items: int, classes: int, spread: float) -> Points:
    logits = exact(np.clip(rng.normal(0, spread, (items, classes)), -MAX_LOGIT, MAX_LOGIT))
    return Points((logits, rng.integers(0, classes, items)), np.zeros((0, items)), (items,))


def _extreme(rng: np.random.Generator, items: int, classes: int) -> Points:
    logits = np.sinh(4 * rng.uniform(-1, 1, (items, classes))) / np.sinh(4) * MAX_LOGIT
    corners = rng.choice([-MAX_LOGIT, 0.0, MAX_LOGIT], (items // 3, classes))
    logits[: items // 3] = corners
    return Points((exact(logits), rng.integers(0, classes, items)), np.zeros((0, items)), (items,))
