"""Invalid archives, by damage or by intent. Shared by tests."""

from __future__ import annotations

import json
import math
import random
import shutil
import sqlite3
import zlib
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from hostile_texts import STEERING

from analysis.claims.autopsy import PURPOSE, Plan
from analysis.recorded import graph_of
from archive.errors import ArchiveError
from archive.judgements import AnswerRow, JudgementRow
from archive.query import Reader
from archive.records import EventKind, Items, Usage
from archive.sqlite.packed import is_packed, pack, unpack
from archive.store import Archive
from evo.autopsy.plan import distinct_parts
from sandbox.graph.edits.edit import edited
from sandbox.identity.canonical import canonical_hash
from sandbox.verdicts.verdict import VerdictStatus

WHOLE = (0, -1, 1, 7, 2**31, 2**53 + 1, 2**63 - 1, -(2**63))
REAL = (0.5, -1e-320, 1e16, 1e140, 1e200, 1.7e308, -1.7e308, float("inf"))
TEXTS = (
    "", "nan", "inf", "-inf", "dpo", STEERING, "x" * 100_000, "2026-01-01T00:00:00+00:00", "9999-99-99T99:99:99+99:99",
    "0001-01-01T00:00:00+23:59", "2026-01-01", "[]", "{}", "null", "3", "true", '"text"', "[1,2", '{"a":', "[" * 5000,
    "[" * 500 + "]" * 500, '{"a":' * 300 + "1" + "}" * 300, "9" * 5000, "1e999", "NaN", "[NaN]", '["\\ud800"]',
    '{"config": null}', '{"config": {"budget": 3}}',
)  # fmt: skip
LEAVES: tuple[Any, ...] = (
    None, True, 0, -1, 2**62, 10**40, 10**400, 1e308, -1e308, 0.5, "", "nan", "inf", "text", STEERING, [], {}, [None],
    {"a": {}}, [[1, 2], 3],
)  # fmt: skip


def tables_of(connection: sqlite3.Connection) -> dict[str, list[str]]:
    """The tables of an archive's schema, each with its columns."""
    names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'")
    found = [name for (name,) in names if not name.startswith("_")]
    return {name: [row[1] for row in connection.execute(f'PRAGMA table_info("{name}")')] for name in found}


def without_constraints(path: Path) -> None:
    """Removes all constraints, keys and indexes from an archive, so that cells allow any value."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        for (view,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'view'").fetchall():
            connection.execute(f'DROP VIEW "{view}"')
        for name in tables_of(connection):
            connection.execute(f'CREATE TABLE "loose_{name}" AS SELECT * FROM "{name}"')
            connection.execute(f'DROP TABLE "{name}"')
            connection.execute(f'ALTER TABLE "loose_{name}" RENAME TO "{name}"')
        connection.commit()


def with_everything(archive: Path) -> None:
    """Adds rare rows to a run's archive: items, curves, judge costs, charges, interrupted, failed and lost calls."""
    with Reader.open(archive) as reader:
        task, rung = reader.run().task, reader.evaluations()[0].rung
        candidate, step = reader.candidates()[0].id, max(p.step for p in reader.proposals()) + 1
    asked = {"parents": [{"id": candidate, "role": "refined"}], "island": 0}
    with Archive.open(archive) as write:
        for seed, paid in enumerate((Usage(100, 20, 0.5), Usage(7, 3)), 900):
            id = write.queue_evaluation(candidate, task, rung, seed, 0.3)
            write.start_evaluation(id)
            write.charge("judge", paid, id)
            write.score_evaluation(
                id, 0.5, {"reward": math.nan, "kl": math.inf}, 1.0, 10, items=Items((0.25, 0.75), ("a", "b")),
                curves={"loss": [(0, 1.0), (5, math.nan)], "margin": [(0, 0.0)]}, judged=paid,
            )  # fmt: skip
        write.start_evaluation(write.queue_evaluation(candidate, task, rung, 990))
        write.fail_evaluation(write.queue_evaluation(candidate, task, rung, 991), "diverged", "the loss became nan")
        write.charge("proposer", Usage(5, 5, 0.01))
        for attempt, prompt in enumerate((None, [("system", "be brief"), ("user", "a loss, please")]), 1):
            seen = write.last_event()
            write.request_proposal(step, attempt, "refine", "openai", "model-a", 0.7, "t", asked, seen, prompt=prompt)
        write.recover()
        write.event("settings_changed", {"workers": 2})
        _with_judgements(write)
        _with_autopsy(write, rung)


