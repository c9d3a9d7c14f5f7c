"""Results of benchmarks: the recorded rows that a table is made of, and tables whose cells have a standard error.

A module `analysis.benchmarks.NAME` has `tables(rows) -> list[ResultTable]` and may have `draw(rows, path)`. Names in a table come
from models and files, and are untrusted: the forms of this module encode them.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from typing import Any

from analysis.output.encode import csv_text, one_line
from analysis.stats import Interval
from analysis.wording import columns, figure, plus_minus
from archive.judgements import AnswerRow, JudgementRow, PolicyRow


@dataclass(frozen=True)
class Rows:
    """What was recorded of one benchmark. Judgements refer to answers, and answers to policies, by their ids."""

    policies: tuple[PolicyRow, ...]
    answers: tuple[AnswerRow, ...]
    judgements: tuple[JudgementRow, ...]
    questions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Texts of the questions' turns by id, in order. They are not recorded, so only an evaluation that has the data gives them."""

    @cached_property
    def policy(self) -> Mapping[int, PolicyRow]:
        """Policies by id."""
        return {row.id: row for row in self.policies}

    @cached_property
    def answer(self) -> Mapping[int, AnswerRow]:
        """Answers by id."""
        return {row.id: row for row in self.answers}

    def policy_of(self, answer: int) -> PolicyRow | None:
        """The policy that wrote an answer; None if the answer is of the benchmark's data (id 0), or is not among the rows."""
        row = self.answer.get(answer)
        return None if row is None else self.policy.get(row.policy_id)

    @cached_property
    def systems(self) -> Mapping[str, tuple[PolicyRow, ...]]:
        """The rows of a table: policies of one loss (they differ in their seed) by its name, others by their own name."""
        grouped: dict[str, list[PolicyRow]] = {}
        for row in self.policies:
            grouped.setdefault(row.loss if row.loss is not None else row.name, []).append(row)
        return {name: tuple(rows) for name, rows in grouped.items()}


@dataclass(frozen=True)
class Cell:
    """One figure of a table. Without a value, `note` says why."""

    value: float | None = None
    error: float | None = None
    """Standard error of the value; None if it cannot be estimated, for example from one value."""
    n: int = 0
    """Number of judged items, for example questions, that the value is the mean of."""
    ungraded: int = 0
    """Replies of the judge without a grade, which are not in the value."""
    note: str = ""
    """One line; for example `1 seed` or `not judged`."""
    interval: Interval | None = None
    """Interval of the value with confidence 95 %; in CSV and JSON."""
    places: int | None = None
    """Decimals of a value without an error; None: three significant digits."""


@dataclass(frozen=True)
class ResultTable:
    """A table of results. `columns[0]` heads the names of the rows; each row has one cell for each further column."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]
    notes: tuple[str, ...] = ()
    """Sentences below the table: what the errors cover, how a bias was measured, what was counted."""

    def __post_init__(self) -> None:
        for name, cells in self.rows:
            if len(cells) != len(self.columns) - 1:
                raise ValueError(
                    f"expected {len(self.columns) - 1} cells in the row {name!r} of the table {self.title!r}, got {len(cells)}"
                )


def text_of(table: ResultTable) -> str:
    """The table for a terminal: title, columns of equal width, notes."""
    body = [
        tuple(one_line(column, 40) for column in table.columns),
        *((one_line(name, 48), *map(_shown, cells)) for name, cells in table.rows),
    ]
    return "\n".join([one_line(table.title, 200), *columns(body), *(one_line(note, 1_000) for note in table.notes)])


def csv_of(tables: Sequence[ResultTable]) -> str:
    """All cells of several tables, one a line: where it stands, value, error, interval, and so on. Empty: there is none."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(("table", "row", "column", "value", "error", "low", "high", "n", "ungraded", "note"))
    for table in tables:
        for name, cells in table.rows:
            for column, cell in zip(table.columns[1:], cells, strict=True):
                ends = (cell.interval.low, cell.interval.high) if cell.interval else (None, None)
                numbers = (*map(_exact, (cell.value, cell.error, *ends)), cell.n, cell.ungraded)
                writer.writerow((*map(csv_text, (table.title, name, column)), *numbers, csv_text(cell.note)))
    return file.getvalue()


def html_of(table: ResultTable) -> str:
    """The table as HTML: a `<table>` with its title as caption, and a paragraph per note. All texts are escaped."""
    head = "".join(f"<th>{_html(column)}</th>" for column in table.columns)
    body = "".join(
        f"<tr><th>{_html(name)}</th>{''.join(f'<td>{_html(_shown(cell))}</td>' for cell in cells)}</tr>\n"
        for name, cells in table.rows
    )
    notes = "".join(f"<p>{_html(note, 1_000)}</p>\n" for note in table.notes)
    return f"<table>\n<caption>{_html(table.title)}</caption>\n<tr>{head}</tr>\n{body}</table>\n{notes}"


def plain_of(table: ResultTable) -> dict[str, Any]:
    """The table as plain data for JSON; `value` and `error` are numbers or null."""
    return {
        "title": table.title,
        "columns": list(table.columns[1:]),
        "rows": [
            {
                "name": name,
                "cells": [_plain(cell) for cell in cells],
            }
            for name, cells in table.rows
        ],
        "notes": list(table.notes),
    }


def _plain(cell: Cell) -> dict[str, Any]:
    interval = [cell.interval.low, cell.interval.high] if cell.interval else None
    return {
        "value": cell.value, "error": cell.error, "interval": interval, "n": cell.n, "ungraded": cell.ungraded, "note": cell.note,
    }  # fmt: skip


def _shown(cell: Cell) -> str:
    number = figure(None) if cell.value is None else _number(cell.value, cell.error, cell.places)
    remarks = [one_line(cell.note, 60)] if cell.note else []
    if cell.ungraded:
        remarks.append(f"{cell.ungraded:,} ungraded")
    return f"{number} ({', '.join(remarks)})" if remarks else number


def _number(value: float, error: float | None, places: int | None) -> str:
    return plus_minus(value, error) if error or places is None else f"{value:.{places}f}"


def _exact(value: float | None) -> str:
    return "" if value is None else repr(value)


def _html(text: str, width: int = 200) -> str:
    return escape(one_line(text, width))
