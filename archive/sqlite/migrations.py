"""Migrations of an empty file or an older archive to the current schema. Each is recorded and runs in one transaction.

To change the schema, append a function `m007_...` decorated with `@MIGRATIONS()` that ends with `_stamp(db, 7)`, and its name to
`schema.MIGRATION_NAMES`. Do not change the functions before it. `sqlite_utils.Migrations` records the name of each in
`_sqlite_migrations`, in the transaction that applies it, so after a crash the archive has either the old schema or the new one.

Import this module where there is something to migrate: sqlite-utils loads pandas, which takes longer than reading an archive.
"""

import json
import sqlite3
from collections.abc import Mapping
from typing import Any

from sqlite_utils import Database, Migrations

from archive.sqlite.schema import (
    APPLICATION_ID,
    CHANGES_2,
    CHANGES_3,
    CHANGES_4,
    CHANGES_5,
    CHANGES_6,
    INDEXES_1,
    MIGRATION_SET,
    TABLES_1,
    VIEWS_1,
)

MIGRATIONS = Migrations(MIGRATION_SET)


@MIGRATIONS()  # type: ignore[untyped-decorator]
def m001_first_release(db: Database) -> None:
    """All tables, indexes and views."""
    for statement in (*TABLES_1, *INDEXES_1, *VIEWS_1):
        db.execute(statement)
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    _stamp(db, 1)


@MIGRATIONS()  # type: ignore[untyped-decorator]
def m002_baseline_prompts_items_curves(db: Database) -> None:
    """Adds columns for the baseline, prompts, items, training curves and judge costs.

    In runs of the first version, the baseline was the first seed loss.
    """
    for statement in CHANGES_2:
        db.execute(statement)
    db.execute("UPDATE run SET baseline = (SELECT name FROM candidate WHERE origin = 'seed' ORDER BY id LIMIT 1)")
    _stamp(db, 2)


@MIGRATIONS()  # type: ignore[untyped-decorator]
def m003_operators_by_name(db: Database) -> None:
    """Allows added operators in `proposal.operator`; before, only the four built-in ones were allowed."""
    for statement in CHANGES_3:
        db.execute(statement)
    _stamp(db, 3)


@MIGRATIONS()  # type: ignore[untyped-decorator]
def m004_packed(db: Database) -> None:
    """Packs what fills most of an archive. Verdicts of older versions keep their JSON text, which remains readable.

    Invalid hashes and prompts, which another person's archive may have, are kept as they are.
    """
    ids = {digest: id for id, (digest,) in enumerate(db.execute("SELECT hash FROM text ORDER BY rowid"), start=1)}
    db.conn.create_function("from_hex", 1, _bytes_of, deterministic=True)
    db.conn.create_function("by_id", 1, lambda prompt: _by_id(prompt, ids))
    for statement in CHANGES_4:
        db.execute(statement)
    _stamp(db, 4)


@MIGRATIONS()  # type: ignore[untyped-decorator]
def m005_variants(db: Database) -> None:
    """Adds tables for edited forms of candidates and their trainings."""
    for statement in CHANGES_5:
        db.execute(statement)
    _stamp(db, 5)


@MIGRATIONS()  # type: ignore[untyped-decorator]
def m006_judgements(db: Database) -> None:
    """Adds tables for judged policies, their answers and the judgements of these."""
    for statement in CHANGES_6:
        db.execute(statement)
    _stamp(db, 6)


def migrate(connection: sqlite3.Connection, migrations: Migrations = MIGRATIONS) -> list[str]:
    """Applies the pending migrations, each in a transaction of its own, and returns their names."""
    db = _database(connection)
    pending = [migration.name for migration in migrations.pending(db)]
    if pending:
        enforced = connection.execute("PRAGMA foreign_keys").fetchone()[0]
        connection.execute("PRAGMA foreign_keys = OFF")  # otherwise a table could not be dropped and created again
        try:
            migrations.apply(db)
        finally:
            connection.execute(f"PRAGMA foreign_keys = {enforced}")
    return pending


def _database(connection: sqlite3.Connection) -> Database:
    # Plugins of sqlite-utils that a user has installed must not run on an archive.
    return Database(connection, execute_plugins=False)


def _stamp(db: Database, version: int) -> None:
    """Sets `PRAGMA user_version`, for information only. The table of applied migrations decides what is pending."""
    db.execute(f"PRAGMA user_version = {version}")


def _bytes_of(digest: Any) -> Any:
    try:
        return bytes.fromhex(digest)
    except (TypeError, ValueError):
        return digest


def _by_id(prompt: Any, ids: Mapping[str, int]) -> Any:
    """The JSON of a prompt with the ids of texts instead of their hashes."""
    try:
        return json.dumps([[role, ids[digest]] for role, digest in json.loads(prompt)])
    except (TypeError, ValueError, KeyError, RecursionError):
        return prompt