def _with_judgements(write: Archive) -> None:
    """Adds a judged policy, an answer, a judgement, and a request to the judge that was never answered."""
    judged = write.judgements
    policy = judged.add_policy("dpo, seed 1", "trained", "digest", loss="dpo", seed=1, recipe={"beta": 0.5})
    (answer,) = judged.add_answers(
        [AnswerRow(0, policy, "mt-bench", "81", "writing", ("a", "b"), 0, 2, {"kl": math.inf}, "k")]
    )
    row = JudgementRow(
        0, "mt-bench", "81", "writing", 1, "single", "00" * 32, "judge", answer, None, 7.0, "[[7]]", Usage(9, 4, 0.1), "q",
        {"m": -0.1},
    )  # fmt: skip
    judged.add_judgement(row, judged.ask("q", Usage(20, 8, 0.3)))
    judged.ask("r", Usage(20, 8, 0.3))
    judged.fail_policy("slic", 1, "other", "diverged", "the loss became nan")


def _with_autopsy(write: Archive, rung: str) -> None:
    """Adds a begun autopsy: its plan, the whole loss with a score, and one variant with a failed training."""
    with Reader.open(write.path) as reader:
        graphs = {v.candidate_id: graph_of(v) for v in reader.verdicts() if v.status == VerdictStatus.ACCEPTED}
    id, found = next((id, found) for id, graph in graphs.items() if (found := distinct_parts(graph, ())))
    write.event(EventKind.AUTOPSY, Plan(id, rung, (901, 902), (903, 904), found).to_json())
    for edits in ([], [found[0].edit]):
        changed = edited(graphs[id], edits)
        variant = write.variants.add(
            id, PURPOSE, [e.to_json() for e in edits], changed.to_json(), canonical_hash(changed)
        )
        write.variants.vet(variant, "accepted", [])
        write.variants.score(variant, rung, 901, 0.5, {"kl": math.inf}, 1.0, items=Items((0.25, 0.75), ("a", "b")))
        write.variants.fail(variant, rung, 902, "diverged", "the loss became nan", judged=Usage(7, 3))


def mutated(sound: Path, loose: Path, target: Path, dice: random.Random) -> str:
    """Writes an invalid archive to `target`, from a valid one and one without constraints. Returns a description of the change.

    A run can go on in an archive that was sound: give that twice, and what its keys do not allow is left out.
    """
    kind = dice.choices(["cells", "rows", "schema", "bytes"], [12, 3, 3, 2])[0]
    shutil.copyfile(sound if kind in ("schema", "bytes") else loose, target)
    if kind == "bytes":
        return _flip(target, dice)
    done = []
    with closing(sqlite3.connect(target)) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        for _ in range(dice.choice([1, 1, 1, 3])):
            with suppress(sqlite3.Error):
                done.append(_STEPS[kind](connection, dice))
        connection.commit()
    return "; ".join(done) or "nothing"


def _cell(connection: sqlite3.Connection, dice: random.Random) -> str:
    tables = tables_of(connection)
    table = dice.choice(sorted(tables))
    column = dice.choice(tables[table])
    rows = [row[0] for row in connection.execute(f'SELECT rowid FROM "{table}"')]
    if not rows:
        return f"{table} is empty"
    chosen = rows if dice.random() < 0.15 else [dice.choice(rows)]
    old = connection.execute(f'SELECT "{column}" FROM "{table}" WHERE rowid = ?', (chosen[0],)).fetchone()[0]
    if dice.random() < 0.05:
        marks = ",".join(map(str, chosen))
        connection.execute(f'UPDATE "{table}" SET "{column}" = CAST(x\'80ff41\' AS TEXT) WHERE rowid IN ({marks})')
        return f"{table}.{column} is no UTF-8"
    new = _value(old, connection, table, column, dice)
    for row in chosen:
        connection.execute(f'UPDATE "{table}" SET "{column}" = ? WHERE rowid = ?', (new, row))
    return f"{table}.{column} of {'all rows' if len(chosen) > 1 else chosen[0]} = {str(new)[:60]!r}"


