"""Migrations: from every earlier version, complete or not at all; released ones never change."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlite_utils import Database, Migrations

from archive.query import Reader
from archive.records import (
    EvaluationState,
    Origin,
    ProposalState,
    Role,
)
from archive.sqlite.identification import identify
from archive.sqlite.migrations import (
    MIGRATIONS,
    m001_first_release,
    m002_baseline_prompts_items_curves,
    m003_operators_by_name,
    m004_packed,
    m005_variants,
    m006_judgements,
    migrate,
)
from archive.sqlite.schema import APPLICATION_ID, MIGRATION_NAMES
from archive.store import Archive
from sandbox.verdicts.verdict import VerdictStatus

LATER = (*MIGRATION_NAMES, "m007_notes")
DUMPS = sorted((Path(__file__).parents[1] / "data").glob("version_*.sql"))


def schema(path: Path) -> list[tuple[str, str, str]]:
    with closing(sqlite3.connect(path)) as connection:
        return sorted(
            (kind, name, " ".join((sql or "").split()))
            for kind, name, sql in connection.execute("SELECT type, name, sql FROM sqlite_master")
        )


@pytest.fixture
def later() -> Migrations:
    """The current migrations and one more."""
    migrations = Migrations(MIGRATIONS.name)
    migrations()(m001_first_release)
    migrations()(m002_baseline_prompts_items_curves)
    migrations()(m003_operators_by_name)
    migrations()(m004_packed)
    migrations()(m005_variants)
    migrations()(m006_judgements)

    @migrations()
    def m007_notes(db: Database) -> None:
        db.execute("ALTER TABLE candidate ADD COLUMN note TEXT")
        db.execute("DROP VIEW refusals")
        db.execute("CREATE VIEW refusals AS SELECT candidate_id, rule FROM finding")
        db.execute("PRAGMA user_version = 7")

    return migrations


@pytest.fixture
def connection(path, archive) -> Iterator[sqlite3.Connection]:
    archive.close()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


def test_there_is_test_data_of_every_released_version():
    with closing(sqlite3.connect(":memory:")) as empty:
        migrate(empty)
        version = empty.execute("PRAGMA user_version").fetchone()[0]
    assert [dump.stem for dump in DUMPS] == [f"version_{n}" for n in range(1, version + 1)]


@pytest.mark.parametrize("dump", DUMPS, ids=lambda dump: dump.stem)
def test_every_released_version_is_upgraded_with_its_rows(dump, path, run, tmp_path):
    with closing(sqlite3.connect(path)) as old:
        old.executescript(dump.read_text())
    with Archive.open(path) as archive, Reader.open(path) as reader:
        assert reader.problems() == []
        assert reader.run().name == "example"
        assert reader.run().baseline == "dpo"
        assert [row.name for row in reader.candidates()] == ["dpo", "child"]
        assert reader.evaluations(state=EvaluationState.SCORED)[0].fitness == 0.5
        assert reader.proposals()[0].reply == "the reply"
        assert len(reader.findings()) == 1
        assert (reader.verdicts()[0].graph, reader.verdicts()[0].fingerprint) == ("{}", {"key": "k"})
        prompts = [reader.prompt(row.id) for row in reader.proposals()]
        assert [text[:5] for text in prompts if text][:1] in ([], [[("system", "hello"), ("user", "again")]])
        assert sum(text is not None for text in prompts) == {"1": 0, "2": 1, "3": 1}.get(dump.stem[-1], 3)
        asked = archive.request_proposal(7, 1, "simplify", "builtin", None, None, "", {}, 0)
        assert reader.proposal(asked).operator == "simplify", "an operator that no version had"
        archive.add_candidate("seed", "new", "", "source", "preference")
    Archive.create(tmp_path / "fresh.db", run).close()
    assert schema(path) == schema(tmp_path / "fresh.db")


def test_an_empty_file_becomes_an_archive(tmp_path):
    with closing(sqlite3.connect(tmp_path / "x.db", isolation_level=None)) as connection:
        assert migrate(connection) == list(MIGRATION_NAMES)
        assert migrate(connection) == []
        assert connection.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID


def test_a_further_migration_can_be_added(connection, path, later):
    assert identify(connection, path, LATER) == ["m007_notes"]
    assert migrate(connection, later) == ["m007_notes"]
    assert identify(connection, path, LATER) == []
    connection.execute("SELECT note FROM candidate")
    assert connection.execute("PRAGMA user_version").fetchone()[0] == 7
    names = [row[0] for row in connection.execute("SELECT name FROM _sqlite_migrations ORDER BY id")]
    assert names == list(LATER)


def test_an_interrupted_migration_leaves_the_version_before(connection, path, later):
    before = schema(path)

    @later()
    def m007_breaks(db: Database) -> None:
        db.execute("DROP VIEW leaderboard")
        db.execute("ALTER TABLE event ADD COLUMN extra TEXT")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        migrate(connection, later)
    assert identify(connection, path, (*LATER, "m007_breaks")) == ["m007_breaks"], "the one before it stays"
    assert "extra" not in str(schema(path)) and "leaderboard" in str(schema(path))
    assert schema(path) != before


@pytest.mark.parametrize(
    ("table", "column", "kinds"),
    [
        ("candidate", "origin", Origin),
        ("parent", "role", Role),
        ("proposal", "state", ProposalState),
        ("verdict", "status", VerdictStatus),
        ("evaluation", "state", EvaluationState),
    ],
)
def test_the_tables_allow_the_values_of_the_enums(connection, table, column, kinds):
    sql = connection.execute("SELECT sql FROM sqlite_master WHERE name = ?", (table,)).fetchone()[0]
    allowed = ", ".join(f"'{kind}'" for kind in kinds)
    assert f"{column} IN ({allowed})" in sql or sorted(allowed.split(", ")) == sorted(
        sql.split(f"{column} IN (")[1].split(")")[0].split(", ")
    )
