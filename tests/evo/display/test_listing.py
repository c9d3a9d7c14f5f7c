"""`evopo ls`: every run of a directory has its line, whatever is in the others."""

import sqlite3
from pathlib import Path

import pytest

from archive.records import EventKind, RunRow
from archive.store import Archive
from evo.config.rundir import RunDirError
from evo.config.schema import parse_config
from evo.display.listing import runs_text

OLD = Path(__file__).parents[2] / "archive" / "data" / "version_1.sql"


def _run(folder, *events, name="embedded", identity=None):
    folder.mkdir(parents=True)
    config = parse_config({"budget": {"proposals": 12}}).model_dump(mode="json")
    archive = Archive.create(folder / "archive.db", RunRow(name, 0, "sentiment", "preference", identity or {}, config))
    for event in events:
        archive.event(event, {"config": config})
    return archive


def test_finished_interrupted_and_running_runs_are_told_apart(tmp_path):
    _run(tmp_path / "ended", EventKind.SESSION_STARTED, EventKind.FINISHED).close()
    _run(tmp_path / "stopped", EventKind.SESSION_STARTED).close()
    _run(tmp_path / "table", EventKind.SESSION_STARTED, EventKind.FINISHED, identity={"kind": "baselines"}).close()
    with _run(tmp_path / "going", EventKind.SESSION_STARTED):
        lines = {text.split()[0]: text for text in runs_text(tmp_path).splitlines()}
    assert "sentiment  finished" in lines["ended"] and "0 of 12" in lines["ended"]
    assert "interrupted" in lines["stopped"] and "running" in lines["going"]
    assert "baselines, finished" in lines["table"]


def test_a_run_that_was_continued_is_no_longer_finished(tmp_path):
    _run(tmp_path / "again", EventKind.SESSION_STARTED, EventKind.FINISHED, EventKind.SESSION_STARTED).close()
    assert "interrupted" in runs_text(tmp_path)


def test_broken_and_foreign_archives_are_named_and_hide_neither_others_nor_older_ones(tmp_path):
    _run(tmp_path / "good", EventKind.SESSION_STARTED).close()
    for name in ("broken", "foreign", "older", "empty", "no-run"):
        (tmp_path / name).mkdir()
    (tmp_path / "broken" / "archive.db").write_bytes(b"not a database, but long enough to be one" * 200)
    (tmp_path / "empty" / "archive.db").write_bytes(b"")
    with sqlite3.connect(tmp_path / "foreign" / "archive.db") as database:
        database.execute("CREATE TABLE diary (secret TEXT)")
    with sqlite3.connect(tmp_path / "older" / "archive.db") as database:
        database.executescript(OLD.read_text("utf-8"))
    (tmp_path / "a file").write_text("")
    lines = {text.split()[0]: text for text in runs_text(tmp_path).splitlines() if text}
    assert set(lines) == {"run", "good", "broken:", "foreign:", "older", "empty:"}
    assert all("cannot be read" in lines[name] for name in ("broken:", "foreign:", "empty:"))
    assert "interrupted" in lines["older"] and "interrupted" in lines["good"]
    with pytest.raises(RunDirError, match="broken: cannot be read"):
        runs_text(tmp_path / "broken")


def test_an_archive_whose_settings_are_nonsense_hides_nobody(tmp_path):
    with _run(tmp_path / "odd") as archive:
        archive.event(EventKind.SESSION_STARTED, {"config": "nothing"})
    _run(tmp_path / "good", EventKind.SESSION_STARTED).close()
    assert "odd" in runs_text(tmp_path) and "good" in runs_text(tmp_path)


def test_names_are_one_visible_line_each(tmp_path):
    _run(tmp_path / "evil\x1b[31m\nname", EventKind.SESSION_STARTED).close()
    text = runs_text(tmp_path)
    assert "\x1b" not in text and len(text.splitlines()) == 2


def test_a_narrow_terminal_gets_a_paragraph_for_each_run(tmp_path):
    _run(tmp_path / "stopped", EventKind.SESSION_STARTED).close()
    assert all(len(text) <= 40 for text in runs_text(tmp_path, 40).splitlines())


def test_one_run_can_be_named_itself_and_an_empty_directory_says_so(tmp_path):
    _run(tmp_path / "only", EventKind.SESSION_STARTED).close()
    assert "only" in runs_text(tmp_path / "only")
    (tmp_path / "none").mkdir()
    assert "No runs in" in runs_text(tmp_path / "none")
    with pytest.raises(RunDirError, match="No such file"):
        runs_text(tmp_path / "nowhere")
