"""Before anything is started: who would be paid, and whether everything is there, with all faults told at once."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from loopback_llm import Answer, Fault, LoopbackLLM, Status, closed_port

from evo.config.schema import Config, ConfigError, parse_config
from evo.proposing.prompting import MAX_CODE_SHOWN
from evo.session import ping
from evo.session.dry_run import rehearse
from evo.session.preflight import Cleared, PreflightFailed, preflight
from evo.session.session import run_session
from fitness.chat.costs import Usage
from fitness.task import task_info


def cleared(settings: Mapping[str, Any], **how: Any) -> Cleared:
    config = parse_config(settings)
    return preflight(config, task_info(config.task, config.fitness), **how)


def failed(settings: Mapping[str, Any], **how: Any) -> PreflightFailed:
    with pytest.raises(PreflightFailed) as caught:
        cleared(settings, **how)
    return caught.value


def model(base_url: str, **changes: Any) -> dict[str, Any]:
    return {"base_url": base_url, "model": "scripted-1"} | changes


def judged(base_url: str, **changes: Any) -> dict[str, Any]:
    evaluation = {"by": "judge", "base_url": base_url, "model": "scripted-1"} | changes
    return {"task": "preference", "fitness": {"model": "owner/model", "data": "owner/data", "evaluation": evaluation}}


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


# ---- who is paid -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variable", ["OPENAI_API_KEY", "OPENAI_BASE_URL"])
def test_a_variable_of_the_environment_alone_chooses_nobody_and_is_said(monkeypatch, variable):
    monkeypatch.setenv(variable, "http://127.0.0.1:1/v1")
    ready = cleared({})
    assert [*ready.proposers] == ["builtin"]
    assert f"{variable} is set and not used" in ready.which
    assert "--set llm.model=" in ready.which


def test_without_an_endpoint_it_is_said_that_the_built_in_proposer_proposes():
    said = cleared({}).which
    assert said == "Proposer: built-in genetic programming. No endpoint is configured (llm.base_url or llm.model)."


PAID = "https://llm.example.com/v1"


@pytest.mark.parametrize(
    ("budget", "prices"),
    [
        ({"tokens": 1000}, {}),
        ({"tokens": "unlimited"}, {}),
        ({"usd": "unlimited"}, {}),
        ({"usd": 1}, {"usd_per_million_in": 1, "usd_per_million_out": 2}),
        ({}, {"usd_per_million_in": 0, "usd_per_million_out": 0}),
    ],
    ids=["tokens", "no limit of tokens", "no limit of usd", "usd", "free"],
)
def test_a_paid_proposer_and_a_paid_judge_are_used_once_somebody_said_how_much(budget, prices):
    cleared({"llm": model(PAID, **prices), "budget": budget}, online=False)
    assert cleared({**judged(PAID, **prices), "budget": budget}, online=False).proposers.keys() == {"builtin"}


@pytest.mark.parametrize("settings", [{"llm": model(PAID)}, judged(PAID)], ids=["proposer", "judge"])
def test_a_paid_endpoint_without_a_budget_is_refused_with_the_line_to_add(settings):
    error = failed(settings, online=False)
    key = "llm" if "llm" in settings else "fitness.evaluation"
    assert str(error).startswith(f"{key}: scripted-1 at {PAID} may cost money")
    assert "--set budget.tokens=" in str(error)
    assert "--set budget.tokens=unlimited" in str(error)
    assert f"--set {key}.usd_per_million_in=0" in str(error)
    assert error.wrong_use


def test_the_table_of_baselines_pays_no_judge_unasked_either():
    assert "fitness.evaluation: scripted-1" in str(failed(judged(PAID), proposes=False, online=False))
    ready = cleared({**judged(PAID), "llm": model(PAID), "budget": {"tokens": 1000}}, proposes=False, online=False)
    assert not any(p.endpoint for p in ready.proposers.values())


def test_a_budget_in_usd_needs_the_prices_of_everyone_who_is_paid():
    priced = {"usd_per_million_in": 1, "usd_per_million_out": 2}
    error = failed({**judged(PAID), "llm": model(PAID, **priced), "budget": {"usd": 1}}, online=False)
    assert "fitness.evaluation.usd_per_million_in" in str(error)
    assert "llm.usd" not in str(error)


def test_a_paid_endpoint_is_asked_nothing_while_no_budget_allows_it():
    with LoopbackLLM() as server:
        prices = {"usd_per_million_in": 1, "usd_per_million_out": 2}
        failed({"llm": model(server.base_url, **prices) | {"model": "not-listed"}})
        assert server.requests == 0


def test_a_dry_run_pays_nothing_and_says_what_it_left_open():
    with LoopbackLLM() as server:
        prices = {"usd_per_million_in": 1, "usd_per_million_out": 2}
        llm = model(server.base_url, **prices) | {"model": "not-listed"}
        ready = cleared({"llm": llm, "budget": {"usd": 1}}, may_cost=False)
        assert server.requests == 0
    assert "lists no model 'not-listed', only scripted-1, scripted-2" in ready.notes[0]


def test_the_dry_run_shows_what_proposer_and_judge_may_cost(tmp_path):
    prices = {"usd_per_million_in": 1, "usd_per_million_out": 2}
    said: list[str] = []
    settings = judged("http://127.0.0.1:1/v1", **prices) | {"llm": model("http://127.0.0.1:1/v1", **prices)}
    rehearse(parse_config({**settings, "budget": {"usd": 5, "proposals": 10}}), tmp_path, said.append, online=False)
    replies = next(line for line in said[0].splitlines() if line.startswith("Replies: "))
    judge = next(line for line in said[0].splitlines() if line.startswith("Judge scripted-1 (fitness.evaluation): "))
    assert "tokens" in replies and "USD" in replies
    assert "tokens" in judge and "USD" in judge and "trainings" in judge


def test_a_dry_run_of_what_may_not_be_paid_shows_the_cost_first(tmp_path):
    said: list[str] = []
    with pytest.raises(PreflightFailed, match="may cost money"):
        rehearse(parse_config({"llm": model(PAID)}), tmp_path, said.append, online=False)
    assert "Replies: at most about" in said[0]


def test_the_dry_run_shows_the_prompt_of_a_language_model_and_none_of_the_built_in_proposer(tmp_path):
    local = {"llm": model("http://127.0.0.1:1/v1")}
    asked, mixed, built_in = (
        rehearsed(tmp_path, s) for s in (local, local | {"proposer": "mixed"}, {"proposer": "builtin"})
    )
    assert "A first prompt:\n--- system" in asked and "policy_chosen_logps" in asked
    assert "A first prompt (the built-in proposer, which takes part, gets no prompt):\n--- system" in mixed
    assert "No prompt is sent" in built_in and "--- system" not in built_in


def rehearsed(folder: Path, settings: Mapping[str, Any]) -> str:
    said: list[str] = []
    rehearse(parse_config(settings), folder, said.append, online=False)
    return said[0]


def test_a_dry_run_of_a_chat_shows_the_chat_s_first_prompt_and_counts_how_it_grows(tmp_path):
    llm = model("http://127.0.0.1:1/v1")
    chat = rehearsed(tmp_path, {"llm": llm, "search": {"mode": "chat"}, "seeds": ["dpo", "slic"]})
    assert "Here are the losses that are known so far" in chat and "Please generate the next one." in chat
    assert all(f'"{name}"' in chat for name in ("dpo", "slic"))
    refine = rehearsed(tmp_path, {"llm": llm, "seeds": ["dpo", "slic"]})
    assert "Please generate the next one." not in refine and '"slic"' not in refine

    def tokens(said: str) -> int:
        return int(next(line for line in said.splitlines() if line.startswith("Replies: ")).split()[4])

    assert tokens(chat) > tokens(refine) + 24 * MAX_CODE_SHOWN


@pytest.mark.parametrize("settings", [{}, {"search": {"mode": "chat"}}, {"llm": {"base_url": "http://127.0.0.1:1/v1"}}])
def test_a_run_without_seed_losses_is_a_fault_of_the_configuration(tmp_path, settings):
    config = parse_config({**settings, "seeds": []})
    for start in (partial(rehearse, online=False), run_session):
        with pytest.raises(
            ConfigError, match=r"seeds: expected at least one known loss, got \[\].*dpo, slic, ipo, kto_pair"
        ):
            start(config, tmp_path / "run", print)
    assert not (tmp_path / "run").exists()


# ---- whether everything is there ---------------------------------------------------------------------------------------


def test_all_faults_are_told_at_once(tmp_path):
    with closed_port() as dead:
        settings = judged(dead)
        settings["fitness"] |= {"model": str(tmp_path / "no-model"), "data": str(tmp_path / "no-data.jsonl")}
        error = failed({**settings, "llm": model(dead)})
    text = str(error)
    assert text.startswith("4 faults")
    for key in (
        "fitness.model: there is no",
        "fitness.data: there is no",
        "llm.base_url: ",
        "fitness.evaluation.base_url: ",
    ):
        assert key in text
    assert text.count("refused the connection") == 2
    assert "correct fitness.evaluation.base_url" in text


def test_only_what_the_user_wrote_is_wrong_use():
    with closed_port() as dead:
        assert not failed({"llm": model(dead)}).wrong_use
        assert failed({"llm": model(dead), **judged("no address")}).wrong_use


def test_an_endpoint_that_lists_its_models_is_asked_for_nothing_else():
    with LoopbackLLM() as server:
        assert cleared({"llm": model(server.base_url)}).paid == {}
        assert server.requests == 0


def test_a_model_that_is_not_listed_is_tried_with_one_token_which_is_counted():
    reply = Answer("yes", usage={"prompt_tokens": 9, "completion_tokens": 1})
    with LoopbackLLM([reply]) as server:
        ready = cleared({"llm": model(server.base_url) | {"model": "unlisted"}})
        assert server.bodies[0]["max_tokens"] == 1
    assert ready.paid == {"proposer": Usage(9, 1, None)}


def test_a_wrong_model_is_told_with_those_that_are_there():
    with LoopbackLLM([Fault.NOT_FOUND]) as server:
        error = failed({"llm": model(server.base_url) | {"model": "unlisted"}})
    assert str(error).startswith("llm.model: ")
    assert "scripted-1, scripted-2" in str(error)


def test_a_wrong_key_is_told():
    with LoopbackLLM([Fault.UNAUTHORIZED]) as server:
        error = failed({**judged(server.base_url, model="unlisted", api_key_env="JUDGE_KEY")})
    assert "fitness.evaluation" in str(error)
    assert "JUDGE_KEY" in str(error)


@pytest.mark.parametrize("fault", [Fault.SERVER_ERROR, Fault.RATE_LIMIT, Status(503, {"error": "Loading model"})])
def test_a_server_that_starts_or_is_busy_is_no_fault(fault):
    with LoopbackLLM([fault]) as server:
        ready = cleared({"llm": model(server.base_url) | {"model": "unlisted"}})
    assert "tries again" in ready.notes[0]


def test_a_server_that_takes_its_time_is_no_fault(monkeypatch):
    monkeypatch.setattr(ping, "PATIENCE", 0.2)
    with LoopbackLLM([Fault.HANG]) as server:
        ready = cleared({"llm": model(server.base_url) | {"model": "unlisted"}})
    assert "did not answer" in ready.notes[0]


@pytest.fixture
def silent() -> Iterator[str]:
    """An address where the connection stands and nobody ever says anything."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"


