"""Several endpoints and the built-in proposer in one run: real servers on loopback, of which some stall, refuse or fail."""

from __future__ import annotations

import json
import re
import signal
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from campaigns import QUICK, Command, assert_sound, classification_losses, wait_for
from loopback_llm import Action, Fault, LoopbackLLM

from archive.query import Reader
from archive.records import ProposalRow, ProposalState
from evo.campaign.asking import endpoint_monitor, proposers


def endpoint(name: str, server: LoopbackLLM, **more: Any) -> dict[str, Any]:
    return {"name": name, "base_url": server.base_url, "model": "scripted-1", "attempts": 1, **more}


def arguments(*models: Mapping[str, Any], proposals: int, proposer: str = "openai", in_flight: int = 4) -> list[str]:
    return [
        "run", "--dir", "run", *QUICK, "--set", f"proposers={json.dumps(models)}", "--set", f"proposer={proposer}",
        "--set", f"budget.proposals={proposals}", "--set", f"search.in_flight={in_flight}", "--set", "ladder.finalists=0",
        "--set", "ladder.contenders=0",
    ]  # fmt: skip


def proposals_of(folder: Path) -> list[ProposalRow]:
    assert_sound(folder / "run/archive.db")
    with Reader.open(folder / "run/archive.db") as reader:
        return reader.proposals()


def hang(body: dict[str, Any], number: int) -> Action:
    return Fault.HANG


def limited(body: dict[str, Any], number: int) -> Action:
    return Fault.RATE_LIMIT


def test_a_stalled_endpoint_stops_nobody_and_the_run_replays(evo: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proposers, "LATE_SECONDS", 0.5)
    with LoopbackLLM(fallback=classification_losses) as fast, LoopbackLLM(fallback=hang) as stalled:
        models = endpoint("fast", fast), endpoint("stalled", stalled, weight=20, timeout_seconds=5, concurrency=1)
        done = evo.run(*arguments(*models, proposals=6))
    assert done.code == 0, done.err
    found = proposals_of(evo.folder)
    answered = [p for p in found if p.reply is not None]
    assert len(answered) == 6 and {p.proposer for p in answered} == {"fast"}
    # Others were chosen while a request to the stalled one was still in progress.
    failures = [p.received_event or 0 for p in found if p.proposer == "stalled"]
    freed = [p.requested_event for p in answered if p.references.get("unavailable") == ["stalled"]]
    assert failures and freed and min(freed) < min(failures)
    assert evo.run("replay", "run").code == 0


def test_an_endpoint_that_fails_is_rested_and_the_others_go_on(evo: Command) -> None:
    with LoopbackLLM(fallback=classification_losses) as fast, LoopbackLLM(fallback=limited) as limit:
        done = evo.run(*arguments(endpoint("fast", fast), endpoint("limit", limit, weight=20), proposals=6))
    assert done.code == 0, done.err
    assert done.out.count("limit: rested, the others go on") == 1
    answered = [p for p in proposals_of(evo.folder) if p.reply is not None]
    assert len(answered) == 6 and {p.proposer for p in answered} == {"fast"}
    assert evo.run("replay", "run").code == 0


def test_an_endpoint_that_works_again_is_asked_again_after_its_rest(
    evo: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proposers, "REST_SECONDS", 0.0)
    monkeypatch.setattr(endpoint_monitor, "FAILURES", 1)
    with (
        LoopbackLLM(fallback=classification_losses) as fast,
        LoopbackLLM([Fault.SERVER_ERROR] * 3, fallback=classification_losses) as flaky,
    ):
        done = evo.run(*arguments(endpoint("fast", fast), endpoint("flaky", flaky, weight=20), proposals=8))
    assert done.code == 0, done.err
    assert "flaky: asked again after its rest" in done.out
    assert any(p.proposer == "flaky" and p.reply is not None for p in proposals_of(evo.folder))


def test_the_session_ends_once_all_endpoints_have_failed(evo: Command) -> None:
    with LoopbackLLM(fallback=limited) as one, LoopbackLLM(fallback=limited) as other:
        done = evo.run(*arguments(endpoint("one", one), endpoint("other", other), proposals=6))
    assert done.code == 1
    for name in ("one", "other"):
        assert re.search(rf"\b{name}: \d requests in a row got no reply", done.err)


def test_what_an_endpoint_refuses_is_left_out_for_it_alone(evo: Command) -> None:
    given = {"extra_body": {"top_k": 3}, "reasoning_effort": "low"}
    with (
        LoopbackLLM(fallback=classification_losses, rejects=("top_k",)) as plain,
        LoopbackLLM(fallback=classification_losses) as rich,
    ):
        models = endpoint("plain", plain, **given), endpoint("rich", rich, **given)
        done = evo.run(*arguments(*models, proposals=8, proposer="mixed"))
    assert done.code == 0, done.err
    assert all(body["top_k"] == 3 and body["reasoning_effort"] == "low" for body in rich.bodies)
    sent = [("top_k" in body, body["reasoning_effort"]) for body in plain.bodies]
    assert sent[0] == (True, "low") and sent[-1] == (False, "low")
    answered = Counter(p.proposer for p in proposals_of(evo.folder) if p.reply is not None)
    assert answered.keys() == {"plain", "rich", "builtin"} and answered.total() == 8
    assert evo.run("replay", "run").code == 0


def test_after_kill_9_with_requests_at_both_endpoints_nothing_is_asked_for_twice(evo: Command) -> None:
    archive = evo.folder / "run/archive.db"
    with (
        LoopbackLLM(fallback=classification_losses, latency=30.0) as one,
        LoopbackLLM(fallback=classification_losses, latency=30.0) as other,
    ):
        given = arguments(endpoint("one", one), endpoint("other", other), proposals=4, in_flight=4)
        process = evo.start(*given)
        wait_for(
            process, archive,
            lambda reader: {p.proposer for p in reader.proposals(ProposalState.REQUESTED)} == {"one", "other"},
        )  # fmt: skip
        process.send_signal(signal.SIGKILL)
        process.communicate()
        one.latency = other.latency = 0.0
        resumed = evo.run(*given)
        asked = one.requests + other.requests
    assert resumed.code == 0 and "possibly paid" in resumed.out, resumed.err
    found = proposals_of(evo.folder)
    received = [p.step for p in found if p.reply is not None]
    assert len(received) == len(set(received)) == 4
    lost = [p for p in found if p.state is ProposalState.LOST]
    assert {p.proposer for p in lost} == {"one", "other"}
    assert asked <= len(found) == len(received) + len(lost)
    assert evo.run("replay", "run").code == 0
