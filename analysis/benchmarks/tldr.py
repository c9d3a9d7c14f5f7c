"""Tables of TL;DR: win rates against a person's summaries and against the reference model, beside the published ones."""

from __future__ import annotations

from analysis.benchmarks.published import TLDR_HUMAN, TLDR_HUMAN_LC, TLDR_SFT, TLDR_SFT_LC
from analysis.benchmarks.results import ResultTable, Rows
from analysis.benchmarks.win_rates.comparisons import DATA, REFERENCE
from analysis.benchmarks.win_rates.tables import win_rate_tables

PUBLISHED = {DATA: (TLDR_HUMAN, TLDR_HUMAN_LC), REFERENCE: (TLDR_SFT, TLDR_SFT_LC)}
MARK = "TL;DR:"
"""Text that some models repeat before the summary. The judge does not see it, and it has no length."""


def tables(rows: Rows) -> list[ResultTable]:
    """One table for each opponent and judge."""
    return win_rate_tables(rows, "TL;DR", PUBLISHED, summary)


def summary(text: str) -> str:
    """The summary in an answer, as the judge saw it: this text's length counts."""
    return text.strip().removeprefix(MARK).strip()
