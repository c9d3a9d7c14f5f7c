"""The configuration: what is filled in where a user said nothing."""

import pytest

from evo.config import ConfigError, load_config, parse_config
from evo.rundir import default_directory


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
    with pytest.raises(ConfigError, match=r"the key 'seed' is there twice in .*mine\.yaml.*, line 3"):
        load_config(file)
