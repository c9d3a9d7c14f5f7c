"""The client against a real HTTP server on loopback, one misbehaviour at a time."""

from __future__ import annotations

import asyncio
import builtins
import json
import logging
import socket
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from loopback_llm import Action, Answer, Fault, LoopbackLLM, Raw, Status, closed_port, proposal, valid_loss

from evo.proposing.llm.client import LLMClient, Reply
from evo.proposing.reply.reply import FailureKind, ParsedReply, ParseFailure, ReplyFormat, parse_reply
from fitness.chat.costs import Prices
from fitness.chat.endpoint import Endpoint, Retry
from fitness.chat.errors import Consequence, ErrorKind, LLMError
from fitness.chat.replies.answer import MAX_RESPONSE
from fitness.chat.request import Message

KEY = "sk-loopback-0123456789abcdef"
ASK = [Message("system", "You write losses."), Message("user", "Write one.")]
QUICK = Retry(attempts=3, first_wait=0.01, longest_wait=0.05)


@dataclass
class Log:
    """An observer that writes down what it is told."""

    started_attempts: list[int] = field(default_factory=list)
    sent: list[list[dict[str, str]]] = field(default_factory=list)
    errors: list[LLMError] = field(default_factory=list)
    waits: list[float | None] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def started(self, attempt: int, model: str, messages: Sequence[Message]) -> None:
        self.started_attempts.append(attempt)
        self.sent.append([{"role": message.role, "content": message.content} for message in messages])

    def failed(self, attempt: int, error: LLMError, next_in: float | None) -> None:
        self.errors.append(error)
        self.waits.append(next_in)

    def noted(self, text: str) -> None:
        self.notes.append(text)


def endpoint(base_url: str, **options: Any) -> Endpoint:
    options = {"timeout": 20.0, **options}
    return Endpoint.resolve("scripted-1", base_url=base_url, environ={"OPENAI_API_KEY": KEY}, **options)


def ask(base_url: str, log: Log | None = None, retry: Retry = QUICK, **options: Any) -> Reply:
    async def once() -> Reply:
        async with LLMClient(endpoint(base_url, **options), retry) as client:
            return await client.complete(ASK, temperature=0.7, seed=11, observer=log)

    return asyncio.run(once())


def refused(script: Sequence[Action], log: Log | None = None, **options: Any) -> tuple[LLMError, LoopbackLLM]:
    """The error that a request meets on a server with this script."""
    with LoopbackLLM(script) as server, pytest.raises(LLMError) as caught:
        ask(server.base_url, log, **options)
    return caught.value, server


def test_a_reply_comes_with_model_tokens_and_price():
    with LoopbackLLM([Answer("hello", usage={"prompt_tokens": 1_000_000, "completion_tokens": 500_000})]) as server:
        reply = ask(server.base_url, prices=Prices(input=2.0, output=8.0))
    assert (reply.text, reply.model) == ("hello", "scripted-1")
    assert (reply.tokens_in, reply.tokens_out, reply.usd) == (1_000_000, 500_000, 6.0)
    assert reply.seconds > 0


def test_the_request_carries_messages_key_settings_and_the_schema():
    with LoopbackLLM(["hello"]) as server:
        ask(server.base_url, max_tokens=321)
    (body,) = server.bodies
    assert body["messages"] == [{"role": m.role, "content": m.content} for m in ASK]
    assert (body["temperature"], body["seed"], body["max_tokens"]) == (0.7, 11, 321)
    assert list(body["response_format"]["json_schema"]["schema"]["properties"]) == ["thought", "name", "code"]
    assert server.keys == [KEY]


def test_unknown_price_and_unknown_usage_give_no_cost_instead_of_zero():
    with LoopbackLLM([Answer("a"), Answer("b", usage=None)]) as server:
        unpriced = ask(server.base_url)
        uncounted = ask(server.base_url, prices=Prices(1.0, 1.0))
    assert (unpriced.tokens_in, unpriced.usd) == (1000, None)
    assert (uncounted.tokens_in, uncounted.tokens_out, uncounted.usd) == (None, None, None)


