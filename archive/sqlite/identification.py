"""What a database file is: an archive of this version, of an older or a newer one, or none. The file is not trusted."""

import sqlite3
from collections.abc import Collection, Sequence
from pathlib import Path

from archive.errors import NewerArchive, NotAnArchive
from archive.sqlite.schema import (
    APPLICATION_ID,
    LATER_TABLES,
    MIGRATION_NAMES,
    MIGRATION_SET,
    MIGRATIONS_TABLE,
    TABLES,
)


def identify(connection: sqlite3.Connection, path: Path, known: Sequence[str] = MIGRATION_NAMES) -> list[str]:
    """Names of the migrations among `known` that the archive at `path` still needs. Only reads.

    Raises NotAnArchive if evopo did not write the database, and NewerArchive if it has migrations unknown to this version.
    """
    found = connection.execute("PRAGMA application_id").fetchone()[0]
    if found != APPLICATION_ID:
        if path.stat().st_size == 0:
            raise NotAnArchive(
                f"{path} is an empty file: it holds no run. evopo never leaves one: a copy may have failed (full disk), or another "
                "program created it. Get a fresh copy of the run, or delete the file, and `evopo run` can begin a run there"
            )
        raise NotAnArchive(
            f"{path} is an SQLite database, but not an evopo archive (its application id is {found:#x}, expected "
            f"{APPLICATION_ID:#x}); give the archive.db of a run directory"
        )
    # Only real tables: a virtual table or a view with one of these names would run code that the file's author chose.
    plain = {
        name
        for name, sql in connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'")
        if isinstance(sql, str) and sql.lstrip().upper().startswith("CREATE TABLE")
    }
    _require(path, plain, (*TABLES, MIGRATIONS_TABLE))
    for name in plain & {*TABLES, *LATER_TABLES, MIGRATIONS_TABLE}:
        for _, column, *_, hidden in connection.execute(f"PRAGMA table_xinfo({name})"):
            if hidden:  # a generated column runs an expression that the file's author chose, whenever it is read
                raise NotAnArchive(
                    f"{path} has a generated column {name}.{column}, which evopo never creates; get a fresh copy"
                )
    applied = [
        name
        for (name,) in connection.execute(
            f"SELECT name FROM {MIGRATIONS_TABLE} WHERE migration_set = ? ORDER BY rowid", (MIGRATION_SET,)
        )
    ]
    if unknown := [name for name in applied if name not in known]:
        raise NewerArchive(
            f"{path} was written by a newer evopo (it has the migration {unknown[0]}, which is unknown here); "
            "install a newer version of evopo, as its README says"
        )
    pending = [name for name in known if name not in applied]
    if not pending:
        _require(path, plain, LATER_TABLES)
    return pending


def require_no_triggers(connection: sqlite3.Connection, path: Path) -> None:
    """Raises NotAnArchive if the file has a trigger, which would run on writing. evopo creates none."""
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
