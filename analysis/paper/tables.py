"""What the page shows: tables whose cells hold a published figure, ours, and why ours is missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from analysis.benchmarks.rank_correlation import RankCorrelation
from analysis.wording import plus_minus


@dataclass(frozen=True, slots=True)
class Number:
    """A figure with its standard error; or words where the result is no number, as `diverged`."""

    value: float | None
    error: float | None = None
    """None: unknown, for example of a single training."""
    of: str = ""
    """What the value is the mean of: `8 seeds`."""
    words: str = ""
    places: int | None = None
    """Decimal places to show, as published; None: as the error allows."""

    @property
    def text(self) -> str:
        """Value and error, then in brackets the remarks; the words alone without a value."""
        return f"{self.digits} ({self.remarks})" if self.digits and self.remarks else self.digits or self.words

    @property
    def digits(self) -> str:
        """Value and error; empty without a value."""
        if self.value is None:
            return ""
        if self.places is None:
            return plus_minus(self.value, self.error)
        error = f" ± {self.error:.{self.places}f}" if self.error else ""
        return f"{self.value:.{self.places}f}".replace("-", "−") + error

    @property
    def remarks(self) -> str:
        """The words, and what the value is the mean of."""
        return ", ".join(filter(None, (self.words, self.of)))


@dataclass(frozen=True, slots=True)
class Cell:
    """Published and ours, either of which may be missing. `why` says why ours is."""

    published: Number | None = None
    ours: Number | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Heading:
    """The heading of a column of cells."""

    title: str
    published: bool = True
    """Whether the paper has such a column; otherwise only ours is shown."""
    ours: str = ""
    """Where ours comes from: directory, judge."""


@dataclass(frozen=True)
class Table:
    """One table. `rows`: name and one cell per heading."""

    key: str
    title: str
    headings: tuple[Heading, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]
    notes: tuple[str, ...] = ()
    rows_are: str = "loss"


@dataclass(frozen=True, slots=True)
class Measure:
    """One figure for each of several losses, from one place."""

    key: str
    title: str
    values: Mapping[str, Number]
    """By known loss. Those that failed have words instead of a value."""
    source: str = ""
    """The directory, as it was given; empty for a published column."""
    judge: str = ""
    """The judge's model; empty for a measure without a judge."""
    column: str = ""
    """Key of the published column that this measures here; empty if there is none."""
    against: str = ""
    """What the answers were compared with here; empty for a measure without comparisons."""
    contract: str = "preference"
    """Contract of the losses."""

    @property
    def numbers(self) -> dict[str, float]:
        """The values by loss, without the failed ones."""
        return {name: number.value for name, number in self.values.items() if number.value is not None}


@dataclass(frozen=True, slots=True)
class Correlated:
    """A rank correlation between one of our measures (or the paper's own score) and a published column."""

    measure: str
    source: str
    judge: str
    column: str
    found: RankCorrelation
    adjusted: float | None = None
    """The p-value, corrected by Holm's method over all correlations of the page; None without a p-value."""


@dataclass(frozen=True, slots=True)
class Source:
    """A directory that was given: what it holds, in words."""

    path: str
    kind: str
    holds: str


@dataclass(frozen=True)
class Paper:
    """Everything on the page but the pictures."""

    sources: tuple[Source, ...]
    tables: tuple[Table, ...]
    correlations: tuple[Correlated, ...]
