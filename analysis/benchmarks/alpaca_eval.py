"""Results of AlpacaEval: win rates beside the published ones, and files that the package alpaca_eval reads."""

from __future__ import annotations

import re
from pathlib import Path

from analysis.benchmarks.published import ALPACA_GPT4, ALPACA_GPT4_LC, ALPACA_SFT, ALPACA_SFT_LC
from analysis.benchmarks.results import ResultTable, Rows
from analysis.benchmarks.win_rates import formats
from analysis.benchmarks.win_rates.comparisons import DATA, REFERENCE, facts_of, pairs
from analysis.benchmarks.win_rates.tables import win_rate_tables
from analysis.output.encode import json_text
from analysis.output.files import make_folder, write_whole

NAME = "alpaca-eval"
PUBLISHED = {DATA: (ALPACA_GPT4, ALPACA_GPT4_LC), REFERENCE: (ALPACA_SFT, ALPACA_SFT_LC)}


def tables(rows: Rows) -> list[ResultTable]:
    """One table for each opponent and judge. Lengths are in characters of the whole answer, as in alpaca_eval."""
    return win_rate_tables(rows, "AlpacaEval 2.0", PUBLISHED)


def write(rows: Rows, folder: Path) -> list[Path]:
    """Outputs of each policy, annotations of its pairs with each opponent, and a leaderboard for each opponent.

        folder/model_outputs-POLICY.json
        folder/annotations-POLICY-OPPONENT.json
        folder/leaderboard-OPPONENT.csv       a leaderboard that is there already is kept, and gets our lines

    No file without the texts of the questions. Raises ExportRefused for missing answers and for a leaderboard of another version.
    """
    if not rows.questions:
        return []
    slugs = _slugs(rows)
    written: dict[Path, str] = {}
    for policy in rows.policies:
        if policy.kind != "outputs" and any(row.policy_id == policy.id for row in rows.answers):
            outputs = formats.model_outputs(rows, policy, NAME)
            written[folder / f"model_outputs-{slugs[policy.id]}.json"] = json_text(outputs)
    facts = facts_of(rows)
    for opponent, judged in pairs(rows, str).items():
        against = _slug(f"{opponent.name}-{opponent.judge}")
        lines = {}
        for policy_id, own in judged.items():
            name = rows.policy[policy_id].name
            rated = formats.annotated(rows, own, name, opponent.name, opponent.judge)
            written[folder / f"annotations-{slugs[policy_id]}-{against}.json"] = json_text(rated)
            lines[name] = formats.entry(own, facts)
        board = folder / f"leaderboard-{against}.csv"
        written[board] = formats.leaderboard(board, lines)
    make_folder(folder)
    for path, text in written.items():
        write_whole(path, text)
    return list(written)


def _slugs(rows: Rows) -> dict[int, str]:
    """A part of a file name for each policy; of equal ones, the later ones get their id."""
    found: dict[int, str] = {}
    for policy in rows.policies:
        slug = _slug(policy.name)
        found[policy.id] = f"{slug}-{policy.id}" if slug in found.values() else slug
    return found


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._]+", "-", name).strip("-.")[:80] or "unnamed"
