"""Seed losses of the user: what the option names, what is refused, and which names they get."""

from pathlib import Path

import pytest

from archive.records import Origin, RunRow
from archive.store import Archive
from evo.config.schema import ConfigError, parse_config
from evo.session.warm_start import read_given, vetted
from sandbox import known

GOOD = known.load("ipo").source
TRICK = "import os\ndef loss(a):\n    return os.environ\n"
CONFIG = parse_config({})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "losses").mkdir()
    (tmp_path / "losses" / "ipo.py").write_text(GOOD)
    (tmp_path / "losses" / "bad.py").write_text(TRICK)
    (tmp_path / "losses" / "notes.txt").write_text("no loss")
    return tmp_path


def test_a_folder_is_its_files_by_name_and_equal_files_are_one(folder: Path) -> None:
    (folder / "again.py").write_text(GOOD)
    given = read_given([str(folder / "losses"), str(folder / "again.py")], "preference", folder / "run")
    assert [loss.name for loss in given] == ["bad", "ipo"]


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ("none.py", "no such file"), ("losses/notes.txt", "NAME.py"), (".", "neither a run"), ("losses:2", "holds no run"),
        ("losses/ipo.py:0", "at least 1"), ("x\x1b.py", "no such file"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_an_error_that_names_it(folder: Path, named: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as refused:
        read_given([str(folder / named)], "preference", folder / "run")
    assert named.partition(":")[0] in str(refused.value)


def test_each_refused_loss_is_named_with_its_finding_and_nothing_is_created(folder: Path) -> None:
    given = read_given([str(folder / "losses")], "preference", folder / "run")
    with pytest.raises(ConfigError) as refused:
        vetted(given, CONFIG, "preference", folder / "run")
    assert str(folder / "losses/bad.py") in str(refused.value) and "SBX" in str(refused.value)
    assert "ipo.py" not in str(refused.value) and not (folder / "run").exists()


def test_a_note_that_the_run_refuses_refuses_a_given_loss_too(folder: Path) -> None:
    (folder / "kto.py").write_text(known.load("kto_pair").source)
    given = read_given([str(folder / "kto.py")], "preference", folder / "run")
    assert vetted(given, CONFIG, "preference", folder / "run")
    with pytest.raises(ConfigError, match="SBX325"):
        vetted(given, parse_config({"refuse_notes": ["SBX325"]}), "preference", folder / "run")


def test_names_differ_from_published_and_recorded_ones_and_recorded_content_is_not_new(folder: Path) -> None:
    given = read_given([str(folder / "losses/ipo.py")], "preference", folder / "run")
    (own,) = vetted(given, CONFIG, "preference", folder / "run")
    assert own.name == "ipo-2" and own.provenance.file == "ipo.py"
    (folder / "run").mkdir()
    with Archive.create(folder / "run/archive.db", RunRow("r", 0, "t", "preference")) as archive:
        archive.add_candidate(Origin.SEED, own.name, "", own.source, "preference", payload=own.provenance.to_json())
    assert vetted(given, CONFIG, "preference", folder / "run") == ()
    (folder / "losses/ipo.py").write_text(GOOD + "\n# another text\n")
    changed = read_given([str(folder / "losses/ipo.py")], "preference", folder / "run")
    assert [loss.name for loss in vetted(changed, CONFIG, "preference", folder / "run")] == ["ipo-3"]