FATAL = [
    (Fault.UNAUTHORIZED, ErrorKind.UNAUTHORIZED, "OPENAI_API_KEY"),
    (Fault.FORBIDDEN, ErrorKind.FORBIDDEN, "permissions"),
    (Fault.NOT_FOUND, ErrorKind.NOT_FOUND, "scripted-1, scripted-2"),
    (Fault.NO_CREDIT, ErrorKind.QUOTA, "top up"),
    (Status(402, {"error": {"message": "Payment required"}}), ErrorKind.QUOTA, "top up"),
    (
        Status(400, {"error": {"message": "API key not valid. Please pass a valid API key."}}),
        ErrorKind.UNAUTHORIZED,
        "key",
    ),
]


@pytest.mark.parametrize(("action", "kind", "remedy"), FATAL, ids=lambda v: str(v)[:24])
def test_what_no_retry_can_help_stops_the_run_after_one_request(action: Action, kind: ErrorKind, remedy: str):
    error, server = refused([action] * 3)
    assert (error.kind, error.consequence) == (kind, Consequence.STOP)
    assert remedy in error.remedy
    assert server.requests == 1


PASSING = [
    (Fault.RATE_LIMIT, ErrorKind.RATE_LIMIT),
    (Fault.SERVER_ERROR, ErrorKind.SERVER_ERROR),
    (Fault.HTML_ERROR, ErrorKind.SERVER_ERROR),
    (Fault.DISCONNECT, ErrorKind.DISCONNECTED),
    (Fault.RESET, ErrorKind.DISCONNECTED),
]


@pytest.mark.parametrize(("fault", "kind"), PASSING)
def test_what_passes_is_tried_again_and_each_attempt_is_seen(fault: Fault, kind: ErrorKind):
    log = Log()
    with LoopbackLLM([fault, fault, "at last"]) as server:
        reply = ask(server.base_url, log)
    assert (reply.text, reply.attempt, server.requests) == ("at last", 3, 3)
    assert log.started_attempts == [1, 2, 3]
    assert [e.kind for e in log.errors] == [kind, kind]


@pytest.mark.parametrize(("fault", "kind"), PASSING)
def test_what_does_not_pass_pauses_the_run_after_bounded_attempts(fault: Fault, kind: ErrorKind):
    log = Log()
    error, server = refused([fault] * 10, log)
    assert (error.kind, error.consequence) == (kind, Consequence.PAUSE)
    assert server.requests == QUICK.attempts
    assert log.waits[-1] is None
    assert None not in log.waits[:-1]


@pytest.mark.parametrize("fault", [Fault.HANG, Fault.SLOW])
def test_a_reply_that_does_not_end_in_time_is_a_timeout(fault: Fault):
    log = Log()
    error, _ = refused([fault, fault], log, timeout=0.3, retry=Retry(attempts=2, first_wait=0.01))
    assert (error.kind, error.consequence, error.possibly_paid) == (ErrorKind.TIMEOUT, Consequence.PAUSE, True)
    assert "0.3 s" in error.message
    assert "llm.timeout_seconds" in error.remedy
    assert log.started_attempts == [1, 2]


def test_a_closed_port_says_that_the_server_is_not_there():
    log = Log()
    with closed_port() as url, pytest.raises(LLMError) as caught:
        ask(url, log)
    assert (caught.value.kind, caught.value.possibly_paid) == (ErrorKind.CONNECTION, False)
    assert url in caught.value.message
    assert "refused the connection" in caught.value.message
    assert "start the server" in caught.value.remedy
    assert len(log.errors) == QUICK.attempts


