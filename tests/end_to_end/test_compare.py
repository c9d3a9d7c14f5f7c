"""`evopo compare` as a user runs it: on real runs, on runs of earlier versions and on runs in progress, and with wrong input."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from campaigns import QUICK, Command

from archive.store import Archive

OLD = Path(__file__).parents[1] / "archive" / "data"


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the other mode than `finished`, with the same seed."""
    folder = tmp_path_factory.mktemp("chat")
    settings = ("--set", "search.mode=chat", "--set", "budget.proposals=8", "--set", "ladder.finalists=0")
    result = Command(folder).run("run", "--dir", "run", *QUICK, *settings)
    assert result.code == 0, result.err
    return folder / "run"


def test_two_real_runs_are_compared(evo: Command, finished: Path, chat: Path) -> None:
    result = evo.run(
        "compare", str(finished), str(chat), "--by", "search.mode", "--out", "compare.html", "--no-pictures"
    )
    assert result.code == 0, result.err
    assert "Strategy population: search.mode=population" in result.out
    assert "Strategy chat: search.mode=chat" in result.out
    assert "no test is possible" in result.out
    assert result.out.rstrip().endswith("Page: compare.html")
    assert "chat" in (evo.folder / "compare.html").read_text("utf-8")


def test_other_forms_hold_nothing_but_the_comparison(evo: Command, finished: Path, chat: Path) -> None:
    given = ("compare", str(finished), str(chat), "--against", "proposals", "--label", "chat=DiscoPOP")
    result = evo.run(*given, "--format", "json", "--out", "page.html", "--no-pictures")
    assert result.code == 0, result.err
    data = json.loads(result.out)
    assert data["up_to"] == 8
    assert [strategy["label"] for strategy in data["strategies"]] == ["population", "DiscoPOP"]
    assert result.err.strip() == "Page: page.html"


def test_runs_in_progress_are_compared_and_said_to_be_so(evo: Command, finished: Path, chat: Path) -> None:
    shutil.copytree(finished, evo.folder / "running")
    with closing(sqlite3.connect(evo.folder / "running" / "archive.db")) as database, database:
        database.execute("DELETE FROM event WHERE kind = 'finished'")
    with Archive.open(evo.folder / "running" / "archive.db"):
        result = evo.run("compare", "running", str(chat))
    assert result.code == 0, result.err
    assert "Not finished: running." in result.out


@pytest.fixture
def old(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[tuple[Path, Path]]:
    """Two runs with an archive of an earlier version, which differ in seed. The second training becomes one of the proposal."""
    scored = "candidate_id = 2, seed = 0, beta = NULL, state = 'scored', fitness = 0.6, reason = NULL"
    places = []
    for seed in (3, 4):
        (tmp_path / f"old-{seed}").mkdir()
        places.append(tmp_path / f"old-{seed}")
        with closing(sqlite3.connect(places[-1] / "archive.db")) as database, database:
            database.executescript((OLD / f"version_{request.param}.sql").read_text("utf-8"))
            database.execute("UPDATE run SET seed = ?", (seed,))
            database.execute(f"UPDATE evaluation SET {scored} WHERE id = 2")
    yield places[0], places[1]


@pytest.mark.parametrize("old", [1, 2, 3], indirect=True)
def test_archives_of_earlier_versions_are_read_and_not_changed(evo: Command, old: tuple[Path, Path]) -> None:
    before = [(place / "archive.db").read_bytes() for place in old]
    result = evo.run("compare", *map(str, old))
    assert result.code == 0, result.err
    assert "2 runs of 1 strategy" in result.out
    assert [(place / "archive.db").read_bytes() for place in old] == before


# ---- wrong input ---------------------------------------------------------------------------------------------------


def test_one_directory_is_too_few(evo: Command, finished: Path) -> None:
    result = evo.run("compare", str(finished))
    assert (result.code, result.out) == (2, "")
    assert "two or more runs" in result.err


def test_a_directory_given_twice_is_named(evo: Command, finished: Path) -> None:
    result = evo.run("compare", str(finished), str(finished / ".." / finished.name))
    assert result.code == 2
    assert "is given twice" in result.err


def test_a_copy_of_a_run_is_no_second_sample(evo: Command, finished: Path) -> None:
    shutil.copytree(finished, evo.folder / "copy")
    result = evo.run("compare", str(finished), "copy")
    assert result.code == 1
    assert "the same settings and the same seed 0" in result.err


@pytest.mark.parametrize("place", ["nowhere", "empty"])
def test_a_directory_without_a_run_is_named(evo: Command, finished: Path, place: str) -> None:
    (evo.folder / "empty").mkdir()
    result = evo.run("compare", str(finished), place)
    assert result.code == 2
    assert f"{place} holds no run" in result.err


@pytest.mark.parametrize("old", [3], indirect=True)
def test_runs_of_other_tasks_are_refused_with_the_keys_that_differ(
    evo: Command, finished: Path, old: tuple[Path, Path]
) -> None:
    result = evo.run("compare", str(finished), str(old[0]))
    assert (result.code, result.out) == (1, "")
    assert "measure different things: " in result.err and "task is classification and" in result.err


def test_a_label_without_a_name_is_wrong_use(evo: Command, finished: Path, chat: Path) -> None:
    result = evo.run("compare", str(finished), str(chat), "--label", "chat")
    assert result.code == 2
    assert "expected OLD=NEW" in result.err
