"""Endpoints that misbehave: one clear message with the remedy, the documented exit code, nothing recorded is lost."""

from __future__ import annotations

import pytest
from campaigns import QUICK, Command, assert_sound
from loopback_llm import Answer, Fault, LoopbackLLM, closed_port, proposal

from archive.query import Reader

LOSS = "def loss(logits, targets):\n    return F.cross_entropy(logits * {scale}, targets, reduction='none')\n"


def _losses(body: dict[str, object], number: int) -> Answer:
    return Answer(proposal(LOSS.format(scale=1 + 0.01 * number), f"thought {number}", f"loss_{number}"))


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
        "llm.timeout_seconds=3",
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
    with LoopbackLLM(fallback=_losses) as server:
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
        (Fault.NOT_FOUND, ("llm.model",)),
        (Fault.RATE_LIMIT, ("the same command",)),
        (Fault.SERVER_ERROR, ("the same command",)),
        (Fault.HANG, ("did not answer within 3 s", "search.in_flight")),
        (Fault.WRONG_CONTENT_TYPE, ("answered with a web page", "llm.base_url", "the same command")),
    ],
    ids=lambda v: v.value if isinstance(v, Fault) else None,
)
def test_an_endpoint_that_fails_for_good_ends_the_session_and_says_why(
    evo: Command, fault: Fault, words: tuple[str, ...]
) -> None:
    with LoopbackLLM([fault] * 40, fallback=_losses) as server:
        result = evo.run(*_arguments(server.base_url))
    assert result.code == 1 and "Traceback" not in result.err
    for word in words:
        assert word in result.err
    assert_sound(evo.folder / "run/archive.db")


def test_an_endpoint_that_is_not_there(evo: Command) -> None:
    with closed_port() as url:
        result = evo.run(*_arguments(url))
    assert result.code == 1 and "llm.base_url: http://127.0.0.1" in result.err and "Traceback" not in result.err
    assert not (evo.folder / "run").exists(), "it is found out before anything is made"
    with LoopbackLLM(fallback=_losses) as server:
        resumed = evo.run(*_arguments(server.base_url))
    assert resumed.code == 0, resumed.err
    with Reader.open(evo.folder / "run/archive.db") as reader:
        assert len([p for p in reader.proposals() if p.reply]) == 3


def test_replies_without_a_loss_cost_one_proposal_each(evo: Command) -> None:
    bad = [Fault.BROKEN_JSON, Fault.PROSE, Fault.EMPTY_CHOICES, Fault.CUT_OFF, Fault.NULL_CONTENT]
    with LoopbackLLM(fallback=_losses, faults=dict(enumerate(bad, 2))) as server:
        result = evo.run(*_arguments(server.base_url, 8))
    assert result.code == 0, result.err
    assert_sound(evo.folder / "run/archive.db")
    with Reader.open(evo.folder / "run/archive.db") as reader:
        failed = [p for p in reader.proposals() if p.state == "failed"]
        assert len(failed) == len(bad) and all(p.error for p in failed)
        assert len([c for c in reader.candidates() if c.origin == "proposal"]) >= 3


def test_hostile_code_from_a_model_is_refused_and_repaired_or_left(evo: Command) -> None:
    attack = (
        "import os\ndef loss(logits, targets):\n    os.system('touch /tmp/evopo-was-here')\n    return logits.sum(1)\n"
    )
    with LoopbackLLM([proposal(attack, "trust me", "\x1b[31m<script>alert(1)</script>")], fallback=_losses) as server:
        result = evo.run(*_arguments(server.base_url, 3))
    assert result.code == 0, result.err
    assert "\x1b" not in result.out
    with Reader.open(evo.folder / "run/archive.db") as reader:
        refused = [v.candidate_id for v in reader.verdicts() if v.status == "refused"]
        assert len(refused) == 1 and reader.findings(refused[0])
    shown = evo.run("show", "run", str(refused[0]))
    assert "\x1b" not in shown.out and "refuse" in shown.out
    assert "<script>alert" not in (evo.folder / "run/report.html").read_text("utf-8")


def test_a_budget_of_tokens_counts_calls_in_flight(evo: Command) -> None:
    with LoopbackLLM(fallback=_losses, latency=0.3) as server:
        result = evo.run(
            *_arguments(server.base_url, 100, "--set", "budget.tokens=30000", "--set", "llm.max_tokens=2000")
        )
    assert result.code == 0 and "tokens is reached" in result.out
    with Reader.open(evo.folder / "run/archive.db") as reader:
        spending = reader.spending()
    assert 0 < spending.tokens_in + spending.tokens_out <= 30_000


def test_the_paper_s_chat_mode_grows_one_conversation(evo: Command) -> None:
    with LoopbackLLM(fallback=_losses) as server:
        result = evo.run(*_arguments(server.base_url, 4, "--set", "search.mode=chat"))
        assert result.code == 0, result.err
        lengths = [len(body["messages"]) for body in server.bodies]
    assert lengths == sorted(lengths) and lengths[-1] == lengths[0] + 6
    assert evo.run("replay", "run").code == 0


def test_without_an_endpoint_the_run_says_that_it_uses_the_built_in_proposer(evo: Command) -> None:
    result = evo.run("run", "--dir", "run", *QUICK, "--set", "budget.proposals=1")
    assert result.code == 0 and "No endpoint is configured" in result.out


def test_without_a_key_the_openai_proposer_says_what_to_set(evo: Command) -> None:
    result = evo.run("run", "--dir", "run", *QUICK, "--set", "proposer=openai")
    assert result.code == 2 and "OPENAI_API_KEY" in result.err and not (evo.folder / "run").exists()