def test_an_unknown_host_is_told_from_a_server_that_is_down(monkeypatch: pytest.MonkeyPatch):
    def unknown(*args: Any, **kwargs: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(LLMError) as caught:
        ask("http://models.invalid/v1")
    assert caught.value.kind is ErrorKind.CONNECTION
    assert "unknown" in caught.value.message


@pytest.mark.parametrize("fault", [Fault.BROKEN_JSON, Fault.NO_JSON, Fault.WRONG_CONTENT_TYPE, Fault.EMPTY_CHOICES])
def test_a_response_that_is_no_completion_costs_one_proposal_and_no_retry(fault: Fault):
    error, server = refused([fault] * 3)
    assert (error.kind, error.consequence) == (ErrorKind.MALFORMED, Consequence.SKIP)
    assert "/v1" in error.remedy
    assert server.requests == 1


def test_a_body_without_end_is_left_after_the_most_that_is_read():
    error, _ = refused([Raw(b" " * (8 * MAX_RESPONSE))])
    assert error.kind is ErrorKind.MALFORMED and f"more than {MAX_RESPONSE} bytes" in error.message


def test_a_completion_without_choices_still_reports_what_it_cost():
    error, _ = refused([Fault.EMPTY_CHOICES], prices=Prices(1.0, 1.0))
    assert (error.tokens_in, error.tokens_out) == (1000, 200)
    assert error.usd == pytest.approx(0.0012)


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault.PROSE, FailureKind.PROSE_ONLY),
        (Fault.CUT_OFF, FailureKind.CUT_OFF),
        (Fault.NULL_CONTENT, FailureKind.EMPTY),
    ],
)
def test_a_paid_reply_without_a_candidate_is_a_reply_and_fails_in_parsing(fault: Fault, kind: FailureKind):
    with LoopbackLLM([fault]) as server:
        reply = ask(server.base_url)
    parsed = parse_reply(reply.text)
    assert isinstance(parsed, ParseFailure)
    assert parsed.kind is kind
    assert reply.tokens_out == 200


def test_an_over_long_prompt_skips_one_proposal_and_drops_no_parameter():
    error, server = refused([Fault.TOO_LONG] * 3)
    assert (error.kind, error.consequence, server.requests) == (ErrorKind.TOO_LONG, Consequence.SKIP, 1)


def test_an_error_object_with_status_200_is_that_error():
    error, _ = refused([Status(200, {"error": {"code": 429, "message": "slow down"}})] * 3)
    assert (error.kind, error.status) == (ErrorKind.RATE_LIMIT, 429)


def test_the_wait_that_a_rate_limit_asks_for_is_kept():
    log = Log()
    with LoopbackLLM([Fault.RATE_LIMIT, "later"], retry_after="0.04") as server:
        ask(server.base_url, log)
    assert log.waits == [0.04]


def test_a_longer_wait_than_allowed_ends_the_retries_and_is_handed_on():
    with LoopbackLLM([Fault.RATE_LIMIT] * 3, retry_after="3600") as server, pytest.raises(LLMError) as caught:
        ask(server.base_url)
    assert (caught.value.retry_after, server.requests) == (3600.0, 1)


@pytest.mark.parametrize(
    ("headers", "low", "high"),
    [
        ({"Retry-After": "2"}, 2, 2),
        ({"retry-after-ms": "1500"}, 1.5, 1.5),
        ({"Retry-After": "Fri, 31 Dec 2100 23:59:59 GMT"}, 1e8, 1e10),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0, 0),
    ],
)
def test_retry_after_is_read_in_all_its_forms(headers: dict[str, str], low: float, high: float):
    log = Log()
    refused([Status(429, {}, headers)] * 3, log, retry=Retry(attempts=1))
    (error,) = log.errors
    assert error.retry_after is not None
    assert low <= error.retry_after <= high


@pytest.mark.parametrize("value", ["soon", "-3", "nan", "1e400", "9" * 400])
def test_a_retry_after_that_is_no_time_is_ignored(value: str):
    log = Log()
    with LoopbackLLM([Fault.RATE_LIMIT, "later"], retry_after=value) as server:
        ask(server.base_url, log)
    assert log.errors[0].retry_after is None


