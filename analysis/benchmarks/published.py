"""The published figures of Lu et al. 2024 (arXiv 2406.08414), each by the known loss that it belongs to, as it was scored.

AQL and PFL exist in two versions (docs/losses.md). MT-Bench, AlpacaEval 2.0 and TL;DR scored the version that the search found
(`aql_found`, `pfl_found`), IMDb that of the authors' later code (`aql_repository`, `pfl_repository`). All trainings were single
ones, so no error covers the training seed: a published error is over the questions of the benchmark.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

PAPER = "Lu et al. 2024, arXiv 2406.08414"

PUBLIC_DPO = "dpo_public_model"
"""The public DPO model of the table: a published model that the authors did not train, and no known loss."""

LOSSES = (
    "dpo", PUBLIC_DPO, "slic", "kto_pair", "dbaql", "aql_found", "padll", "aqfl", "cell", "lrml", "pfl_found",
)  # fmt: skip
"""The rows of the tables, in their order."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A published number and its standard error over questions, both in the unit of its column; None: no error was published."""

    value: float
    error: float | None = None


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the published tables. In all of them a larger number is better."""

    key: str
    title: str
    benchmark: str
    """`mt-bench`, `alpaca-eval` or `tldr`."""
    against: str
    """What the answers were compared with; empty for grades of single answers."""
    length_controlled: bool
    unit: str
    places: int
    """Decimal places of the published values."""
    figures: Mapping[str, Figure]
    """By loss."""


def _column(
    key: str, title: str, benchmark: str, against: str, unit: str, values: str, *, length_controlled: bool = False
) -> Column:
    """A column from text: `value` or `value±error` in the order of `LOSSES`; `-` for a cell that the table leaves empty."""
    cells = dict(zip(LOSSES, values.split(), strict=True))
    figures = {name: _figure(cell) for name, cell in cells.items() if cell != "-"}
    places = 3 if benchmark == "mt-bench" else 2
    return Column(key, title, benchmark, against, length_controlled, unit, places, MappingProxyType(figures))


def _figure(cell: str) -> Figure:
    value, _, error = cell.partition("±")
    return Figure(float(value), float(error) if error else None)


# Rows:       dpo public slic kto dbaql aql padll aqfl cell lrml pfl
MT_BENCH = _column(
    "mt_bench", "MT-Bench", "mt-bench", "", "of 10",
    "7.888 7.810 7.881 7.603 7.978 7.953 7.941 7.931 7.925 7.916 7.900",
)  # fmt: skip
"""Table 1: the mean grade by GPT-4 over 80 questions of two turns. It is the search's own score, so it is not held out."""

ALPACA_GPT4 = _column(
    "alpaca_gpt4", "AlpacaEval 2.0, win rate against GPT-4", "alpaca-eval", "GPT-4", "%",
    "11.23 11.99 10.67 12.57 10.68 11.11 14.07 13.63 10.27 13.21 8.15",
)  # fmt: skip
ALPACA_GPT4_LC = _column(
    "alpaca_gpt4_lc", "AlpacaEval 2.0, length-controlled against GPT-4", "alpaca-eval", "GPT-4", "%",
    "12.81±.66 14.73±.71 13.16±.69 13.58±.67 11.41±.57 13.63±.68 14.89±.66 15.55±.71 12.26±.61 14.78±.67 10.67±.57",
    length_controlled=True,
)  # fmt: skip
ALPACA_SFT = _column(
    "alpaca_sft", "AlpacaEval 2.0, win rate against SFT", "alpaca-eval", "SFT", "%",
    "78.72 75.75 75.05 78.81 72.06 76.34 81.10 79.32 71.75 79.27 68.27",
)  # fmt: skip
ALPACA_SFT_LC = _column(
    "alpaca_sft_lc", "AlpacaEval 2.0, length-controlled against SFT", "alpaca-eval", "SFT", "%",
    "63.34±.30 59.88±.41 59.67±.42 62.76±.31 54.40±.38 60.94±.36 64.14±.28 64.41±.34 57.48±.34 65.18±.32 56.14±.43",
    length_controlled=True,
)  # fmt: skip
TLDR_HUMAN = _column(
    "tldr_human", "TL;DR, win rate against the human summary", "tldr", "human", "%",
    "88.27±1.07 - 83.02±1.29 85.34±1.18 84.71±1.21 81.87±1.32 88.54±1.05 85.03±1.22 86.33±1.14 87.63±1.10 79.84±1.35",
)  # fmt: skip
TLDR_HUMAN_LC = _column(
    "tldr_human_lc", "TL;DR, length-controlled against the human summary", "tldr", "human", "%",
    "82.82 - 63.41 80.26 78.68 68.89 76.13 76.23 73.72 81.88 69.23",
    length_controlled=True,
)  # fmt: skip
TLDR_SFT = _column(
    "tldr_sft", "TL;DR, win rate against SFT", "tldr", "SFT", "%",
    "54.38±1.52 - 53.03 51.15 52.55 46.00 55.34 49.56 50.35 53.46 44.12",
)  # fmt: skip
TLDR_SFT_LC = _column(
    "tldr_sft_lc", "TL;DR, length-controlled against SFT", "tldr", "SFT", "%",
    "54.64 - 54.11 50.00 55.14 50.00 55.64 50.38 51.90 55.10 44.57",
    length_controlled=True,
)  # fmt: skip

COLUMNS = (
    MT_BENCH, ALPACA_GPT4, ALPACA_GPT4_LC, ALPACA_SFT, ALPACA_SFT_LC, TLDR_HUMAN, TLDR_HUMAN_LC, TLDR_SFT, TLDR_SFT_LC,
)  # fmt: skip
"""Tables 1 to 3."""

RUN_LOG: Mapping[str, Figure] = MappingProxyType({
    "ipo": Figure(7.84),
    "adaptive_margin": Figure(7.519),
    "annealed_logistic_hinge": Figure(7.669),
    "squared_logistic": Figure(7.601),
    "focal_logistic": Figure(7.841),
    "label_smoothed_logistic": Figure(6.425),
    "margin_decay": Figure(7.613),
})  # fmt: skip
"""MT-Bench scores of other known losses, from the log of one run of the search (appendix G). They are in no table."""


@dataclass(frozen=True, slots=True)
class ImdbFailure:
    """A published failure of a training on IMDb."""

    loss: str
    beta: float
    reward: float | None
    """P(positive) of 60 sampled tokens, if the training ended; None: NaN."""


IMDB_BETAS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""The betas that were trained on IMDb."""
IMDB_PLOTTED = IMDB_BETAS[1:7]
"""Those of the published figure."""
IMDB_FAILURES = (ImdbFailure("lrml", 0.01, 0.152), ImdbFailure("lrml", 2.5, None), ImdbFailure("lrml", 5.0, None))


@dataclass(frozen=True, slots=True)
class PublishedOptimum:
    """A local optimum of a loss over rho (in nats), and the loss there."""

    rho: float
    loss: float
    minimum: bool


OPTIMA_BETA = 0.05
LRML_OPTIMA = (PublishedOptimum(-2.3714, 0.785929, minimum=True), PublishedOptimum(1.44012, 0.87829, minimum=False))
"""Appendix D.6, at beta 0.05."""
LRML_BETWEEN_OPTIMA = Figure(1.35)
"""Percent of the training pairs whose margin is between the two at the end of training. Appendix D.6."""