def _value(old: Any, connection: sqlite3.Connection, table: str, column: str, dice: random.Random) -> Any:
    kind = dice.choice(["null", "whole", "real", "text", "blob", "other row", "inside", "inside", "inside"])
    match kind:
        case "null":
            return None
        case "whole":
            return dice.choice(WHOLE)
        case "real":
            return dice.choice(REAL)
        case "text":
            return dice.choice(TEXTS)
        case "blob":
            content = dice.choice(TEXTS).encode("utf-8", "surrogatepass")
            return dice.choice([b"\x00\xff", content, zlib.compress(content), zlib.compress(b" " * 2**24)[:-9]])
        case "other row":
            return dice.choice(connection.execute(f'SELECT "{column}" FROM "{table}"').fetchall())[0]
    return _inside(old, dice)


def _inside(old: Any, dice: random.Random) -> Any:
    """The value with one part changed, if it is JSON or compressed JSON."""
    try:
        value = json.loads(_read(old))
    except (ArchiveError, TypeError, ValueError, zlib.error):
        return old[: len(old) // 2] if isinstance(old, str | bytes) else dice.choice(LEAVES[:5])
    text = json.dumps(_changed(value, dice))
    if not isinstance(old, bytes):
        return text
    return pack(text) if is_packed(old) else zlib.compress(text.encode())


def _read(old: Any) -> Any:
    if not isinstance(old, bytes):
        return old
    return unpack(old, "a cell") if is_packed(old) else zlib.decompress(old)


def _changed(value: Any, dice: random.Random) -> Any:
    if not isinstance(value, dict | list) or not value or dice.random() < 0.1:
        return dice.choice(LEAVES)
    keys: list[Any] = list(value) if isinstance(value, dict) else list(range(len(value)))
    key = dice.choice(keys)
    if dice.random() < 0.15:
        del value[key]
    else:
        value[key] = _changed(value[key], dice)
    return value


def _row(connection: sqlite3.Connection, dice: random.Random) -> str:
    table = dice.choice(sorted(tables_of(connection)))
    rows = [row[0] for row in connection.execute(f'SELECT rowid FROM "{table}"')]
    chosen = rows if dice.random() < 0.1 or not rows else [dice.choice(rows)]
    which = f"WHERE rowid IN ({','.join(map(str, chosen))})"
    if dice.random() < 0.6:
        connection.execute(f'DELETE FROM "{table}" {which}')
        return f"rows of {table} are gone"
    connection.execute(f'INSERT INTO "{table}" SELECT * FROM "{table}" {which}')
    return f"rows of {table} are there twice"


def _schema(connection: sqlite3.Connection, dice: random.Random) -> str:
    tables = tables_of(connection)
    table = dice.choice(sorted(tables))
    column = dice.choice(tables[table])
    for (view,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'view'").fetchall():
        connection.execute(f'DROP VIEW "{view}"')
    change = dice.choice(
        [
            f'ALTER TABLE "{table}" DROP COLUMN "{column}"',
            f'ALTER TABLE "{table}" RENAME COLUMN "{column}" TO "{column}r"',
            f'ALTER TABLE "{table}" RENAME TO "{table}s"',
            f'DROP TABLE "{table}"',
            f"ALTER TABLE \"{table}\" ADD COLUMN extra TEXT DEFAULT 'more'",
            "PRAGMA user_version = 99",
            "PRAGMA application_id = 3",
            "DELETE FROM _sqlite_migrations",
            "UPDATE _sqlite_migrations SET name = 'm999'",
        ]
    )
    connection.execute(change)  # fails if an index uses the column
    return change


def _flip(path: Path, dice: random.Random) -> str:
    content = bytearray(path.read_bytes())
    number = dice.choice([1, 8, 64, 512])
    for _ in range(number):
        content[dice.randrange(len(content))] = dice.randrange(256)
    path.write_bytes(content[: dice.randrange(len(content))] if dice.random() < 0.15 else content)
    return f"{number} bytes are others"


_STEPS: dict[str, Callable[[sqlite3.Connection, random.Random], str]] = {
    "cells": _cell,
    "rows": _row,
    "schema": _schema,
}