def test_a_rate_limit_holds_back_the_other_requests_too():
    async def asked_meanwhile(base_url: str) -> int:
        async with LLMClient(endpoint(base_url), Retry(longest_wait=60.0)) as client:
            told = asyncio.Event()
            log = Log()
            log.failed = lambda *_: told.set()  # type: ignore[method-assign]
            first = asyncio.create_task(client.complete(ASK, temperature=0.0, observer=log))
            await told.wait()
            second = asyncio.create_task(client.complete(ASK, temperature=0.0))
            await asyncio.sleep(0.2)
            first.cancel()
            second.cancel()
            await asyncio.gather(first, second, return_exceptions=True)
            return server.requests

    with LoopbackLLM([Fault.RATE_LIMIT], retry_after="30") as server:
        assert asyncio.run(asked_meanwhile(server.base_url)) == 1


def test_a_server_that_refuses_a_second_request_is_sent_one_at_a_time():
    slot = threading.Lock()

    def answer(body: dict[str, Any], number: int) -> Action:
        if not slot.acquire(blocking=False):
            return Status(429, {"error": {"message": "Model is overloaded"}})
        while not log.notes and not server.closing.wait(0.005):
            pass  # the others are refused until the client has learned from it
        slot.release()
        return "done"

    async def many(base_url: str) -> list[Reply]:
        async with LLMClient(endpoint(base_url), Retry(attempts=2, first_wait=0.01)) as client:
            asks = (client.complete(ASK, temperature=0.0, observer=log) for i in range(4))
            return await asyncio.gather(*asks)

    log = Log()
    with LoopbackLLM(fallback=answer) as server:
        assert [reply.text for reply in asyncio.run(many(server.base_url))] == ["done"] * 4
    assert log.notes and "answered 429" in log.notes[0] and "search.in_flight=" in log.notes[0]


def test_a_lone_request_that_times_out_lowers_nothing():
    log = Log()
    refused([Fault.HANG] * 2, log, timeout=0.2, retry=Retry(attempts=2, first_wait=0.01))
    assert not log.notes and len(log.errors) == 2


def test_attempts_go_on_counting_where_a_resumed_step_left_off():
    async def resumed(base_url: str) -> Reply:
        async with LLMClient(endpoint(base_url), QUICK) as client:
            return await client.complete(ASK, temperature=0.0, observer=log, first_attempt=4)

    log = Log()
    with LoopbackLLM([Fault.SERVER_ERROR]) as server:
        reply = asyncio.run(resumed(server.base_url))
    assert log.started_attempts == [4, 5]
    assert reply.attempt == 5


def test_an_observer_is_told_the_words_of_each_attempt_also_when_the_form_of_the_reply_changes():
    async def once(base_url: str) -> Reply:
        async with LLMClient(endpoint(base_url), QUICK) as client:
            prompt = lambda form, _: [Message("user", f"Write one, as {form}.")]  # noqa: E731
            return await client.complete(prompt, temperature=0.0, observer=log)

    log = Log()
    with LoopbackLLM(rejects=["response_format"]) as server:
        asyncio.run(once(server.base_url))
    assert log.sent == [body["messages"] for body in server.bodies]
    assert [messages[0]["content"] for messages in log.sent] == ["Write one, as json.", "Write one, as fenced."]


def test_an_observer_that_cannot_record_keeps_the_request_from_leaving():
    class FullDisk(Log):
        def started(self, attempt: int, model: str, messages: Sequence[Message]) -> None:
            raise OSError("disk full")

    with LoopbackLLM() as server, pytest.raises(OSError, match="disk full"):
        ask(server.base_url, FullDisk())
    assert server.requests == 0


