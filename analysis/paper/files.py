"""The page for other programs: JSON with everything, CSV with one line per cell."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from analysis.output.encode import csv_text, json_text
from analysis.paper.tables import Number, Paper, Table
from analysis.paper.text import paper_text

COLUMNS = ("table", "row", "column", "published", "published_error", "ours", "ours_error", "of", "words", "why")


def paper_json(paper: Paper) -> str:
    """Tables, correlations and sources as one JSON object; a figure that is missing is null."""
    return json_text(
        {
            "sources": [asdict(source) for source in paper.sources],
            "tables": [_table(table) for table in paper.tables],
            "correlations": [asdict(one) for one in paper.correlations],
        }
    )


def _table(table: Table) -> dict[str, Any]:
    return {
        "key": table.key,
        "title": table.title,
        "headings": [asdict(heading) for heading in table.headings],
        "rows": [{"name": name, "cells": [asdict(cell) for cell in cells]} for name, cells in table.rows],
        "notes": list(table.notes),
    }


def paper_csv(paper: Paper) -> str:
    """One line per cell of the tables. Empty: there is none; `why` says why there is none of ours."""
    buffer = io.StringIO()
    lines = csv.writer(buffer, lineterminator="\n")
    lines.writerow(COLUMNS)
    for table in paper.tables:
        for name, cells in table.rows:
            for heading, cell in zip(table.headings, cells, strict=True):
                numbers = (*_numbers(cell.published), *_numbers(cell.ours))
                of, words = (cell.ours.of, cell.ours.words) if cell.ours else ("", "")
                why = "" if cell.ours else cell.why
                texts = [csv_text(text) for text in (of, words, why)]
                lines.writerow([*map(csv_text, (table.key, name, heading.title)), *numbers, *texts])
    return buffer.getvalue().rstrip("\n")


def _numbers(number: Number | None) -> tuple[float | str, float | str]:
    value, error = (number.value, number.error) if number else (None, None)
    return "" if value is None else value, "" if error is None else error


FORMS: Mapping[str, Callable[[Paper], str]] = {"table": paper_text, "json": paper_json, "csv": paper_csv}
"""The printed forms, by name."""
