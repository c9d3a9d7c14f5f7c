"""The whole page from what the given directories hold."""

from __future__ import annotations

from analysis.paper.case_study import case_study_tables
from analysis.paper.facts import imdb_table, landscape_table, search_table
from analysis.paper.lined_up import correlations, result_tables
from analysis.paper.sources import Given
from analysis.paper.tables import Number, Paper


def paper_of(given: Given, between: Number | None = None, counted: str = "") -> Paper:
    """All tables and correlations. `between`: percent of the training pairs of the run `counted` that ended between LRML's optima;
    None if they were not counted."""
    return Paper(
        sources=tuple(given.sources),
        tables=(
            search_table(given.searches),
            *result_tables(given.measures),
            imdb_table(given.sweeps),
            landscape_table(between, counted),
            *case_study_tables(given.transfers),
        ),
        correlations=tuple(correlations(given.measures)),
    )
