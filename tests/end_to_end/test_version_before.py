"""Runs recorded by an earlier evopo, whose archives have version 2: this one resumes, replays and reports them.

`data/interrupted_0_1` was killed in the search of its second session, with a reply that nobody had read, a candidate without a
verdict and a training under way. `data/finished_0_1` has its final. Archives are kept as SQL, as `sqlite3 archive.db .dump`
writes it. Their configurations name the baseline's settings as that version did (`ladder.yardstick_*`).
"""

from __future__ import annotations

import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from campaigns import Command, assert_sound

from archive.query import Reader
from archive.records import EvaluationState
from evo.campaign.backlog import unread_replies

DATA = Path(__file__).parent / "data"
SAME_COMMAND = (
    "--seed", "13", "--set", "task=classification", "--set", "workers=1", "--set", "fitness.train_items=200",
    "--set", "fitness.epochs=2", "--set", "fitness.short_epochs=1", "--set", "ladder.finalists=1",
    "--set", "ladder.finalist_seeds=2", "--set", "ladder.contenders=1", "--set", "ladder.contender_seeds=2",
    "--set", "ladder.yardstick_learning_rates=[0.5]", "--set", "ladder.yardstick_betas=[0.5, 2.0]",
    "--set", "ladder.yardstick_widenings=0", "--set", "pictures=false", "--set", "proposer=builtin",
    "--set", "budget.proposals=12", "--set", "seeds=[cross_entropy, mse]", "--set", "name=earlier",
    "--set", "refuse_notes=[SBX326]",
)  # fmt: skip


def restored(name: str, run: Path) -> Path:
    """Restores the directory of a recorded run at `run`. Returns the path of its archive."""
    shutil.copytree(DATA / name, run, ignore=shutil.ignore_patterns("archive.sql"))
    with closing(sqlite3.connect(run / "archive.db")) as database:
        database.executescript((DATA / name / "archive.sql").read_text("utf-8"))
    return run / "archive.db"


def known_of(archive: Path) -> tuple[dict[int, str | None], dict[int, float | None]]:
    """Recorded replies by proposal, and fitness by evaluation."""
    with Reader.open(archive) as reader:
        replies = {p.id: p.reply for p in reader.proposals() if p.reply is not None}
        return replies, {e.id: e.fitness for e in reader.evaluations(state=EvaluationState.SCORED)}


def test_an_interrupted_run_continues_to_its_end_and_replays(evo: Command) -> None:
    archive = restored("interrupted_0_1", evo.folder / "run")
    replies, scores = known_of(archive)
    with Reader.open(archive) as reader:
        begun = reader.evaluations(state=EvaluationState.RUNNING)
        assert unread_replies(reader) and reader.unvetted() and begun, "there is something of each kind to take up"
    resumed = evo.run("run", "--dir", "run", *SAME_COMMAND)
    assert resumed.code == 0, resumed.err
    assert "resumed" in resumed.out and "Settings changed" not in resumed.out, "what was renamed has not changed"
    assert_sound(archive)
    later = known_of(archive)
    assert replies.items() <= later[0].items() and scores.items() <= later[1].items()
    with Reader.open(archive) as reader:
        assert not unread_replies(reader) and not reader.unvetted()
        assert {p.step for p in reader.proposals() if p.reply is not None} == set(range(1, 13))
        assert {e.id for e in begun} <= later[1].keys()
        tuned = {e.learning_rate for e in reader.evaluations() if e.rung == "held_out"}
        assert tuned == {None, 0.0025}, "the baseline is tuned as the configuration of that version says"
    replayed = evo.run("replay", "run")
    assert replayed.code == 0, "what this version chose replays; what the earlier one chose is left out, and said so"
    assert re.search(r"All \d proposals replay: .* Left out: \d+ proposals of an earlier version", replayed.out)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("run", "run/config.yaml", "--seed", "19", "--dir", "run"), "run is finished: the budget of 12 proposals"),
        (("status", "run"), "Not distinguishable from cross_entropy"),
        (("show", "run", "11"), "best_logistic"),
        (("report", "run", "--no-pictures"), "report.html"),
        (("export", "run", "--format", "csv"), "exports"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_a_finished_run_is_read_by_every_command(evo: Command, command: tuple[str, ...], words: str) -> None:
    archive = restored("finished_0_1", evo.folder / "run")
    known = known_of(archive)
    read = evo.run(*command)
    assert read.code == 0, read.err
    assert words in read.out
    assert known_of(archive) == known


def test_a_run_of_an_earlier_selection_is_not_called_different(evo: Command) -> None:
    restored("finished_0_1", evo.folder / "run")
    replayed = evo.run("replay", "run")
    assert replayed.code == 1
    assert replayed.out.strip() == (
        "An earlier version of evopo made 12 proposals, with another selection; replay with that version."
    )
