"""Results of an evaluation, from its archive alone: tables, what was paid, and which trainings failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from analysis.benchmarks.registry import ANALYSES, draw, tables_of, write_files
from analysis.benchmarks.results import ResultTable, Rows, csv_of, html_of, plain_of, text_of
from analysis.output.encode import json_text, one_line
from analysis.output.errors import AnalysisError, ExportRefused
from analysis.output.files import write_whole
from analysis.wording import count
from archive.query import Reader
from archive.records import EventKind
from archive.spending import Spending
from evo.config.rundir import RunDirError, existing_run

Questions = Mapping[str, tuple[str, ...]]
FORMS = (".csv", ".html", ".json")
"""Forms of a file with results."""
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<style>body{{font:16px/1.5 sans-serif;margin:2rem}}table{{border-collapse:collapse;margin:1rem 0}}
th,td{{padding:.2rem .8rem;text-align:left;border-bottom:1px solid #ccc}}caption{{text-align:left;font-weight:bold}}</style>
</head><body>
<h1>{title}</h1>
{body}</body></html>
"""


@dataclass(frozen=True)
class Outcome:
    """What was found with one benchmark."""

    benchmark: str
    rows: Rows
    judge: str
    """Name of the judge's model; empty for a benchmark without one."""

    @cached_property
    def tables(self) -> tuple[ResultTable, ...]:
        """Computed when they are read: errors by bootstrap take seconds for each policy."""
        return tuple(tables_of(self.benchmark, self.rows))

    @property
    def judged(self) -> str:
        """One line: number of judgements, those without a grade, and what they cost; empty without a judge."""
        if not self.judge:
            return ""
        paid = [row.usage for row in self.rows.judgements if row.usage is not None]
        missing = sum(row.grade is None for row in self.rows.judgements)
        prices = [usage.usd for usage in paid if usage.usd is not None]
        cost = f"{sum(u.tokens_in + u.tokens_out for u in paid):,} tokens"
        cost += f", {sum(prices):.4f} USD" if paid and len(prices) == len(paid) else ", no price" if paid else ""
        return (
            f"{one_line(self.judge)}: {count(len(self.rows.judgements), 'judgement')}, {missing:,} without a grade; "
            f"{count(len(paid), 'request')}, {cost}"
        )


def outcomes(reader: Reader) -> list[Outcome]:
    """All benchmarks of an evaluation, each as it was evaluated last. Raises ArchiveError."""
    last: dict[str, Mapping[str, Any]] = {}
    for event in reader.events(kind=EventKind.EVALUATE):
        if isinstance(event.payload, Mapping) and event.payload.get("benchmark") in ANALYSES:
            last[str(event.payload["benchmark"])] = event.payload
    policies = reader.policies()
    return [_outcome(reader, name, payload, policies) for name, payload in last.items()]


def _outcome(reader: Reader, name: str, payload: Mapping[str, Any], policies: Sequence[Any]) -> Outcome:
    """The rows that belong to the settings in an event `evaluate`: answers with its keys, judgements by its judge and prompts."""
    keys, forms, judge = payload.get("keys"), payload.get("forms"), payload.get("judge")
    known = set(map(str, keys)) if isinstance(keys, list) else None
    hashes = set(map(str, forms.values())) if isinstance(forms, Mapping) else set()
    answers = tuple(row for row in reader.answers(name) if known is None or row.key in known)
    ids = {row.id for row in answers} | {0, None}
    judgements = tuple(
        row
        for row in reader.judgements(name)
        if row.judge == judge and row.prompt_hash in hashes and row.first in ids and row.second in ids
    )
    used = {row.policy_id for row in answers}
    rows = Rows(tuple(row for row in policies if row.id in used), answers, judgements)
    return Outcome(name, rows, judge if isinstance(judge, str) else "")


def results_text(reader: Reader) -> str:
    """All tables, the failed trainings, and what the judge was paid."""
    found = outcomes(reader)
    parts = [text_of(table) for outcome in found for table in outcome.tables]
    lines = [*failures(reader), *(outcome.judged for outcome in found if outcome.judged), *_paid(reader.spending())]
    return "\n\n".join([*parts, "\n".join(lines)]).strip() or "Nothing was evaluated yet."


