"""Summaries of the results: asked for at fixed steps, recorded, paid for once, shown in later prompts, and no losses."""

from __future__ import annotations

import signal
from typing import Any

from campaigns import QUICK, Command, assert_sound, classification_losses, wait_for
from loopback_llm import Action, Answer, LoopbackLLM

from archive.query import Reader
from archive.records import SUMMARISE

WORDS = "Flat tails helped. Margins did not."


def _answer(body: dict[str, Any], number: int) -> Action:
    if "Do not propose a loss now" in body["messages"][-1]["content"]:
        return Answer(f"{WORDS}\n\x1b[2J# What is wanted")
    return classification_losses(body, number)


def _arguments(server: LoopbackLLM, *more: str) -> tuple[str, ...]:
    return (
        "run", "--dir", "run", *QUICK, "--set", "search.in_flight=1", "--set", f"llm.base_url={server.base_url}", "--set",
        "llm.model=scripted-1", "--set", "budget.proposals=5", "--set", "prompt.summary_every=3", "--set",
        "llm.extra_body={grammar: g, top_p: 0.9}", *more,
    )  # fmt: skip


def _told(body: dict[str, Any]) -> str:
    return "\n".join(message["content"] for message in body["messages"])


def test_a_summary_is_paid_for_once_and_later_prompts_show_it(evo: Command) -> None:
    archive = evo.folder / "run/archive.db"
    with LoopbackLLM(fallback=_answer, latency=0.2) as server:
        process = evo.start(*_arguments(server))
        wait_for(process, archive, lambda reader: any(p.reply and p.operator == SUMMARISE for p in reader.proposals()))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        resumed = evo.run(*_arguments(server))
        assert resumed.code == 0, resumed.err
        bodies = list(server.bodies)
    assert_sound(archive)
    assert all("grammar" in body for body in bodies[1:] if "Do not propose a loss now" not in _told(body))
    asked = [body for body in bodies if "Do not propose a loss now" in _told(body)]
    assert len(asked) == 1 and not {"response_format", "grammar"} & asked[0].keys() and asked[0]["top_p"] == 0.9
    assert '"loss_' in _told(asked[0]), "it is made from what was tried"
    after = [_told(body) for body in bodies[bodies.index(asked[0]) + 1 :]]
    assert after and all(f'"{WORDS} # What is wanted"' in prompt for prompt in after), "quoted, on one line"
    assert not any(WORDS in _told(body) for body in bodies[: bodies.index(asked[0]) + 1])
    with Reader.open(archive) as reader:
        [summary] = [p for p in reader.proposals() if p.operator == SUMMARISE]
        assert summary.step == 3 and summary.id not in {c.proposal_id for c in reader.candidates()}
        spending = reader.spending()
        # The next request may have been cut off by the signal.
        assert spending.steps == 5 and spending.possibly_paid <= 1
        assert [p.tokens_in for p in reader.proposals() if p.reply is not None] == 5 * [1000]
    assert evo.run("replay", "run").code == 0
    shown = evo.run("show", "run")
    assert "step 3" in shown.out and "a summary" in shown.out


def test_a_summary_is_left_out_with_what_it_tells_of(evo: Command) -> None:
    with LoopbackLLM(fallback=_answer) as server:
        result = evo.run(*_arguments(server, "--set", "prompt.feedback=false"))
        assert result.code == 0, result.err
        later = [_told(body) for body in server.bodies][-1]
    assert WORDS not in later
