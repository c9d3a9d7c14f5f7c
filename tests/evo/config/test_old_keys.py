"""Keys that had another name in an earlier version: files, --set and recorded runs may still use them."""

from pathlib import Path

import pytest

from archive.query import Reader
from archive.records import EventKind, RunRow
from archive.store import Archive
from evo.config.rundir import identity
from evo.config.schema import Config, ConfigError, load_config, parse_config
from evo.session.earlier_session import FinishedRun, changes, finished, last_settings
from fitness.task import task_info

OLD = {"yardstick_betas": [0.25], "yardstick_learning_rates": [0.5], "yardstick_widenings": 1}
NEW = {"baseline_betas": [0.25], "baseline_learning_rates": [0.5], "baseline_widenings": 1}
BASE = {"task": "classification", "budget": {"proposals": 0}}


def test_a_file_with_old_keys_says_what_one_with_new_keys_says(tmp_path):
    (tmp_path / "old.yaml").write_text("ladder: {yardstick_betas: [0.25], yardstick_widenings: 1}\n", "utf-8")
    (tmp_path / "new.yaml").write_text("ladder: {baseline_betas: [0.25], baseline_widenings: 1}\n", "utf-8")
    assert load_config(tmp_path / "old.yaml") == load_config(tmp_path / "new.yaml")
    assert parse_config({"ladder": OLD}) == parse_config({"ladder": NEW}) != Config()


@pytest.mark.parametrize("key", ["yardstick_betas", "baseline_betas"])
@pytest.mark.parametrize("override", ["yardstick_betas", "baseline_betas"])
def test_an_override_counts_whichever_name_it_uses_and_whichever_the_file_uses(tmp_path, key, override):
    (tmp_path / "mine.yaml").write_text(f"ladder: {{{key}: [0.25]}}\n", "utf-8")
    assert load_config(tmp_path / "mine.yaml", [f"ladder.{override}=[4]"]).ladder.baseline_betas == (4.0,)
    assert load_config(None, [f"ladder={{{override}: [4]}}"]).ladder.baseline_betas == (4.0,)


def test_both_names_of_a_key_at_once_are_refused():
    """Not as an unknown key: the old name is known, and each name alone is accepted."""
    message = r"^ladder\.yardstick_betas is an earlier name of ladder\.baseline_betas, and both are given; remove"
    with pytest.raises(ConfigError, match=message):
        parse_config({"ladder": {"yardstick_betas": [1], "baseline_betas": [2]}})


def _recorded(folder: Path, ladder: dict) -> Path:
    """A finished run as an earlier version left it, with its keys in the run's row and in the events."""
    config = parse_config(BASE)
    info = task_info(config.task, config.fitness)
    settings = config.model_dump(mode="json")
    settings["ladder"] = {k: v for k, v in settings["ladder"].items() if not k.startswith("baseline")} | ladder
    row = RunRow(config.name, config.seed, config.task, info.contract, identity(config, info), settings)
    with Archive.create(folder / "archive.db", row) as archive:
        for kind in (EventKind.SESSION_STARTED, EventKind.FINISHED):
            archive.event(kind, {"config": settings, "reason": "as recorded"})
    return folder


@pytest.mark.parametrize("ladder", [OLD, NEW], ids=["old keys", "new keys"])
def test_a_run_that_recorded_old_keys_goes_on_with_its_command_and_with_the_new_keys_alike(tmp_path, ladder):
    config = parse_config(BASE | {"ladder": ladder})
    info = task_info(config.task, config.fitness)
    ended = finished(_recorded(tmp_path, OLD), config, info)
    assert ended is not None and ended.reason == "the budget of 0 proposals is reached"
    with Reader.open(tmp_path / "archive.db") as reader:
        assert changes(last_settings(reader), config) == []
        assert reader.run().identity == identity(config, info)
        assert parse_config(last_settings(reader)) == config, "as a replay reads it"


def test_a_key_that_is_changed_is_told_by_its_name_of_today(tmp_path):
    config = parse_config(BASE | {"ladder": NEW | {"baseline_widenings": 0}})
    info = task_info(config.task, config.fitness)
    with pytest.raises(FinishedRun, match=r"other settings: ladder\.baseline_widenings from 1 to 0"):
        finished(_recorded(tmp_path, OLD), config, info)