def test_a_cancelled_request_stays_started_so_that_it_counts_as_possibly_paid():
    async def cancelled(base_url: str) -> None:
        async with LLMClient(endpoint(base_url), QUICK) as client:
            task = asyncio.create_task(client.complete(ASK, temperature=0.0, observer=log))
            while not server.requests:
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    log = Log()
    with LoopbackLLM([Fault.HANG]) as server:
        asyncio.run(cancelled(server.base_url))
    assert (log.started_attempts, log.errors) == ([1], [])


def test_many_requests_in_flight_each_get_their_own_reply():
    async def many(base_url: str) -> list[Reply]:
        async with LLMClient(endpoint(base_url), QUICK) as client:
            asks = [[Message("user", f"number {i}")] for i in range(20)]
            return await asyncio.gather(*(client.complete(a, temperature=0.0) for i, a in enumerate(asks)))

    with LoopbackLLM(fallback=lambda body, _: body["messages"][0]["content"], latency=0.05) as server:
        replies = asyncio.run(many(server.base_url))
    assert [r.text for r in replies] == [f"number {i}" for i in range(20)]


# --- What an endpoint does not take ----------------------------------------------------------------------------------


def two_replies(server: LoopbackLLM, **options: Any) -> tuple[Reply, Reply]:
    def prompt(reply_format: ReplyFormat, most_tokens: int | None) -> list[Message]:
        return [Message("user", f"reply as {reply_format}")]

    async def twice() -> tuple[Reply, Reply]:
        async with LLMClient(endpoint(server.base_url, **options), QUICK) as client:
            first = await client.complete(prompt, temperature=0.7, seed=5)
            return first, await client.complete(prompt, temperature=0.7, seed=5)

    return asyncio.run(twice())


def test_an_endpoint_without_structured_output_is_asked_for_fenced_code_from_then_on(caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.WARNING), LoopbackLLM(rejects=["response_format"]) as server:
        first, second = two_replies(server)
    assert ["response_format" in body for body in server.bodies] == [True, False, False]
    assert server.bodies[1]["messages"][0]["content"] == "reply as fenced"
    assert (first.reply_format, second.reply_format) == (ReplyFormat.FENCED, ReplyFormat.FENCED)
    parsed = parse_reply(second.text)
    assert isinstance(parsed, ParsedReply)
    assert parsed.code == valid_loss(2)
    assert [r.getMessage() for r in caplog.records if "fenced" in r.getMessage()] != []
    assert len(caplog.records) == 1


@pytest.mark.parametrize("parameter", ["max_tokens", "temperature", "seed"])
def test_a_parameter_that_the_model_refuses_is_left_out_from_then_on(parameter: str):
    with LoopbackLLM(rejects=[parameter]) as server:
        _, second = two_replies(server)
    assert [parameter in body for body in server.bodies] == [True, False, False]
    assert second.reply_format is ReplyFormat.JSON
    assert ("max_completion_tokens" in server.bodies[2]) == (parameter == "max_tokens")


def test_an_endpoint_that_refuses_everything_optional_is_still_asked():
    with LoopbackLLM(rejects=["max_tokens", "temperature", "seed", "response_format"]) as server:
        _, second = two_replies(server)
    assert set(server.bodies[-1]) == {"model", "messages", "max_completion_tokens"}
    assert server.requests == 6
    assert isinstance(parse_reply(second.text), ParsedReply)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (400, "System role not supported"),
        (500, "Jinja Exception: Conversation roles must alternate user/assistant/user/assistant/..."),
        (400, "Developer instruction is not enabled for models/m"),
    ],
)
def test_a_model_without_a_system_role_is_told_the_same_as_its_user(status: int, words: str):
    async def twice(base_url: str) -> None:
        async with LLMClient(endpoint(base_url), QUICK) as client:
            for _ in range(2):
                await client.complete(ASK, temperature=0.7)

    with LoopbackLLM([Status(status, {"error": {"message": words}})]) as server:
        asyncio.run(twice(server.base_url))
    first, *told = [[(m["role"], m["content"]) for m in body["messages"]] for body in server.bodies]
    assert [role for role, _ in first] == ["system", "user"]
    assert told == [[("user", "You write losses.\n\nWrite one.")]] * 2
    assert "response_format" in server.bodies[-1]


