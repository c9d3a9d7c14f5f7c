"""From an empty file, or any earlier version, to the schema of today: recorded, and each in one transaction.

To change the schema, append a function `m004_...` decorated with `@MIGRATIONS()`, ending in `_stamp(db, 4)`, and leave
the functions before it alone. `sqlite_utils.Migrations` records the name of each in `_sqlite_migrations`, within the
transaction that applies it, so that a crash leaves either version whole.
"""

import sqlite3
from collections.abc import Collection, Sequence
from contextlib import closing
from pathlib import Path

from sqlite_utils import Database, Migrations

from archive.errors import NewerArchive, NotAnArchive
from archive.sqlite.schema import (
    APPLICATION_ID,
    CHANGES_2,
    CHANGES_3,
    INDEXES_1,
    LATER_TABLES,
    TABLES,
    TABLES_1,
    VIEWS_1,
)

MIGRATIONS = Migrations("evopo.archive")


@MIGRATIONS()  # type: ignore[untyped-decorator]
def m001_first_release(db: Database) -> None:
    """All tables, indexes and views."""
    for statement in (*TABLES_1, *INDEXES_1, *VIEWS_1):
        db.execute(statement)
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    _stamp(db, 1)


@MIGRATIONS()  # type: ignore[untyped-decorator]
def m002_baseline_prompts_items_curves(db: Database) -> None:
    """The baseline stands in the run; prompts, items, training curves and what judges cost are kept.

    Runs of the first version searched against their first seed loss, so that is their baseline.
    """
    for statement in CHANGES_2:
        db.execute(statement)
    db.execute("UPDATE run SET baseline = (SELECT name FROM candidate WHERE origin = 'seed' ORDER BY id LIMIT 1)")
    _stamp(db, 2)


@MIGRATIONS()  # type: ignore[untyped-decorator]
def m003_operators_by_name(db: Database) -> None:
    """A proposal's operator may be one that was added to the search; before, four were allowed."""
    for statement in CHANGES_3:
        db.execute(statement)
    _stamp(db, 3)


def migrate(connection: sqlite3.Connection, migrations: Migrations = MIGRATIONS) -> list[str]:
    """Applies what is pending, each migration in a transaction of its own, and returns the names."""
    db = _database(connection)
    pending = [migration.name for migration in migrations.pending(db)]
    if pending:
        enforced = connection.execute("PRAGMA foreign_keys").fetchone()[0]
        connection.execute("PRAGMA foreign_keys = OFF")  # else a table could not be replaced by another of its name
        try:
            migrations.apply(db)
        finally:
            connection.execute(f"PRAGMA foreign_keys = {enforced}")
    return pending


def identify(connection: sqlite3.Connection, path: Path, migrations: Migrations = MIGRATIONS) -> list[str]:
    """Names of the migrations that the archive at `path` still needs, reading only.

    Raises NotAnArchive if the database is somebody else's, and NewerArchive if it has had migrations unknown here.
    """
    found = connection.execute("PRAGMA application_id").fetchone()[0]
    if found != APPLICATION_ID:
        raise NotAnArchive(
            f"{path} is an SQLite database, but not an evopo archive (its application id is {found:#x}, expected "
            f"{APPLICATION_ID:#x}); give the archive.db of a run directory"
        )
    # Only true tables: a virtual table or a view by one of our names would run code of its maker's choice.
    plain = {
        name
        for name, sql in connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'")
        if isinstance(sql, str) and sql.lstrip().upper().startswith("CREATE TABLE")
    }
    _require(path, plain, (*TABLES, Migrations.migrations_table))
    for name in plain & {*TABLES, *LATER_TABLES}:
        for _, column, *_, hidden in connection.execute(f"PRAGMA table_xinfo({name})"):
            if hidden:  # computed from an expression of its maker's choice whenever it is read
                raise NotAnArchive(f"{path} computes the column {name}.{column}, which no evopo made; get a fresh copy")
    db = _database(connection)
    with closing(sqlite3.connect(":memory:")) as empty:
        known = {migration.name for migration in migrations.pending(_database(empty))}
    if unknown := [migration.name for migration in migrations.applied(db) if migration.name not in known]:
        raise NewerArchive(
            f"{path} was written by a newer evopo (it has had the migration {unknown[0]}, unknown here); "
            "upgrade with: pip install -U evopo"
        )
    pending = [migration.name for migration in migrations.pending(db)]
    if not pending:
        _require(path, plain, LATER_TABLES)
    return pending


def require_no_triggers(connection: sqlite3.Connection, path: Path) -> None:
    """Raises NotAnArchive if writing would run what somebody else put there: evopo makes no triggers."""
    found = connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger' LIMIT 1").fetchone()
    if found:
        raise NotAnArchive(
            f"{path} has the trigger {found[0]!r}, which would run when it is written to; remove it with DROP TRIGGER in the "
            "sqlite3 shell, or get a fresh copy"
        )


def _require(path: Path, there: Collection[str], wanted: Sequence[str]) -> None:
    if missing := [name for name in wanted if name not in there]:
        raise NotAnArchive(
            f"{path} claims to be an evopo archive, but lacks the table {missing[0]}; get a fresh copy of it"
        )


def _database(connection: sqlite3.Connection) -> Database:
    # Plugins of sqlite-utils that a user has installed for other work have no business in an archive.
    return Database(connection, execute_plugins=False)


def _stamp(db: Database, version: int) -> None:
    """Writes the version where `PRAGMA user_version` shows it, for people; the record of migrations is what counts."""
    db.execute(f"PRAGMA user_version = {version}")
