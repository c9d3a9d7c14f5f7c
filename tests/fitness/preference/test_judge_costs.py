"""Usage of a judge: read from its replies, an upper bound if not reported, and bounded in advance."""

import json
import socket
import threading
import time
from typing import Any

import pytest
from loopback_llm import Answer, Fault, LoopbackLLM, Status, closed_port

from fitness.chat import asker
from fitness.chat.costs import Prices, Usage, is_paid, on_this_machine
from fitness.preference.judge import judge
from fitness.preference.judge.judge import Judge
from fitness.preference.options import JudgeEvaluation
from fitness.score import EvaluationFailed
from fitness.task import task_info

FIRST = '{"better": "first"}'
COUNTED = Answer(FIRST, usage={"prompt_tokens": 100, "completion_tokens": 10})


def options(base_url: str, **changes: Any) -> JudgeEvaluation:
    return JudgeEvaluation(by="judge", base_url=base_url, model="scripted-1", max_tokens=50, **changes)


def compared(server: LoopbackLLM, prompts: int = 1, **changes: Any) -> Usage:
    texts = ["p"] * prompts
    return Judge(options(server.base_url, **changes)).compare(texts, texts, texts)[2]


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(asker, "FIRST_PAUSE", 0.01)


def test_reported_usage_is_summed_and_priced():
    with LoopbackLLM(fallback=lambda body, number: COUNTED) as server:
        paid = compared(server, 3, usd_per_million_in=2, usd_per_million_out=8)
    assert (paid.tokens_in, paid.tokens_out) == (600, 60)
    assert paid.usd == pytest.approx((600 * 2 + 60 * 8) / 1e6)


def test_without_prices_the_cost_in_usd_is_unknown():
    with LoopbackLLM(fallback=lambda body, number: COUNTED) as server:
        assert compared(server).usd is None


def test_a_reply_that_cannot_be_read_is_paid_for_too():
    unreadable = Answer("no idea", usage={"prompt_tokens": 100, "completion_tokens": 10})
    with LoopbackLLM([unreadable], fallback=lambda body, number: COUNTED) as server:
        assert compared(server, 5).tokens == 10 * 110


def test_a_reply_without_usage_counts_with_the_upper_bound():
    with LoopbackLLM(fallback=lambda body, number: Answer(FIRST, usage=None)) as server:
        paid = compared(server)
    assert paid.tokens_out == 2 * 50
    assert paid.tokens_in > 2 * len(judge.INSTRUCTIONS) // 4


@pytest.mark.parametrize(
    ("usage", "paid"),
    [
        ({"prompt_tokens": 100.0, "completion_tokens": "10"}, (100, 10)),
        ({"prompt_tokens": 100, "total_tokens": 110}, (100, 10)),
        ({"input_tokens": 100, "output_tokens": 10}, (100, 10)),
        ({"prompt_tokens": 100}, (100, 50)),
        ({"prompt_tokens": 0, "completion_tokens": 0}, (None, 50)),
        ({"completion_tokens": -1}, (None, 50)),
    ],
    ids=lambda value: str(value)[:60],
)
def test_usage_is_read_in_any_form_and_what_is_unknown_counts_at_its_most(usage, paid):
    completion = {"choices": [{"message": {"content": FIRST}, "finish_reason": "stop"}], "usage": usage}
    with LoopbackLLM(fallback=lambda body, number: Status(200, completion)) as server:
        total = compared(server)
    assert total.tokens_out == 2 * paid[1]
    assert total.tokens_in == 2 * paid[0] if paid[0] else total.tokens_in > 2 * len(judge.INSTRUCTIONS) // 4


def test_a_server_with_one_slot_gets_fewer_concurrent_requests_and_judges_every_question(caplog):
    """Each reply takes more than a third of the time limit: one request is in time, eight at once are not."""
    slot = threading.Lock()

    def one_at_a_time(body, number):
        with slot:
            time.sleep(0.15)
        return COUNTED

    with LoopbackLLM(fallback=one_at_a_time) as server:
        texts = ["p"] * 6
        ours = Judge(options(server.base_url, timeout_seconds=0.4, concurrency=8))
        _, metrics, _ = ours.compare(texts, texts, texts)
    assert metrics["judge_unreadable"] == 0.0
    said = [record.getMessage() for record in caplog.records if "fitness.evaluation.concurrency" in record.getMessage()]
    assert len(said) == len(set(said)) >= 1
    assert "at most 4" in said[0]


@pytest.mark.parametrize("fault", [Fault.HANG, Fault.SLOW])
def test_a_judge_that_is_slow_alone_names_the_time_limit(fault):
    with (
        LoopbackLLM(fallback=lambda body, number: fault) as server,
        pytest.raises(EvaluationFailed) as caught,
    ):
        Judge(options(server.base_url, timeout_seconds=0.1)).check()
    assert "did not answer within 0.1 s" in caught.value.detail
    for option in ("fitness.evaluation.concurrency=1", "fitness.evaluation.timeout_seconds"):
        assert option in caught.value.detail


@pytest.mark.parametrize("fault", [Fault.DISCONNECT, Fault.BROKEN_JSON, Fault.WRONG_CONTENT_TYPE])
def test_a_request_that_was_cut_off_and_made_again_is_counted_twice(fault):
    with LoopbackLLM([fault], fallback=lambda body, number: COUNTED) as server:
        paid = compared(server, concurrency=1)
    assert paid.tokens_out == 2 * 10 + 50


