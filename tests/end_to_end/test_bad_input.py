"""Wrong use of the command line: one clear message, the documented exit code, nothing overwritten."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from campaigns import QUICK, Command

from archive.query import Reader


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--set", "bugdet.proposals=3"), ("unknown key bugdet", "budget")),
        (("--set", "budget.proposal=3"), ("unknown key budget.proposal", "proposals")),
        (("--set", "budget.proposals=many"), ("budget.proposals", "many")),
        (("--set", "task=sentimental"), ("unknown task", "sentiment")),
        (("--set", "fitness.betta=1"), ("betta", "beta")),
        (("--set", "fitness.beta=-1"), ("beta",)),
        (("--set", "justakey"), ("KEY=VALUE",)),
        (("--set", "seeds=[nosuchloss]"), ("nosuchloss", "dpo")),
        (
            ("--set", "task=preference", "--set", "fitness.model=./gone", "--set", "fitness.data=x/y"),
            ("fitness.model", "gone"),
        ),
        (
            ("--set", "task=preference", "--set", "fitness.model=a/b", "--set", "fitness.data=gone.jsonl"),
            ("fitness.data",),
        ),
        (("--set", "budget.usd=1"), ("budget.usd", "usd_per_million_in")),
        (("missing.yaml",), ("no such configuration file", "missing.yaml")),
        (("--seed", "-3"), ("seed",)),
    ],
    ids=lambda v: " ".join(v)[:40] if isinstance(v, tuple) else None,
)
def test_wrong_configuration_is_named(evo: Command, arguments: tuple[str, ...], words: tuple[str, ...]) -> None:
    result = evo.run("run", "--dir", "run", *arguments)
    assert result.code == 2, result.err
    for word in words:
        assert word in result.err
    assert "Traceback" not in result.err
    assert not (evo.folder / "run").exists()


@pytest.mark.parametrize("text", ["- a\n- list\n", "a: [unclosed\n", "\x00\x01"], ids=["list", "broken", "binary"])
def test_a_file_that_is_no_configuration_is_refused(evo: Command, text: str) -> None:
    (evo.folder / "config.yaml").write_text(text)
    result = evo.run("run", "config.yaml")
    assert result.code == 2 and "config.yaml" in result.err and "Traceback" not in result.err


def test_another_programs_database_is_refused_and_unchanged(evo: Command) -> None:
    path = evo.folder / "run" / "archive.db"
    path.parent.mkdir()
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE diary (secret TEXT)")
    before = path.read_bytes()
    result = evo.run("run", "--dir", "run", *QUICK)
    assert result.code == 1 and "archive.db" in result.err and "Traceback" not in result.err
    assert path.read_bytes() == before


def test_a_file_that_is_no_database_is_refused(evo: Command) -> None:
    path = evo.folder / "run" / "archive.db"
    path.parent.mkdir()
    path.write_bytes(b"not a database at all, but long enough to be read" * 100)
    for command in (("run", "--dir", "run", *QUICK), ("status", "run"), ("report", "run")):
        result = evo.run(*command)
        assert result.code == 1 and "archive.db" in result.err and "Traceback" not in result.err


def test_an_empty_archive_is_refused_and_the_run_begins_once_it_is_deleted(evo: Command) -> None:
    path = evo.folder / "run" / "archive.db"
    path.parent.mkdir()
    path.touch()
    begin = ("run", "--dir", "run", *QUICK, "--set", "budget.proposals=0")
    for command in (
        begin,
        (*begin, "--dry-run"),
        ("status", "run"),
        ("show", "run"),
        ("inject", "run", "a.py"),
        ("ls", "run"),
    ):
        result = evo.run(*command)
        assert result.code in (1, 2) and "is an empty file: it holds no run" in result.err, result.err
    assert path.stat().st_size == 0
    path.unlink()
    assert evo.run(*begin).code == 0


def test_a_directory_without_a_run_is_refused(evo: Command) -> None:
    for command in (
        ("status", "."),
        ("show", ".", "1"),
        ("report", "."),
        ("export", ".", "--format", "dot"),
        ("replay", "nowhere"),
    ):
        result = evo.run(*command)
        assert result.code == 2 and "holds no run" in result.err


def test_a_file_in_place_of_the_run_directory_is_refused(evo: Command) -> None:
    (evo.folder / "run").write_text("in the way")
    result = evo.run("run", "--dir", "run", *QUICK)
    assert result.code == 2 and "run: a file has this name; choose another with --dir" in result.err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_without_write_permission_is_refused(evo: Command) -> None:
    place: Path = evo.folder / "run"
    place.mkdir(mode=0o500)
    result = evo.run("run", "--dir", "run", *QUICK)
    assert result.code == 2 and "not writable" in result.err


def test_a_directory_of_another_task_is_refused(evo: Command, finished: Path) -> None:
    result = evo.run("run", "--dir", str(finished))
    assert result.code == 2 and "holds another run: task would change" in result.err
    result = evo.run("run", "--dir", str(finished), *QUICK, "--set", "fitness.epochs=2")
    assert result.code == 2 and "holds another run: fitness.epochs would change" in result.err


def test_a_configuration_without_trainings_may_be_corrected(evo: Command) -> None:
    wrong = evo.run("run", "--dir", "run", *QUICK, "--set", "budget.proposals=0", "--set", "fitness.train_items=100000")
    assert wrong.code == 1 and "train_items" in wrong.err and "Traceback" not in wrong.err
    right = evo.run("run", "--dir", "run", *QUICK, "--set", "budget.proposals=0")
    assert right.code == 0 and "Search ended" in right.out
    assert "Search ended" in (evo.folder / "run" / "run.log").read_text("utf-8")


def test_a_run_without_a_result_is_replaced_unless_a_person_gave_something_to_it(evo: Command) -> None:
    wrong = evo.run("run", "--dir", "run", *QUICK, "--set", "fitness.train_items=100000")
    assert wrong.code == 1 and "train_items" in wrong.err
    other = ("run", "--dir", "run", *QUICK, "--set", "fitness.epochs=2", "--set", "budget.proposals=0")
    assert "which this run would replace" in evo.run(*other, "--dry-run").out
    assert evo.run("note", "run", "--run", "do not lose this").code == 0
    for command in (other, (*other, "--dry-run")):
        refused = evo.run(*command)
        assert (
            refused.code == 2
            and "run holds another run: fitness.epochs, fitness.train_items would change" in refused.err
        )
    assert "do not lose this" in evo.run("status", "run").out
    (evo.folder / "run" / "archive.db").unlink()
    assert evo.run("run", "--dir", "run", *QUICK, "--set", "fitness.train_items=100000").code == 1
    assert "replaces a run with other settings that had no result" in evo.run(*other).out


def test_a_dry_run_in_the_directory_of_another_run_is_refused_like_the_run(evo: Command, finished: Path) -> None:
    command = ("run", "--dir", str(finished), *QUICK, "--set", "fitness.epochs=2")
    for arguments in (command, (*command, "--dry-run", "--offline")):
        refused = evo.run(*arguments)
        assert refused.code == 2 and "holds another run: fitness.epochs would change" in refused.err


def test_baselines_and_searches_refuse_each_others_directories(evo: Command, finished: Path) -> None:
    quick = QUICK[: QUICK.index("ladder.finalists=2") - 1]
    taken = evo.run("baselines", "--dir", str(finished), *quick, "--loss", "mse", "--seeds", "1")
    assert taken.code == 2 and "run holds a search; choose another directory" in taken.err
    assert evo.run("baselines", "--dir", "base", *quick, "--loss", "mse", "--seeds", "1").code == 0
    taken = evo.run("run", "--dir", "base", *QUICK)
    assert taken.code == 2 and "base holds baselines; choose another directory" in taken.err


def test_baselines_report_a_faulty_task_and_record_no_failure(evo: Command) -> None:
    quick = QUICK[: QUICK.index("ladder.finalists=2") - 1]
    wrong = evo.run("baselines", "--dir", "base", *quick, "--set", "fitness.train_items=100000")
    assert (
        wrong.code == 1
        and wrong.err.startswith("error: ")
        and "train_items" in wrong.err
        and "Traceback" not in wrong.err
    )
    with Reader.open(evo.folder / "base" / "archive.db") as reader:
        assert not [e for e in reader.evaluations() if e.finished_event]


@pytest.mark.parametrize("command", ["run", "baselines"])
def test_a_launcher_that_does_not_exist_is_refused(evo: Command, command: str) -> None:
    result = evo.run(command, "--dir", "run", "--set", "launcher=[accelerat, launch]")
    assert (
        result.code == 2 and "the launcher 'accelerat' is not a command" in result.err and "Traceback" not in result.err
    )
    assert not (evo.folder / "run").exists()


def test_a_machine_that_can_start_no_process_is_told_in_one_line(tmp_path: Path) -> None:
    # A process of its own: the zygote, which cannot start here, is shared by all that is vetted in a process.
    program = (
        "import sys; from evo.cli.commands import main; sys.executable = '/nonexistent/python'; "
        "main(['run', '--dry-run', '--offline'])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=240)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: losses cannot be vetted: the isolated interpreter did not")


def test_a_grid_of_beta_for_a_task_without_beta_is_refused(evo: Command) -> None:
    result = evo.run("baselines", "--task", "classification", "--betas", "0.1,0.2")
    assert result.code == 2 and "has no beta" in result.err
