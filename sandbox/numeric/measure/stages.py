"""Batches of pairs as they occur in a training: its stages, usual lengths of completions, usual betas.

The probes of `inputs` draw the four log-probabilities of a pair independently of each other. In a training the two completions of
a pair have similar lengths, and both log-ratios fall together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import groupby
from typing import Final

import numpy as np

from sandbox.execute.evaluate import Array, Points, joined
from sandbox.numeric.measure.input_sets import FIXED
from sandbox.numeric.measure.inputs import HIGHEST_LOGP, LINE_BETA, LOWEST_LOGP, exact


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage of training. Margins and the mean of a pair's two log-ratios are normally distributed: (mean, deviation), nats."""

    name: str
    margin: tuple[float, float]
    common: tuple[float, float]
    early: bool = False
    """Whether every loss that can be trained with has a gradient there, and many margins are negative."""
    sized: bool = True
    """Whether the size of the gradient is judged there, and not only its direction."""


EARLY: Final = (
    Stage("at the start of training", (0.0, 0.0), (0.0, 0.0), early=True),
    Stage("early in training", (0.0, 1.0), (0.0, 1.0), early=True),
    Stage("early in training, with both log-ratios below zero", (0.0, 1.0), (-4.0, 2.0), early=True),
    Stage("in training", (3.0, 8.0), (-3.0, 4.0), early=True),
)
LATE: Final = (
    Stage("late in training, with most pairs learnt", (25.0, 15.0), (-20.0, 10.0)),
    Stage("late in training, with both log-ratios far below zero", (12.0, 8.5), (-30.0, 8.0)),
    Stage("after far too long a training", (12.0, 20.0), (-110.0, 40.0), sized=False),
)
LEVELS: Final = (15.0, 30.0, 60.0, 120.0, 250.0, 600.0)
"""Typical log-probabilities of a completion, with the opposite sign, nats: a few tokens to several hundred."""
OTHER_BETAS: Final = (0.01, 0.03, 0.25, 0.5, 1.0, 4.0)
"""Betas, besides LINE_BETA, with batches of the early stages."""
OTHER_LEVELS: Final = (30.0, 120.0, 600.0)
"""Their levels."""
LATE_BETAS: Final = (0.01, 0.03, 0.25)
"""Those of them with batches of the late stages too."""
_DRAWN_LEVELS: Final = ((10.0, 20.0), (25.0, 50.0), (55.0, 65.0), (65.0, 250.0), (250.0, 800.0))
"""Ranges from which the levels of drawn batches come, one from each. So a loss that treats pairs by their level finds some on
either side of its bound, as in the fixed batches, and no draw decides whether it is refused."""
SIZES, OTHER_SIZES = (8, 8, 64), (8, 32)
"""Pairs of the batches at each level, for LINE_BETA and for other betas."""
_LARGE_SIZES: Final = (256, 512)
"""Pairs of batches as in trainings on several accelerators."""
_SCALES: Final = (0.25, 2.0)
"""Smallest and largest factor on margins and log-ratios at other betas. Training ends at similar beta * rho, so they are larger at
a small beta; but a loss that is exponential in a log-ratio may overflow if they are ten times as large."""


_LOWEST: Final = LOWEST_LOGP + 250.0
"""Lowest log-probability of a reference: the policy's may be that much lower."""


@dataclass(frozen=True, eq=False)
class Cell:
    """The batches of one beta, stage and level. Equal to itself alone: as a key it is looked up often."""

    beta: float
    stage: Stage
    level: float
    """Nats."""
    start: int
    """Position of its first item."""
    size: int
    """Number of its items."""

    @cached_property
    def items(self) -> slice:
        """Its items."""
        return slice(self.start, self.start + self.size)

    @cached_property
    def near_start(self) -> bool:
        """Whether beta * rho is still nearly that of the start, so that a loss with a wrong slope there has it here."""
        return self.beta * _scale(self.beta, self.stage) * self.stage.margin[1] <= 0.25

    @property
    def place(self) -> str:
        """In words, as part of a message."""
        return (
            f"in batches as {self.stage.name}, at log-probabilities around {-self.level:.3g} and beta = {self.beta:.3g}"
        )