def test_a_server_whose_grammar_compiler_fails_is_asked_for_fenced_code():
    with LoopbackLLM([Status(500, {"error": {"message": "Failed to parse grammar"}})]) as server:
        _, second = two_replies(server)
    assert second.reply_format is ReplyFormat.FENCED
    assert server.requests == 3


def test_a_refusal_that_persists_without_the_schema_drops_nothing_for_good():
    nonsense = Status(400, {"error": {"message": "the moon is in the wrong phase"}})
    log = Log()
    error, server = refused([nonsense, nonsense], log)
    assert (error.kind, error.consequence) == (ErrorKind.BAD_REQUEST, Consequence.STOP)
    assert "wrong phase" in error.message
    assert server.requests == 2
    with LoopbackLLM([nonsense, nonsense]) as server:

        async def again() -> None:
            async with LLMClient(endpoint(server.base_url), QUICK) as client:
                with pytest.raises(LLMError):
                    await client.complete(ASK, temperature=0.7)
                await client.complete(ASK, temperature=0.7)

        asyncio.run(again())
    assert "response_format" in server.bodies[-1]


# --- The key ---------------------------------------------------------------------------------------------------------


def test_the_key_is_in_no_message_no_log_and_no_representation(caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.DEBUG):
        error, server = refused([Fault.ECHO_KEY])
    assert server.keys == [KEY]
    place = endpoint(server.base_url)
    shown = [str(error), repr(error), repr(place), str(place), repr(place.where), caplog.text, repr(error.args)]
    assert all(KEY not in text for text in shown)
    assert "[api key]" in error.message
    assert error.__cause__ is None
    assert error.__suppress_context__


def test_an_endpoints_words_reach_the_message_as_one_short_printable_line():
    hostile = "\x1b[31mRed\x1b[0m\r\n[error] forged line \u202e" + "x" * 5000
    error, _ = refused([Status(401, {"error": {"message": hostile}})])
    assert error.message.isprintable()
    assert len(error.message) < 500


def test_a_key_in_a_reply_is_struck_out():
    with LoopbackLLM([f"your key is {KEY}"]) as server:
        assert ask(server.base_url).text == "your key is [api key]"


def test_credentials_in_the_base_url_stay_out_of_messages():
    with closed_port() as url, pytest.raises(LLMError) as caught:
        ask(url.replace("http://", "http://user:secret@"), retry=Retry(attempts=1))
    assert "secret" not in str(caught.value)
    assert "refused" in caught.value.message


# --- Configuration ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "base_url", "key", "says"),
    [
        ("m", None, "", "needs a key"),
        ("m", "localhost:8000/v1", "", "not an http or https address"),
        ("m", "file:///etc/passwd", "", "not an http or https address"),
        ("m", "http://", "", "not an http or https address"),
        ("m", "http://a..b/v1", "", "not an http or https address"),
        ("m", "http://256.1.1.1/v1", "", "not an http or https address"),
        ("m", "http://[::1", "", "not an http or https address"),
        ("m", "http://localhost:99999/v1", "", "not an http or https address"),
        ("m", "http://localhost:8000/v1/chat/completions", "", "one service"),
        ("  ", "http://localhost:8000/v1", "", "no model"),
        ("m", None, "sk-“quoted”-key", "not valid in a key"),
        ("m", None, "sk-two\nlines", "not valid in a key"),
    ],
)
def test_a_configuration_that_cannot_work_is_refused_before_any_request(
    model: str, base_url: str | None, key: str, says: str
):
    with pytest.raises(LLMError, match=says) as caught:
        Endpoint.resolve(model, base_url=base_url, environ={"OPENAI_API_KEY": key})
    assert caught.value.kind is ErrorKind.CONFIGURATION
    assert caught.value.remedy
    assert not key or key not in str(caught.value)


