"""Tables of AlpacaEval: win rates against the baseline's outputs and against the reference model, beside the published ones."""

from __future__ import annotations

from analysis.benchmarks.published import ALPACA_GPT4, ALPACA_GPT4_LC, ALPACA_SFT, ALPACA_SFT_LC
from analysis.benchmarks.results import ResultTable, Rows
from analysis.benchmarks.win_rates.comparisons import DATA, REFERENCE
from analysis.benchmarks.win_rates.tables import win_rate_tables

PUBLISHED = {DATA: (ALPACA_GPT4, ALPACA_GPT4_LC), REFERENCE: (ALPACA_SFT, ALPACA_SFT_LC)}


def tables(rows: Rows) -> list[ResultTable]:
    """One table for each opponent and judge. Lengths are in characters of the whole answer, as in alpaca_eval."""
    return win_rate_tables(rows, "AlpacaEval 2.0", PUBLISHED)
