"""`evopo prompt`: what it shows of a run, and that it neither requests nor records anything."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from histories import History, history

from evo.cli.commands import main
from evo.proposing.briefing import prompt_of
from evo.proposing.prompting import BUILT_IN, Templates
from evo.proposing.request import request_for


@pytest.fixture
def run(tmp_path: Path) -> Iterator[History]:
    """A run that is under way: its archive is open for writing."""
    yield from _run(tmp_path)


def _run(folder: Path, **settings: Any) -> Iterator[History]:
    with history(folder, **{"search": {"islands": 1}, **settings}) as run:
        run.scored(run.seed("cross_entropy"), 0.5)
        run.scored(run.seed("mse"), 0.4)
        run.scored(run.accepted(run.bred(1, "refine", [1])), 0.6)
        yield run


def shown(run: History, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["prompt", str(run.archive.path.parent), *arguments])


def test_the_next_prompt_of_a_running_run_is_the_one_that_its_next_step_sends(run: History) -> None:
    before = run.archive.last_event()
    told = json.loads(shown(run, "--format", "json").output)
    request = request_for(run.population(), 2, run.reader, prompted=True)
    assert told["step"] == 2 and told["parents"] == [p.id for p in request.parents]
    sent = prompt_of(request, run.config, BUILT_IN)
    assert told["messages"] == [{"role": m.role, "content": m.content} for m in sent]
    assert 0 < told["tokens"]["about"] < told["tokens"]["at_most"]
    assert run.archive.last_event() == before


@pytest.mark.parametrize("operator", ["refine", "combine", "explore"])
def test_an_operator_is_that_of_the_first_coming_step_that_uses_it(run: History, operator: str) -> None:
    told = json.loads(shown(run, "--operator", operator, "--format", "json").output)
    steps = (request_for(run.population(), step, run.reader) for step in range(2, 200))
    assert told["operator"] == operator and told["step"] == next(r.step for r in steps if r.operator == operator)


def test_an_operator_that_is_unknown_or_cannot_be_used_is_wrong_use(run: History) -> None:
    for operator, says in (("combin", "did you mean combine?"), ("repair", "would use repair")):
        result = shown(run, "--operator", operator)
        assert result.exit_code == 2 and says in result.output


def test_the_text_says_what_it_is_and_that_the_built_in_proposer_gets_no_text(run: History) -> None:
    text = shown(run).output
    assert text.startswith("Step 2: ") and "tokens, at most" in text
    assert "The run's proposer is the built-in one" in text
    assert "--- system\n" in text and "--- user\n" in text


def test_the_chat_s_next_prompt_is_its_conversation(tmp_path: Path) -> None:
    for run in _run(tmp_path, search={"mode": "chat"}, llm={"model": "m"}):
        told = json.loads(shown(run, "--format", "json").output)
        assert [m["role"] for m in told["messages"]] == ["system", "user", "assistant", "user"]
        assert told["messages"][-1]["content"] == "Fitness: 0.6.\nPlease generate the next one."
        assert "leave --operator out" in shown(run, "--operator", "refine").output


def test_templates_are_the_run_s_own_copies_and_not_the_folder_that_it_names(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "refine.j2").write_text("THE COPY")
    templates = Templates.of(folder)
    for run in _run(tmp_path, prompt={"templates": str(folder)}):
        assert "the run's own templates are missing" in shown(run, "--operator", "refine").output
        templates.keep(tmp_path / "templates")
        (folder / "refine.j2").write_text("THE FOLDER")
        text = shown(run, "--operator", "refine").output
        assert "THE COPY" in text and "THE FOLDER" not in text


def test_a_directory_without_a_run_is_an_error(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["prompt", str(tmp_path)])
    assert result.exit_code == 2 and "holds no run" in result.output