def test_the_environment_names_the_endpoint_and_the_configuration_overrides_it():
    environ = {"OPENAI_API_KEY": "sk-a", "OTHER_KEY": "sk-b", "OPENAI_BASE_URL": "http://gateway/v1/"}
    assert Endpoint.resolve("m", environ=environ).base_url == "http://gateway/v1"
    own = Endpoint.resolve("m", base_url="http://localhost:1/v1", key_variable="OTHER_KEY", environ=environ)
    assert (own.base_url, own.api_key) == ("http://localhost:1/v1", "sk-b")


def test_a_local_server_needs_no_key():
    with LoopbackLLM(["fine"]) as server:

        async def once() -> Reply:
            async with LLMClient(Endpoint.resolve("m", base_url=server.base_url, environ={})) as client:
                return await client.complete(ASK, temperature=0.0)

        assert asyncio.run(once()).text == "fine"


def test_a_proxy_in_the_environment_is_not_asked_for_a_local_server(monkeypatch: pytest.MonkeyPatch):
    with closed_port() as nowhere, LoopbackLLM(["direct"]) as server:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, nowhere)
        assert ask(server.base_url).text == "direct"


def test_without_the_sdk_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    real = builtins.__import__

    def missing(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "openai":
            raise ModuleNotFoundError("No module named 'openai'")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(LLMError) as caught:
        LLMClient(Endpoint("m", "http://localhost:1/v1"))
    assert caught.value.remedy == "pip install 'evopo[llm]'"


def test_the_worst_case_counts_the_prompt_and_the_longest_reply():
    async def worst() -> tuple[int, float | None]:
        async with LLMClient(endpoint("http://127.0.0.1:1/v1", max_tokens=1000, prices=Prices(1.0, 10.0))) as client:
            return client.worst_case([Message("user", "x" * 3000)])

    tokens, usd = asyncio.run(worst())
    assert tokens == 1000 + 8 + 1000
    assert usd == pytest.approx(0.011008)


def test_text_that_no_file_can_hold_is_made_writable():
    completion = {"choices": [{"message": {"content": "a\ud800b"}, "finish_reason": "stop"}]}
    with LoopbackLLM([Status(200, completion)]) as server:
        assert ask(server.base_url).text == "a?b"


@pytest.mark.parametrize(
    "completion",
    [
        {"choices": [{"message": {"content": [{"type": "text", "text": "in "}, {"type": "text", "text": "parts"}]}}]},
        {
            "choices": [{"message": {"content": None, "refusal": "in parts"}, "finish_reason": 7}],
            "usage": [],
            "model": None,
        },
    ],
)
def test_answers_of_unusual_shape_are_read_where_they_can_be(completion: dict[str, Any]):
    with LoopbackLLM([Status(200, completion)]) as server:
        reply = ask(server.base_url)
    assert (reply.text, reply.tokens_in) == ("in parts", None)


def test_a_stream_that_nobody_asked_for_is_a_reply():
    chunks = [{"choices": [{"index": 0, "delta": {"content": text}}]} for text in ("in ", "pieces")]
    chunks.append({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 2}})
    body = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
    for content_type in ("text/event-stream; charset=utf-8", "application/json"):
        with LoopbackLLM([Raw(body.encode(), content_type)]) as server:
            reply = ask(server.base_url)
        assert (reply.text, reply.tokens_in, reply.tokens_out) == ("in pieces", 7, 2)


def test_reasoning_beside_a_reply_is_no_part_of_it():
    message = {
        "content": [{"type": "thinking", "thinking": "draft"}, {"type": "text", "text": "answer"}],
        "reasoning": "draft",
    }
    with LoopbackLLM([Status(200, {"choices": [{"message": message, "finish_reason": "stop"}]})]) as server:
        assert ask(server.base_url).text == "answer"


