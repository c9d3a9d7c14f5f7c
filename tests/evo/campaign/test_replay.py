"""What a replay does with a task that an archive names."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from evo.campaign.replay import task_of_run
from evo.config.schema import parse_config
from fitness.task import TaskError


def test_a_file_that_an_archive_names_is_neither_run_nor_part_of_the_command_that_is_suggested(tmp_path: Path) -> None:
    ran, file = tmp_path / "ran", tmp_path / "theirs.py"
    file.write_text(f"open({str(ran)!r}, 'w')\n", "utf-8")
    recorded = "theirs.py; touch ran #:Task"
    with pytest.raises(TaskError) as refused:
        task_of_run(parse_config({"task": f"{file}:Task"}), None, recorded)
    assert not ran.exists()
    assert shlex.split(str(refused.value).partition("give your copy: ")[2]) == ["--task", f"path/to/{recorded}"]