@dataclass(frozen=True, eq=False)
class Trained:
    """Batches as in training. The cells are in order of their items, first those of LINE_BETA."""

    points: Points
    cells: tuple[Cell, ...]

    @cached_property
    def stages(self) -> tuple[tuple[Cell, ...], ...]:
        """The cells of each beta and stage."""
        return tuple(tuple(cells) for _, cells in groupby(self.cells, key=lambda cell: (cell.beta, cell.stage)))

    @cached_property
    def early(self) -> Array:
        """Whether the stage of each item is an early one."""
        return np.repeat([cell.stage.early for cell in self.cells], [cell.size for cell in self.cells])

    @property
    def betas(self) -> Array:
        """The beta of each item."""
        betas: Array = self.points.scalars[0]
        return betas

    def spread(self, by_beta: Mapping[float, float]) -> Array:
        """A value of each beta, for each item."""
        return np.repeat([by_beta[cell.beta] for cell in self.cells], [cell.size for cell in self.cells])

    def counts(self, items: Array) -> dict[Cell, int]:
        """How many of these items, a mask, each cell has."""
        found = np.add.reduceat(items, self._starts, dtype=int)
        return dict(zip(self.cells, found.tolist(), strict=True))

    @cached_property
    def _starts(self) -> Array:
        return np.array([cell.start for cell in self.cells])


@lru_cache(maxsize=16)
def batches(seed: int) -> Trained:
    """Batches of each stage at each level and beta. Other seeds than FIXED also draw levels, betas, and how far the stages have
    gone, at most as far as the fixed ones: a loss that is exponential in a log-ratio would be refused for some seeds only."""
    rng = np.random.default_rng([seed, 11])
    levels: Sequence[float] = LEVELS
    other_levels: Sequence[float] = OTHER_LEVELS
    betas: Sequence[float] = OTHER_BETAS
    further = 1.0
    if seed != FIXED:
        levels = [_drawn(rng, *bounds, 1)[0] for bounds in _DRAWN_LEVELS]
        other_levels = (levels[0], levels[-2])
        betas, further = _drawn(rng, OTHER_BETAS[0], OTHER_BETAS[-1], 2), float(rng.uniform(0.6, 1.0))
    wanted: list[tuple[float, Stage, float, Sequence[int]]]
    wanted = [(LINE_BETA, stage, level, SIZES) for stage in (*EARLY, *LATE) for level in levels]
    wanted += [(beta, stage, level, OTHER_SIZES) for beta in betas for stage in EARLY for level in other_levels]
    if seed == FIXED:
        wanted += [(beta, stage, level, OTHER_SIZES) for beta in LATE_BETAS for stage in LATE for level in OTHER_LEVELS]
    return _batches(rng, wanted, further)


@lru_cache(maxsize=1)
def large_batches() -> Trained:
    """Batches of hundreds of pairs: what is a sum over a batch grows with it. Fixed."""
    rng = np.random.default_rng([FIXED, 13])
    return _batches(rng, [(LINE_BETA, stage, LEVELS[-3], _LARGE_SIZES) for stage in (*EARLY[1:], *LATE)])


def _batches(
    rng: np.random.Generator, wanted: Sequence[tuple[float, Stage, float, Sequence[int]]], further: float = 1.0
) -> Trained:
    """A cell for each beta, stage and level, with batches of these sizes."""
    parts, cells, start = [], [], 0
    for beta, stage, level, sizes in wanted:
        parts += [batch(rng, stage, level, size, beta, further) for size in sizes]
        cells.append(Cell(beta, stage, level, start, sum(sizes)))
        start += sum(sizes)
    return Trained(joined(parts), tuple(cells))


def batch(
    rng: np.random.Generator, stage: Stage, level: float, size: int, beta: float = LINE_BETA, further: float = 1.0
) -> Points:
    """A batch of a stage. `level` in nats; `further`: factor on margins and log-ratios."""
    together, apart = rng.normal(size=size), rng.normal(size=(2, size))
    reference = -level * np.exp(0.35 * (np.sqrt(0.7) * together + np.sqrt(0.3) * apart))
    reference = np.maximum(reference, _LOWEST)
    scale = further * _scale(beta, stage)
    margin, common = (scale * rng.normal(*of, size) for of in (stage.margin, stage.common))
    ratios = np.stack([common + margin / 2, common - margin / 2])
    policy = np.minimum(reference + ratios, HIGHEST_LOGP)
    tensors = tuple(exact(values) for values in (*policy, *np.minimum(reference, HIGHEST_LOGP)))
    return Points(tensors, np.full((1, size), beta), (size,))


def _scale(beta: float, stage: Stage) -> float:
    """Factor on margins and log-ratios at a beta."""
    return float(np.clip(LINE_BETA / beta, *_SCALES)) if stage.early else 1.0


def _drawn(rng: np.random.Generator, least: float, most: float, count: int) -> tuple[float, ...]:
    found: Array = np.exp(rng.uniform(np.log(least), np.log(most), count))
    return tuple(found.tolist())
