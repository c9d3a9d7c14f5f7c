"""Options that a configuration does not name: as recorded in the run's directory, or as a new run of the task begins."""

from pathlib import Path

import pytest

from archive.errors import ArchiveError
from evo.config.new_run import settled
from evo.config.rundir import RunDir, changed_keys, differences, identity, open_run
from evo.config.schema import Config
from fitness.sentiment.options import Options
from fitness.sentiment.worlds import EMBEDDED
from fitness.task import task_info


def begun(path, fitness) -> None:
    """A run recorded in `path` with these options of the task and no others."""
    config = Config(fitness=fitness)
    open_run(path, config, task_info("sentiment", fitness), {}, "dpo")[1].close()


def test_a_new_run_is_in_the_embedded_world(tmp_path):
    assert settled(Config(), tmp_path / "new").fitness == {"world": EMBEDDED}
    assert settled(Config(fitness={"beta": 0.3}), tmp_path / "new").fitness == {"world": EMBEDDED, "beta": 0.3}


def test_a_world_that_is_named_stays(tmp_path):
    assert settled(Config(fitness={"world": "length"}), tmp_path).fitness == {"world": "length"}


def test_a_run_without_a_world_goes_on_as_classic_with_the_command_that_made_it(tmp_path):
    begun(tmp_path, {})  # what versions without worlds recorded
    config = settled(Config(), tmp_path)
    assert config.fitness == {}
    info = task_info("sentiment", config.fitness)
    assert open_run(tmp_path, config, info, {}, "dpo")[2], "the same run"
    own = identity(config, info)
    assert not differences(own, identity(config, task_info("sentiment", {"world": "classic"})))


def test_a_recorded_world_goes_on(tmp_path):
    begun(tmp_path, {"world": "length"})
    assert settled(Config(), tmp_path).fitness == {"world": "length"}


def test_tasks_without_such_options_are_left_alone(tmp_path):
    config = Config(task="classification")
    assert settled(config, tmp_path) is config


def test_an_archive_that_cannot_be_read_is_an_error(tmp_path):
    RunDir(tmp_path).archive.write_text("no archive")
    with pytest.raises(ArchiveError):
        settled(Config(), tmp_path)


def test_changed_keys_are_those_that_the_user_writes():
    assert changed_keys(["fitness.options.beta", "fitness.options.evaluation.by", "seed", "baseline"]) == [
        "fitness.beta", "fitness.evaluation.by", "baseline", "seed",
    ]  # fmt: skip
    assert changed_keys(["task", "fitness.options.beta", "fitness.data"]) == ["task"]
    assert changed_keys(["fitness.options.data", "fitness.data.data", "fitness.data.model"]) == [
        "fitness.data", "the content of fitness.model",
    ]  # fmt: skip
    assert changed_keys(["fitness.data"]) == ["the task's own data"]


def test_the_page_on_configuration_gives_the_defaults_of_a_new_run_and_those_of_classic():
    page = (Path(__file__).parents[3] / "docs" / "configuration.md").read_text("utf-8")
    rows = {row[0].strip("`"): row[1:3] for line in page.splitlines() if len(row := line.split(" | ")) == 4}
    new, classic = Options(world=EMBEDDED), Options()
    for name in ("world", "pairs", "batch_size", "label_noise", "learning_rate"):
        assert rows[name] == [f"`{getattr(new, name)}`", f"`{getattr(classic, name)}`"]
    assert rows["pairs"][0] != rows["pairs"][1]