@pytest.mark.parametrize("fault", [Fault.SERVER_ERROR, Fault.RATE_LIMIT, Fault.TOO_LONG])
def test_an_error_status_costs_nothing(fault):
    with LoopbackLLM([fault], fallback=lambda body, number: COUNTED) as server:
        paid = compared(server, 5, concurrency=1)
        answered = server.requests - 1
    assert paid.tokens == answered * 110


def test_a_judge_that_is_not_there_costs_nothing(monkeypatch):
    monkeypatch.setattr(judge, "PATIENCE", 0.1)
    with closed_port() as address, pytest.raises(EvaluationFailed) as caught:
        Judge(options(address)).compare(["p"], ["a"], ["b"])
    assert caught.value.paid == Usage()


def test_a_failure_has_the_usage_before_it():
    with (
        LoopbackLLM([COUNTED] * 3, fallback=lambda body, number: Fault.UNAUTHORIZED) as server,
        pytest.raises(EvaluationFailed) as caught,
    ):
        compared(server, 5, concurrency=1)
    assert caught.value.paid is not None
    assert caught.value.paid.tokens == 3 * 110


def test_the_easy_question_is_paid_for():
    with LoopbackLLM(fallback=lambda body, number: COUNTED) as server:
        assert Judge(options(server.base_url)).check().tokens == 110


@pytest.mark.parametrize("rejects", [["max_tokens"], ["max_tokens", "max_completion_tokens"]])
def test_a_bound_on_replies_is_sent_in_the_form_that_the_judge_takes(rejects):
    with LoopbackLLM(fallback=lambda body, number: COUNTED, rejects=rejects) as server:
        compared(server)
        sent = server.bodies[-1]
    assert "max_tokens" not in sent
    assert ("max_completion_tokens" in sent) is (len(rejects) == 1)


def test_without_a_system_role_the_instructions_go_into_the_user_message():
    def reply(body, number):
        takes = body["messages"][0]["role"] == "user"
        return COUNTED if takes else Status(400, {"error": {"message": "System role not supported"}})

    with LoopbackLLM(fallback=reply) as server:
        compared(server, 2, concurrency=2)
    answered = [body["messages"] for body in server.bodies if len(body["messages"]) == 1]
    assert len(answered) == 4
    assert all(message["content"].startswith(judge.INSTRUCTIONS) for (message,) in answered)


def test_a_question_that_is_too_long_does_not_change_how_the_others_are_asked():
    with LoopbackLLM([Fault.TOO_LONG], fallback=lambda body, number: COUNTED) as server:
        compared(server, 5, concurrency=1)
        assert server.bodies[-1]["max_tokens"] == 50


def test_the_worst_case_of_a_training_is_not_below_what_its_judge_charges(tmp_path):
    """With answers of maximal length and no reported usage, each question counts with its upper bound."""
    evaluation = options("http://127.0.0.1:1/v1", prompts=4, max_new_tokens=20).model_dump()
    given = {"model": "m", "data": "d/d", "max_length": 64, "pairs": 2, "batch_size": 2, "evaluation": evaluation}
    info = task_info("preference", given)
    answer, prompt = "word " * 20, "word " * 64
    with LoopbackLLM(fallback=lambda body, number: Answer(FIRST, usage=None)) as server:
        ours = Judge(options(server.base_url))
        _, _, paid = ours.compare([prompt] * 4, [answer] * 4, [answer] * 4)
        paid += ours.check()
    assert info.judging("full").tokens >= paid.tokens
    assert info.judging("held_out") == info.judging("full")


def test_prices_and_bounds_do_not_change_a_runs_identity():
    def identity(**changes: Any) -> Any:
        evaluation = {"by": "judge", "base_url": "http://h/v1", "model": "j", **changes}
        return task_info("preference", {"model": "m", "data": "d/d", "evaluation": evaluation}).identity

    plain = identity()
    assert identity(max_tokens=10, usd_per_million_in=1, usd_per_million_out=2) == plain
    assert identity(opponent="chosen") != plain
    assert not {"max_tokens", "usd_per_million_in"} & json.loads(json.dumps(plain))["options"]["evaluation"].keys()


@pytest.mark.parametrize(
    ("address", "prices", "paid"),
    [
        ("https://api.openai.com/v1", Prices(), True),
        ("http://192.168.1.7:8000/v1", Prices(), True),
        ("http://192.168.1.7:8000/v1", Prices(0, 0), False),
        ("http://localhost:8000/v1", Prices(), False),
        ("http://127.1.2.3/v1", Prices(), False),
        ("http://[::1]:8000/v1", Prices(), False),
        ("http://[::ffff:127.0.0.1]:8000/v1", Prices(), False),
        (f"http://{socket.gethostname()}:8000/v1", Prices(), False),
        ("http://localhost:4000/v1", Prices(1, 2), True),
        ("https://localhost.example.com/v1", Prices(), True),
    ],
)
def test_a_remote_endpoint_is_paid_unless_its_prices_are_0(address, prices, paid):
    assert is_paid(address, prices) is paid
    assert on_this_machine(address) or paid or prices.known