def test_a_server_that_says_nothing_at_all_is_waited_for_by_the_run(monkeypatch, silent):
    monkeypatch.setattr(ping, "PATIENCE", 0.2)
    assert "did not answer" in cleared({"llm": model(silent)}).notes[0]


def test_without_the_network_no_endpoint_is_asked():
    with closed_port() as dead:
        assert cleared({"llm": model(dead)}, online=False).notes == ()


def test_what_is_no_such_endpoint_is_told(tmp_path: Path):
    with LoopbackLLM() as server:
        error = failed({"llm": model(server.base_url.removesuffix("/v1"))})
    assert str(error).startswith("llm: there are no chat completions at")
    assert f"add /v1 to llm.base_url: {server.base_url}" in str(error)


NO_TEXT_YET = {
    "choices": [{"message": {"content": None, "reasoning_content": "Let"}, "finish_reason": "length"}],
    "usage": {"prompt_tokens": 9, "completion_tokens": 1},
}


@pytest.mark.parametrize(
    "reply",
    [
        Status(200, NO_TEXT_YET),
        Status(400, {"error": {"message": "Could not finish the message because max_tokens was reached."}}),
    ],
    ids=["null content", "refused"],
)
def test_a_model_that_spends_its_one_token_on_reasoning_is_no_fault(reply):
    with LoopbackLLM([reply]) as server:
        assert cleared({"llm": model(server.base_url) | {"model": "unlisted"}}).notes == ()


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (Status(200, {"error": "Unexpected endpoint or method. (POST /chat/completions)"}), "Unexpected endpoint"),
        (Fault.WRONG_CONTENT_TYPE, "Sign in to the hotel"),
    ],
)
def test_what_is_no_answer_is_told_before_anything_starts(reply, words):
    with LoopbackLLM([reply]) as server:
        assert words in str(failed({"llm": model(server.base_url) | {"model": "unlisted"}}))


