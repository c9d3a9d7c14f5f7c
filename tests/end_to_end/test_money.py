"""Cost of a campaign: trainings are reserved for paid proposals, judges are counted, nothing is paid without a request."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
from campaigns import QUICK, Command, assert_sound, classification_losses
from loopback_llm import Answer, LoopbackLLM, closed_port

from archive.query import Reader


def _model(url: str, *more: str) -> tuple[str, ...]:
    return ("run", "--dir", "run", *QUICK, "--set", f"llm.base_url={url}", "--set", "llm.model=scripted-1", *more)


def test_every_reply_is_trained_with_a_small_budget_of_trainings(evo: Command) -> None:
    with LoopbackLLM(fallback=classification_losses) as server:
        result = evo.run(*_model(server.base_url, "--set", "budget.evaluations=6"))
        replies = server.requests
    assert result.code == 0, result.err
    assert "at most 2 proposals can be trained" in result.out
    with Reader.open(evo.folder / "run/archive.db") as reader:
        born = {c.id for c in reader.candidates() if c.origin == "proposal"}
        trained = {e.candidate_id for e in reader.evaluations() if e.finished_event}
        assert len([e for e in reader.evaluations() if e.finished_event]) == 6
    assert replies == len(born) == 2
    assert born <= trained
    assert_sound(evo.folder / "run/archive.db")


def test_a_budget_of_trainings_ends_with_a_complete_final(evo: Command) -> None:
    settings = (
        "--set",
        "seeds=[cross_entropy]",
        "--set",
        "ladder.baseline_learning_rates=[]",
        "--set",
        "budget.evaluations=12",
    )
    result = evo.run("run", "--dir", "run", *QUICK, *settings)
    assert result.code == 0, result.err
    assert "which are reserved" in result.out
    with Reader.open(evo.folder / "run/archive.db") as reader:
        done = [e for e in reader.evaluations() if e.finished_event]
    assert len([e for e in done if e.rung == "held_out"]) == 2 * 3, (
        "two finalists and the seed loss, on two fresh seeds"
    )
    assert len(done) <= 12


def test_no_reply_is_requested_if_none_could_be_trained(evo: Command) -> None:
    with LoopbackLLM(fallback=classification_losses) as server:
        result = evo.run(*_model(server.base_url, "--set", "budget.evaluations=4"))
        assert server.requests == 0
    assert result.code == 0, result.err
    assert "No proposal will be requested" in result.out


def test_a_key_in_the_environment_alone_causes_no_cost(evo: Command) -> None:
    with LoopbackLLM(fallback=classification_losses) as server:
        evo.environment |= {"OPENAI_API_KEY": "sk-a-key-of-some-length", "OPENAI_BASE_URL": server.base_url}
        result = evo.run("run", "--dir", "run", *QUICK, "--set", "budget.proposals=1")
        assert server.requests == 0
    assert result.code == 0, result.err
    assert "OPENAI_API_KEY and OPENAI_BASE_URL are set and not used" in result.out


def test_an_unreachable_endpoint_is_reported_before_a_run_is_resumed(evo: Command, finished: Path) -> None:
    shutil.copytree(finished, evo.folder / "run")
    with Reader.open(evo.folder / "run/archive.db") as reader:
        before = reader.last_event()
    with closed_port() as dead:
        result = evo.run(*_model(dead, "--set", "budget.proposals=9"))
    assert result.code == 1 and "llm.base_url: " in result.err and "Traceback" not in result.err
    with Reader.open(evo.folder / "run/archive.db") as reader:
        assert reader.last_event() == before


def test_offline_needs_a_dry_run(evo: Command) -> None:
    with closed_port() as dead:
        online = evo.run(*_model(dead, "--dry-run"))
        offline = evo.run(*_model(dead, "--dry-run", "--offline"))
        alone = evo.run(*_model(dead, "--offline"))
    assert online.code == 1 and "llm.base_url: " in online.err and "Replies: at most about" in online.out
    assert offline.code == 0 and "without the network" in offline.out
    assert alone.code == 2 and "--offline needs --dry-run" in alone.err
    assert not (evo.folder / "run").exists()


@pytest.fixture
def judged(evo: Command) -> tuple[str, ...]:
    """Arguments of a search on a tiny model with a judge, without the judge's address."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "fitness" / "preference"))
    from test_preference import pairs, save_model, save_pairs

    save_model(evo.folder / "model")
    save_pairs(evo.folder / "pairs.jsonl", pairs())
    fitness = {
        "model": "model", "data": "./pairs.jsonl", "cache": "cache", "pairs": 32, "batch_size": 8, "short_steps": 1,
        "test_fraction": 0.4, "max_length": 32, "epochs": 1,
    }  # fmt: skip
    return (
        "run", "--dir", "run", "--set", "task=preference", "--set", f"fitness={json.dumps(fitness)}", "--set", "workers=1",
        "--set", "proposer=builtin", "--set", "seeds=[dpo]", "--set", "ladder.finalists=0", "--set", "ladder.contenders=0",
    )  # fmt: skip


def test_a_judges_cost_is_recorded_shown_and_within_the_budget(evo: Command, judged: tuple[str, ...]) -> None:
    reply = Answer('{"better": "first"}', usage={"prompt_tokens": 100, "completion_tokens": 10})
    prices = {"usd_per_million_in": 1000, "usd_per_million_out": 1000}
    with LoopbackLLM(fallback=lambda body, number: reply) as server:
        judge = {
            "by": "judge", "base_url": server.base_url, "model": "scripted-1", "prompts": 4, "max_new_tokens": 4, "max_tokens": 20,
        }  # fmt: skip
        settings = (*judged, "--set", f"fitness.evaluation={json.dumps(judge | prices)}")
        refused = evo.run(*settings)
        assert refused.code == 2 and "fitness.evaluation: scripted-1" in refused.err and "may cost money" in refused.err
        assert server.requests == 0
        result = evo.run(*settings, "--set", "budget.tokens=9000")
        asked = server.requests
    assert result.code == 0, result.err
    assert "tokens is reached" in result.out
    with Reader.open(evo.folder / "run/archive.db") as reader:
        done = [e for e in reader.evaluations() if e.finished_event]
        spending = reader.spending()
    assert len(done) >= 2
    assert asked == 1 + 8 * len(done)
    assert spending.judge_tokens_in + spending.judge_tokens_out == 110 * asked <= 9000
    assert spending.judge_usd == pytest.approx(110 * asked / 1000)
    status = evo.run("status", "run")
    assert f"Judges: {110 * asked} tokens, {110 * asked / 1000:.4f} USD" in status.out
    assert "judges: USD" in (evo.folder / "run/report.html").read_text("utf-8")
