"""What a replay compares, and what it does with a task that an archive names."""

from __future__ import annotations

import asyncio
import json
import shlex
from pathlib import Path

import pytest
from histories import history

from evo.campaign.replay import _Silent, replay_run, task_of_run
from evo.config.rundir import RunDir
from evo.config.schema import parse_config
from evo.proposing.propose import BUILTIN, GRAMMAR, BuiltinProposer
from evo.proposing.request import request_for
from fitness.task import TaskError
from sandbox import known


def test_a_file_that_an_archive_names_is_neither_run_nor_part_of_the_command_that_is_suggested(tmp_path: Path) -> None:
    ran, file = tmp_path / "ran", tmp_path / "theirs.py"
    file.write_text(f"open({str(ran)!r}, 'w')\n", "utf-8")
    recorded = "theirs.py; touch ran #:Task"
    with pytest.raises(TaskError) as refused:
        task_of_run(parse_config({"task": f"{file}:Task"}), None, recorded)
    assert not ran.exists()
    assert shlex.split(str(refused.value).partition("give your copy: ")[2]) == ["--task", f"path/to/{recorded}"]


@pytest.mark.parametrize(("part", "same"), [("thought", True), ("name", True), ("graph", False)])
def test_a_replay_compares_the_graphs_of_the_built_in_proposer_and_no_wording(
    tmp_path: Path, part: str, same: bool
) -> None:
    with history(tmp_path, search={"islands": 1}) as run:
        run.scored(run.seed("cross_entropy"), 0.5)
        run.scored(run.seed("mse"), 0.4)
        asked = request_for(run.population(), 1, run.reader)
        reply = json.loads(asyncio.run(BuiltinProposer().ask(asked, _Silent(), 1)).text)
        reply[part] = known.graph("focal").to_json() if part == "graph" else "in other words"
        proposal = run.archive.request_proposal(
            1, 1, asked.operator, BUILTIN, None, asked.temperature, GRAMMAR, asked.references, asked.seen_event
        )
        run.archive.receive_proposal(proposal, json.dumps(reply), 0, 0, 0.0, 0.0)
    found = replay_run(RunDir(tmp_path))
    assert found.same is same and ("makes a different loss" in found.text) is not same
