"""The configuration: what is filled in where a user said nothing, and what is no configuration."""

import os
from pathlib import Path

import pytest

from evo.config.rundir import default_directory
from evo.config.schema import ConfigError, load_config, parse_config


def test_each_task_has_a_directory_of_its_own_unless_named():
    assert str(default_directory(parse_config({}))) == "runs/embedded-s0"
    assert str(default_directory(parse_config({"task": "classification", "seed": 3}))) == "runs/classification-s3"
    assert str(default_directory(parse_config({"task": "preference", "name": "mine"}))) == "runs/mine-s0"


@pytest.mark.parametrize("task", ["no such task", 3, None])
def test_a_wrong_task_is_named_as_the_fault(task):
    with pytest.raises(ConfigError, match="task: "):
        parse_config({"task": task})


def test_notes_that_a_run_refuses_are_rules_of_the_sandbox():
    assert parse_config({}).refuse_notes == ()
    assert parse_config({"refuse_notes": ["SBX327", "SBX301"]}).refuse_notes == ("SBX327", "SBX301")
    with pytest.raises(ConfigError, match=r"refuse_notes.*'SBX3277' is no rule of the sandbox.*SBX324.*mean SBX327"):
        parse_config({"refuse_notes": ["SBX3277"]})
    with pytest.raises(ConfigError, match="refuse_notes: expected a list, got 'SBX327'"):
        load_config(None, ["refuse_notes=SBX327"])


def test_a_key_given_twice_is_an_error_that_says_where(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("seed: 1\nbudget: {proposals: 2}\nseed: 2\n", "utf-8")
    with pytest.raises(ConfigError, match=r"the key 'seed' is given twice in .*mine\.yaml.*, line 3"):
        load_config(file)


def test_a_configuration_may_be_reached_over_a_link_and_is_a_regular_file(tmp_path):
    (tmp_path / "mine.yaml").write_text("seed: 7\n", "utf-8")
    (tmp_path / "link.yaml").symlink_to("mine.yaml")
    assert load_config(tmp_path / "link.yaml").seed == 7
    (tmp_path / "endless.yaml").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "long.yaml").write_text("# " + "x" * 2**20, "utf-8")
    for name, words in (("endless", "a device"), ("pipe", "a pipe"), ("folder", "a folder"), ("long", "at most")):
        with pytest.raises(ConfigError, match=f"cannot use the configuration file: .* {words}"):
            load_config(tmp_path / f"{name}.yaml")


def test_hostile_yaml_is_one_line_of_error(tmp_path):
    file = tmp_path / "mine.yaml"
    for text in ("a: &a [x]\nb: *a", "[" * 5000, "seed: " + "9" * 5000, "seed: 2001-99-99"):
        file.write_text(text, "utf-8")
        with pytest.raises(ConfigError, match=r"mine\.yaml is no configuration: .*line") as error:
            load_config(file)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["9" * 5000, "[" * 5000, "&a [*a]", "2001-99-99", "0x" + "f" * 5000])
def test_a_hostile_value_on_the_command_line_is_an_error_that_names_the_key(text):
    with pytest.raises(ConfigError, match="seed: "):
        load_config(None, [f"seed={text}"])


def test_a_task_in_a_file_is_found_from_the_configuration_or_from_the_current_directory(tmp_path, monkeypatch):
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "mine.yaml").write_text("task: tasks/my_task.py:MyTask\n", "utf-8")
    (tmp_path / "project" / "home.yaml").write_text("task: ~/my_task.py:MyTask\n", "utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    config = load_config(Path("project/mine.yaml"))
    assert config.task == f"{tmp_path}/project/tasks/my_task.py:MyTask"
    assert load_config(Path("project/mine.yaml"), ["task=my_task.py"]).task == f"{tmp_path}/my_task.py"
    assert load_config(Path("project/home.yaml")).task == f"{tmp_path}/home/my_task.py:MyTask"
    assert str(default_directory(config)) == "runs/MyTask-s0"
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "config.yaml").write_text(f"task: {config.task}\n", "utf-8")
    assert load_config(Path("elsewhere/config.yaml")).task == config.task


def test_no_configuration_runs_the_file_that_it_names(tmp_path):
    file = tmp_path / "evil.py"
    file.write_text("raise SystemExit('was run')", "utf-8")
    with pytest.raises(ConfigError, match="unknown key"):
        parse_config({"task": f"{file}:Evil", "no such key": 1})
    assert parse_config({"task": f"{file}:Evil"}).task == f"{file}:Evil"