def test_a_prompt_that_is_filtered_skips_one_proposal_and_costs_nothing():
    filtered = {"error": {"message": "The response was filtered", "code": "content_filter", "status": 400}}
    error, server = refused([Status(400, filtered)] * 3)
    assert (error.kind, error.consequence, server.requests) == (ErrorKind.FILTERED, Consequence.SKIP, 1)
    assert (error.tokens_in, error.tokens_out, error.usd) == (0, 0, 0.0)


@pytest.mark.parametrize(
    "completion",
    [{"choices": "x"}, {"choices": [None]}, {"choices": [{"message": "x"}]}, {"choices": [[]]}, {}, {"id": "x"}],
    ids=json.dumps,
)
def test_answers_that_make_no_sense_are_malformed(completion: dict[str, Any]):
    error, _ = refused([Status(200, completion)])
    assert error.kind is ErrorKind.MALFORMED


def test_the_scripted_losses_all_differ_and_parse():
    replies = [parse_reply(proposal(valid_loss(i))) for i in range(1, 60)]
    assert len({r.code for r in replies if isinstance(r, ParsedReply)}) == 59


# ---- prompts that are too long for the model ----------------------------------------------------------------------------


def words_of(_: ReplyFormat, most_tokens: int | None) -> list[Message]:
    """A prompt of 1,000 letters that can be shortened to 300."""
    return [Message("user", "a" * max(300, min(1000, 3 * ((most_tokens or 1000) - 8))))]


def asked(server: LoopbackLLM, log: Log, context_tokens: int | None = None) -> Reply:
    async def once() -> Reply:
        chosen = endpoint(server.base_url, max_tokens=64)
        async with LLMClient(chosen, QUICK, context_tokens=context_tokens) as client:
            await client.complete(words_of, temperature=0.7, observer=log)
            return await client.complete(words_of, temperature=0.7, observer=log)

    return asyncio.run(once())


def test_a_prompt_that_the_endpoint_refuses_as_too_long_is_shortened_and_later_ones_are_short_from_the_start():
    log = Log()
    with LoopbackLLM([Fault.TOO_LONG, Fault.TOO_LONG]) as server:
        asked(server, log)
        sizes = [len(body["messages"][0]["content"]) for body in server.bodies]
    assert len(sizes) == 4 and sizes[0] == 1000 > sizes[1] > sizes[2] == sizes[3]
    assert [error.kind for error in log.errors] == [ErrorKind.TOO_LONG] * 2, "each attempt is recorded"
    assert len(log.notes) == 2 and all("longer than the model's context" in note for note in log.notes)


def test_a_prompt_that_cannot_be_shortened_any_more_is_refused_in_the_end():
    log = Log()
    with LoopbackLLM([Fault.TOO_LONG] * 20) as server, pytest.raises(LLMError) as caught:
        asked(server, log)
    assert caught.value.kind is ErrorKind.TOO_LONG
    assert log.sent[-1] == [{"role": "user", "content": "a" * 300}]


def test_a_known_context_is_kept_from_the_first_request_on():
    log = Log()
    with LoopbackLLM() as server:
        asked(server, log, context_tokens=264)
        assert [len(body["messages"][0]["content"]) for body in server.bodies] == [576, 576]
    assert "about 200 tokens are shortened" in log.notes[0]


@pytest.mark.parametrize("form", list(ReplyFormat))
def test_the_endpoint_is_asked_to_enforce_the_form_that_was_configured(form: ReplyFormat):
    async def once() -> Reply:
        async with LLMClient(endpoint(server.base_url), QUICK, form) as client:
            return await client.complete(ASK, temperature=0.7)

    with LoopbackLLM() as server:
        reply = asyncio.run(once())
        (body,) = server.bodies
    assert reply.reply_format is form
    schema = body.get("response_format", {}).get("json_schema", {}).get("schema", {}).get("properties", {})
    kinds = {ReplyFormat.JSON: "string", ReplyFormat.LINES: "array", ReplyFormat.FENCED: None}
    assert schema.get("code", {}).get("type") == kinds[form]
