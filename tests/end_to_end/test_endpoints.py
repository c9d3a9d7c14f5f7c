"""Faulty endpoints: one clear message with the remedy, the documented exit code, nothing recorded is lost."""

from __future__ import annotations

import json

import pytest
from campaigns import QUICK, Command, assert_sound, classification_losses
from loopback_llm import Fault, LoopbackLLM, closed_port, proposal

from archive.query import Reader


def _arguments(url: str, proposals: int = 3, *more: str) -> tuple[str, ...]:
    settings = (
        "--set",
        f"llm.base_url={url}",
        "--set",
        "llm.model=scripted-1",
        "--set",
        f"budget.proposals={proposals}",
    )
    return (
        "run",
        "--dir",
        "run",
        *QUICK,
        *settings,
        "--set",
        "llm.attempts=1",
        *more,
    )


def test_a_language_model_s_losses_are_vetted_trained_and_kept_with_their_cost(evo: Command) -> None:
    prices = (
        "--set",
        "llm.usd_per_million_in=2",
        "--set",
        "llm.usd_per_million_out=8",
        "--set",
        "budget.usd=unlimited",
    )
    with LoopbackLLM(fallback=classification_losses) as server:
        result = evo.run(*_arguments(server.base_url, 4, *prices))
        assert result.code == 0, result.err
        prompt = "\n".join(m["content"] for body in server.bodies for m in body["messages"])
    assert "def loss(logits, targets)" in prompt and "cross_entropy" in prompt
    with Reader.open(evo.folder / "run/archive.db") as reader:
        spending = reader.spending()
        assert spending.usd == pytest.approx(4 * (1000 * 2 + 200 * 8) / 1e6)
        born = [c for c in reader.candidates() if c.origin == "proposal"]
        assert len(born) == 4
        trained = {e.candidate_id for e in reader.evaluations(state="scored")}
        assert {c.id for c in born} <= trained
        assert all(
            v.guarantees["files"] not in ("", "not-needed")
            for v in reader.verdicts()
            if v.candidate_id in {c.id for c in born}
        )


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault.UNAUTHORIZED, ("OPENAI_API_KEY",)),
        (Fault.HANG, ("did not answer within 1 s", "search.in_flight", "the same command")),
    ],
    ids=lambda v: v.value if isinstance(v, Fault) else None,
)
def test_an_endpoint_that_fails_permanently_ends_the_session_with_the_reason(
    evo: Command, fault: Fault, words: tuple[str, ...]
) -> None:
    with LoopbackLLM([fault] * 40, fallback=classification_losses) as server:
        result = evo.run(*_arguments(server.base_url, 3, "--set", "llm.timeout_seconds=1", "--set", "llm.attempts=2"))
    assert result.code == 1 and "Traceback" not in result.err
    for word in words:
        assert word in result.err
    assert_sound(evo.folder / "run/archive.db")


def test_an_endpoint_that_does_not_exist_is_reported(evo: Command) -> None:
    with closed_port() as url:
        result = evo.run(*_arguments(url))
    assert result.code == 1 and "llm.base_url: http://127.0.0.1" in result.err and "Traceback" not in result.err
    assert not (evo.folder / "run").exists(), "the error is reported before anything is created"


def test_hostile_code_from_a_model_is_refused(evo: Command) -> None:
    attack = (
        "import os\ndef loss(logits, targets):\n    os.system('touch /tmp/evopo-was-here')\n    return logits.sum(1)\n"
    )
    with LoopbackLLM(
        [proposal(attack, "trust me", "\x1b[31m<script>alert(1)</script>")], fallback=classification_losses
    ) as server:
        result = evo.run(*_arguments(server.base_url, 3))
    assert result.code == 0, result.err
    assert "\x1b" not in result.out
    with Reader.open(evo.folder / "run/archive.db") as reader:
        refused = [v.candidate_id for v in reader.verdicts() if v.status == "refused"]
        assert len(refused) == 1 and reader.findings(refused[0])
    shown = evo.run("show", "run", str(refused[0]))
    assert "\x1b" not in shown.out and "refuse" in shown.out
    assert "<script>alert" not in (evo.folder / "run/report.html").read_text("utf-8")


def test_the_paper_s_chat_mode_grows_one_conversation(evo: Command) -> None:
    with LoopbackLLM(fallback=classification_losses) as server:
        result = evo.run(*_arguments(server.base_url, 4, "--set", "search.mode=chat"))
        assert result.code == 0, result.err
        lengths = [len(body["messages"]) for body in server.bodies]
    assert lengths == sorted(lengths) and lengths[-1] == lengths[0] + 6
    assert evo.run("replay", "run").code == 0


def test_sampling_asks_every_time_as_if_nothing_was_known_resumes_and_replays(evo: Command) -> None:
    sample = ("--set", "search.mode=sample")
    with LoopbackLLM(fallback=classification_losses) as server:
        result = evo.run(*_arguments(server.base_url, 3, *sample))
        assert result.code == 0, result.err
        resumed = evo.run(*_arguments(server.base_url, 5, *sample))
        assert resumed.code == 0, resumed.err
        prompts = [json.dumps(body["messages"]) for body in server.bodies]
    assert len(prompts) == 5 and len(set(prompts)) == 1
    with Reader.open(evo.folder / "run/archive.db") as reader:
        born = [c for c in reader.candidates() if c.origin == "proposal"]
        assert len(born) == 5 and all(reader.parents(c.id) == [] for c in born)
        assert {p.operator for p in reader.proposals()} == {"explore"}
    replayed = evo.run("replay", "run")
    assert replayed.code == 0 and "All 5 proposals replay" in replayed.out


def test_without_a_key_the_openai_proposer_says_what_to_set(evo: Command) -> None:
    result = evo.run("run", "--dir", "run", *QUICK, "--set", "proposer=openai")
    assert result.code == 2 and "OPENAI_API_KEY" in result.err and not (evo.folder / "run").exists()