def test_a_proxy_that_cannot_be_used_is_told_for_proposer_and_judge(monkeypatch):
    monkeypatch.setenv("ALL_PROXY", "socks://127.0.0.1:9/")
    monkeypatch.delenv("https_proxy", raising=False)
    monkeypatch.delenv("HTTPS_PROXY", raising=False)
    settings = {**judged("https://llm.invalid/v1"), "llm": model("https://llm.invalid/v1"), "budget": {"tokens": 1000}}
    error = failed(settings)
    assert str(error).count("the proxy in ALL_PROXY") == 2
    assert error.wrong_use


def test_a_proxy_that_is_down_is_told_as_the_proxy(monkeypatch):
    for name in ("https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with closed_port() as nowhere:
        monkeypatch.setenv("https_proxy", nowhere)
        error = failed({"llm": model("https://llm.invalid/v1"), "budget": {"tokens": 1000}})
    assert str(error).startswith("llm: the proxy in https_proxy (http://127.0.0.1:")
    assert not error.wrong_use


@pytest.mark.parametrize("value", ["lots", -1, True, [1], 0.5])
def test_a_budget_of_tokens_is_a_number_unlimited_or_null(value):
    with pytest.raises(ConfigError, match=r"budget\.tokens: expected a .*number of at least 0, unlimited or null"):
        parse_config({"budget": {"tokens": value}})


def test_no_limit_is_a_value():
    budget = Config.model_validate({"budget": {"tokens": "unlimited", "usd": None}}).budget
    assert budget.bounds_spending
    assert "tokens" not in budget.limits