def results_plain(reader: Reader) -> dict[str, Any]:
    """The same as plain data for JSON."""
    spent = reader.spending()
    return {
        "benchmarks": [
            {
                "name": outcome.benchmark,
                "judge": outcome.judge or None,
                "judgements": len(outcome.rows.judgements),
                "ungraded": sum(row.grade is None for row in outcome.rows.judgements),
                "tables": [plain_of(table) for table in outcome.tables],
            }
            for outcome in outcomes(reader)
        ],
        "failed": failures(reader),
        "judge": {
            "tokens_in": spent.judge_tokens_in, "tokens_out": spent.judge_tokens_out, "usd": spent.judge_usd,
            "unpriced": spent.judge_unpriced, "possibly_paid": spent.judge_possibly_paid,
        },
    }  # fmt: skip


def failures(reader: Reader) -> list[str]:
    """A line for each loss whose training failed with some seeds."""
    events = [e.payload for e in reader.events(kind=EventKind.POLICY_FAILED) if isinstance(e.payload, Mapping)]
    found = Counter((str(payload.get("loss")), str(payload.get("reason"))) for payload in events)
    return [f"{one_line(loss, 48)}: {one_line(why, 40)} on {count(n, 'seed')}" for (loss, why), n in found.items()]


def show(directory: Path, out: Path | None, *, as_json: bool) -> str:
    """The results of the evaluation in a directory as text, or as JSON; also written to `out` if it is given."""
    with Reader.open(existing_run(directory).archive) as reader, reader.consistent():
        if reader.run().identity.get("kind") != "evaluate":
            raise RunDirError(f"{directory} holds no evaluation; give the directory that `evopo evaluate` named")
        if out is not None:
            _write(reader, out)
        return json_text(results_plain(reader)) if as_json else results_text(reader)


def check_target(out: Path) -> None:
    """Raises ExportRefused if the ending of a file with results is none of FORMS."""
    if out.suffix not in FORMS:
        raise ExportRefused(f"--out needs a file that ends in one of {', '.join(FORMS)}, got {out}")


def write_pictures(reader: Reader, folder: Path) -> list[str]:
    """Draw the picture of each benchmark that has one. Returns a line for each of them."""
    lines = []
    for outcome in outcomes(reader):
        path = folder / f"{outcome.benchmark}.svg"
        try:
            lines += [f"Wrote {path}"] if draw(outcome.benchmark, outcome.rows, path) else []
        except AnalysisError as error:  # too little to draw; the tables are complete
            lines.append(f"No picture of {outcome.benchmark}: {error}")
    return lines


def write_others(reader: Reader, folder: Path, questions: Mapping[str, Questions]) -> list[Path]:
    """Write files for other programs, in a folder for each benchmark that has some. Returns the files. Raises ExportRefused.

    `questions`: by benchmark, the texts of its questions' turns by id.
    """
    written = []
    for outcome in outcomes(reader):
        rows = replace(outcome.rows, questions=questions.get(outcome.benchmark, {}))
        written += write_files(outcome.benchmark, rows, folder / outcome.benchmark)
    return written


def _write(reader: Reader, out: Path) -> None:
    check_target(out)
    tables = [table for outcome in outcomes(reader) for table in outcome.tables]
    if out.suffix == ".csv":
        write_whole(out, csv_of(tables))
    elif out.suffix == ".json":
        write_whole(out, json_text(results_plain(reader)))
    else:
        write_whole(out, PAGE.format(title="Evaluation", body="".join(map(html_of, tables))))


def _paid(spent: Spending) -> list[str]:
    lost = spent.judge_possibly_paid
    if not lost:
        return []
    return [
        f"{count(lost, 'request')} to the judge {'was' if lost == 1 else 'were'} cut off and possibly paid, counted at its most; "
        f"paid or possibly paid in all: {spent.judge_tokens_in + spent.judge_tokens_out:,} tokens, {spent.judge_usd:.4f} USD"
    ]
