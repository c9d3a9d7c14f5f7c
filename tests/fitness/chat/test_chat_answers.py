"""Responses with status 200 in the forms that servers document: text, finish reason, tokens, or an error."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from fitness.chat.costs import Prices
from fitness.chat.errors import Consequence, ErrorKind, LLMError, Where
from fitness.chat.replies.answer import Completion, read_answer

HOSTED = Where("https://api.example.com/v1", "m", "API_KEY", "sk-secret-0123456789")
REPLY = '{"better": "second"}'
THOUGHTS = 'Perhaps {"better": "first"}?'


def read(body: Any, content_type: str = "application/json", where: Where = HOSTED) -> Completion:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read_answer(where, content, content_type, Prices(1.0, 2.0))


def error(body: Any, content_type: str = "application/json", where: Where = HOSTED) -> LLMError:
    with pytest.raises(LLMError) as caught:
        read(body, content_type, where)
    return caught.value


def chat(content: Any = REPLY, reason: str | None = "stop", **more: Any) -> dict[str, Any]:
    """A completion; fields outside the message are given as `top` and `choice`."""
    top, choice = more.pop("top", {}), more.pop("choice", {})
    message = {"role": "assistant", "content": content, **more}
    return {
        "id": "c-1", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": reason, **choice}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}, **top,
    }  # fmt: skip


DIALECTS = {
    "OpenAI": chat(
        refusal=None, annotations=[], choice={"logprobs": None},
        top={"usage": {
            "prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14,
            "prompt_tokens_details": {"cached_tokens": 8, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 4, "accepted_prediction_tokens": 0},
        }},
    ),
    "vLLM, older": chat(reasoning_content=THOUGHTS, tool_calls=[], choice={"stop_reason": None}),
    "vLLM": chat(reasoning=THOUGHTS, reasoning_content=THOUGHTS, tool_calls=[], choice={"stop_reason": 151645}),
    "vLLM without a reasoning parser": chat(f"<think>\n{THOUGHTS}\n</think>\n\n{REPLY}"),
    "SGLang": chat(reasoning_content=None, tool_calls=None, choice={"matched_stop": 151645}),
    "llama.cpp": chat(
        reasoning_content=THOUGHTS,
        top={"timings": {"prompt_n": 1, "predicted_n": 5}, "system_fingerprint": "b6000", "__verbose": {"content": "x"}},
    ),
    "Ollama": chat(reasoning=THOUGHTS, top={"system_fingerprint": "fp_ollama"}),
    "Ollama, its own protocol": {
        "model": "m", "created_at": "2025-01-01T00:00:00Z", "done": True, "done_reason": "stop", "eval_duration": 4,
        "message": {"role": "assistant", "content": REPLY, "thinking": THOUGHTS}, "prompt_eval_count": 9, "eval_count": 5,
    },
    "LM Studio": chat(reasoning_content=THOUGHTS, tool_calls=[], top={"stats": {}, "system_fingerprint": "m"}),
    "LiteLLM": chat(
        reasoning_content=THOUGHTS, provider_specific_fields={"refusal": None}, function_call=None, tool_calls=None,
        thinking_blocks=[{"type": "thinking", "thinking": THOUGHTS, "signature": "s"}], top={"service_tier": None},
    ),
    "OpenRouter": chat(
        reasoning=THOUGHTS, reasoning_details=[{"type": "reasoning.text", "text": THOUGHTS}], refusal=None,
        choice={"native_finish_reason": "completed"},
        top={"provider": "P", "usage": {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14, "cost": 0.1}},
    ),
    "Azure": chat(
        choice={"content_filter_results": {"hate": {"filtered": False, "severity": "safe"}}},
        top={"prompt_filter_results": [{"prompt_index": 0, "content_filter_results": {}}]},
    ),
    "Together": chat(reason="eos", tool_calls=[], choice={"seed": 7}, top={"prompt": []}),
    "Groq": chat(
        reasoning=THOUGHTS,
        top={
            "usage": {"queue_time": 0.1, "prompt_tokens": 9, "prompt_time": 0.1, "completion_tokens": 5, "total_tokens": 14},
            "x_groq": {"id": "req_1"},
        },
    ),
    "DeepSeek": chat(
        reasoning_content=THOUGHTS,
        top={"usage": {
            "prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14, "prompt_cache_hit_tokens": 8,
            "prompt_cache_miss_tokens": 1, "completion_tokens_details": {"reasoning_tokens": 4},
        }},
    ),
    "Mistral": chat(
        [{"type": "thinking", "thinking": [{"type": "text", "text": THOUGHTS}], "closed": True}, {"type": "text", "text": REPLY}],
        prefix=False, tool_calls=None,
    ),
    "Gemini": chat(
        top={"usage": {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 14}}  # the total alone has the thoughts
    ),
    "xAI": chat(
        reasoning_content=THOUGHTS, refusal=None,
        top={"usage": {
            "prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 14, "completion_tokens_details": {"reasoning_tokens": 3},
        }},
    ),
    "TGI": chat(reason="eos_token", top={"object": "text_completion"}),
    "MiniMax": chat(f"<think>{THOUGHTS}</think>{REPLY}", top={"base_resp": {"status_code": 0, "status_msg": ""}}),
    "Anthropic, its own form": {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn",
        "content": [{"type": "thinking", "thinking": THOUGHTS, "signature": "s"}, {"type": "text", "text": REPLY}],
        "usage": {"input_tokens": 9, "output_tokens": 5},
    },
    "parts of OpenAI's Responses": chat([
        {"type": "reasoning", "text": THOUGHTS}, {"type": "output_text", "text": REPLY, "annotations": []},
    ]),
    "one part that is no list": chat({"type": "text", "text": REPLY}),
    "completions before chat": {
        "object": "text_completion", "model": "m", "choices": [{"text": REPLY, "index": 0, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14},
    },
    "a tool is called with the reply": chat(
        None, "tool_calls",
        tool_calls=[{"id": "1", "type": "function", "function": {"name": "propose", "arguments": REPLY}}],
    ),
    "a tool's arguments as an object": chat("", "tool_calls", tool_calls=[
        {"function": {"name": "judge", "arguments": {"better": "second"}}}
    ]),
    "a function is called, as before tools": chat(None, "function_call", function_call={"name": "f", "arguments": REPLY}),
    "several choices, the first without text": chat(
        top={"choices": [
            {"index": 0, "message": {"content": ""}, "finish_reason": "stop"},
            {"index": 1, "message": {"content": REPLY}, "finish_reason": "stop"},
        ]}
    ),
    "one chunk of a stream as a whole": chat(top={"choices": [{"index": 0, "delta": {"content": REPLY}, "finish_reason": "stop"}]}),
}  # fmt: skip


@pytest.mark.parametrize("body", DIALECTS.values(), ids=DIALECTS)
def test_the_text_the_end_and_the_tokens_are_read_in_each_dialect(body: dict[str, Any]):
    answer = read(body)
    assert answer.text.rpartition("</think>")[2].strip() == REPLY
    assert THOUGHTS not in answer.text or "<think>" in answer.text
    assert answer.finish_reason != "length"
    assert (answer.tokens_in, answer.tokens_out) == (9, 5)


@pytest.mark.parametrize(
    "reason",
    ["length", "max_tokens", "MAX_TOKENS", "FinishReason.MAX_TOKENS", "model_length", "max_output_tokens",
     "model_context_window_exceeded", "max_length"],
)  # fmt: skip
def test_a_limit_has_one_name(reason: str):
    assert read(chat(reason=reason)).finish_reason == "length"


@pytest.mark.parametrize("reason", ["stop", "eos", "stop_sequence", "COMPLETE", "end_turn", "tool_calls", None, "", 7])
def test_any_other_end_with_a_text_is_a_stop(reason: Any):
    answer = read(chat(reason=reason))
    assert (answer.text, answer.finish_reason == "length") == (REPLY, False)


NO_TEXT_YET = {
    "null beside reasoning": chat(None, "length", reasoning_content=THOUGHTS),
    "an empty text": chat("", "length", reasoning=THOUGHTS),
    "no content at all": {"choices": [{"index": 0, "message": {"role": "assistant"}, "finish_reason": "length"}]},
    "no message at all": {"choices": [{"index": 0, "finish_reason": "length"}]},
    "parts of thoughts alone": chat([{"type": "thinking", "thinking": [{"type": "text", "text": THOUGHTS}]}], "length"),
}


@pytest.mark.parametrize("body", NO_TEXT_YET.values(), ids=NO_TEXT_YET)
def test_a_reply_cut_off_during_its_reasoning_has_no_text(body: dict[str, Any]):
    answer = read(body)
    assert (answer.text, answer.finish_reason) == ("", "length")


# --- tokens ----------------------------------------------------------------------------------------------------------

COUNTS = [
    ({"prompt_tokens": 9.0, "completion_tokens": 5.0}, (9, 5)),
    ({"prompt_tokens": "9", "completion_tokens": "5.0"}, (9, 5)),
    ({"prompt_tokens": 9, "total_tokens": 14}, (9, 5)),
    ({"completion_tokens": 5, "total_tokens": 14}, (9, 5)),
    ({"prompt_tokens": 9}, (9, None)),
    ({"completion_tokens": 5}, (None, 5)),
    ({"total_tokens": 14}, (None, None)),
    ({"prompt_tokens": 9, "total_tokens": 3}, (9, None)),
    ({"prompt_tokens": -9, "completion_tokens": 5}, (None, 5)),
    ({"prompt_tokens": 9.5, "completion_tokens": "five"}, (None, None)),
    ({"prompt_tokens": True, "completion_tokens": 5}, (None, 5)),
    ({"prompt_tokens": 10**30, "completion_tokens": 1e300}, (None, None)),
    ({"prompt_tokens": None, "completion_tokens": None, "total_tokens": None}, (None, None)),
    ({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, (None, None)),
    ({"input_tokens": 9, "output_tokens": 5}, (9, 5)),
    ({"prompt_tokens": 9, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 8}, "total_tokens": 14}, (9, 5)),
    ([], (None, None)),
    ("14", (None, None)),
    (None, (None, None)),
]  # fmt: skip


@pytest.mark.parametrize(("usage", "expected"), COUNTS, ids=lambda value: json.dumps(value)[:60])
def test_counts_are_read_in_any_form_and_what_is_unknown_stays_unknown(
    usage: Any, expected: tuple[int | None, int | None]
):
    answer = read(chat(top={"usage": usage}))
    assert (answer.tokens_in, answer.tokens_out) == expected


def test_counts_are_read_from_groqs_own_object_and_ollamas_body():
    told = {"usage": None, "x_groq": {"id": "r", "usage": {"prompt_tokens": 9, "completion_tokens": 5}}}
    beside = {"usage": None, "prompt_eval_count": 9, "eval_count": 5}
    for top in (told, beside):
        answer = read(chat(top=top))
        assert (answer.tokens_in, answer.tokens_out) == (9, 5)


# --- errors within status 200 ----------------------------------------------------------------------------------------

ERRORS = {
    "a string": ({"error": "Model is loading"}, ErrorKind.SERVER_ERROR, "Model is loading"),
    "a list": ({"error": ["too", "many"]}, ErrorKind.SERVER_ERROR, "too; many"),
    "an object with a number": ({"error": {"code": 429, "message": "slow down"}}, ErrorKind.RATE_LIMIT, "slow down"),
    "a number in digits": ({"error": {"http_code": "401", "message": "who"}, "type": "error"}, ErrorKind.UNAUTHORIZED, "who"),
    "OpenRouter, in place of choices": (
        {"error": {"code": 502, "message": "Provider returned error", "metadata": {"raw": "upstream is down"}}, "user_id": "u"},
        ErrorKind.SERVER_ERROR, "Provider returned error (upstream is down)",
    ),
    "OpenRouter, in a choice": (
        chat("", "error", choice={"error": {"code": 502, "message": "Provider went away"}, "native_finish_reason": None}),
        ErrorKind.SERVER_ERROR, "Provider went away",
    ),
    "in a choice, after some text": (
        chat("def lo", "error", choice={"error": {"code": "rate_limit_exceeded", "message": "later"}}),
        ErrorKind.RATE_LIMIT, "later",
    ),
    "a choice without a message": (
        {"choices": [{"error": {"message": "no provider", "code": 503}}]}, ErrorKind.SERVER_ERROR, "no provider",
    ),
    "beside empty choices": (chat(top={"choices": [], "error": "full"}), ErrorKind.SERVER_ERROR, "full"),
    "beside an empty text": (chat("", None, top={"error": {"message": "crashed"}}), ErrorKind.SERVER_ERROR, "crashed"),
    "broken off without a word": (chat("def", "error"), ErrorKind.SERVER_ERROR, "finish reason 'error'"),
    "DeepSeek, overloaded": (chat("def", "insufficient_system_resource"), ErrorKind.SERVER_ERROR, "insufficient_system_resource"),
    "vLLM": (
        {"object": "error", "message": "This model's maximum context length is 4096 tokens.", "type": "BadRequestError",
         "param": None, "code": 400},
        ErrorKind.TOO_LONG, "4096",
    ),
    "vLLM, an unknown model": (
        {"object": "error", "message": "The model `m` does not exist.", "type": "NotFoundError", "code": 404},
        ErrorKind.NOT_FOUND, "knows no model 'm'",
    ),
    "Gemini, a list of one": (
        [{"error": {"code": 400, "message": "API key not valid. Please pass a valid API key.", "status": "INVALID_ARGUMENT"}}],
        ErrorKind.UNAUTHORIZED, "API key not valid",
    ),
    "FastAPI": ({"detail": "Internal failure"}, ErrorKind.SERVER_ERROR, "Internal failure"),
    "FastAPI, a form": (
        {"detail": [{"loc": ["body", "model"], "msg": "field required", "type": "value_error.missing"}]},
        ErrorKind.BAD_REQUEST, "body.model: field required",
    ),
    "Anthropic": (
        {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, ErrorKind.SERVER_ERROR, "Overloaded",
    ),
    "MiniMax": (
        {"id": "", "choices": None, "base_resp": {"status_code": 1004, "status_msg": "login fail: check the API secret key"}},
        ErrorKind.UNAUTHORIZED, "login fail",
    ),
    "MiniMax, no money": (
        {"choices": None, "base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}}, ErrorKind.QUOTA, "balance",
    ),
    "Cloudflare": (
        {"result": None, "success": False, "errors": [{"code": 3040, "message": "Capacity temporarily exceeded"}]},
        ErrorKind.SERVER_ERROR, "Capacity",
    ),
    "DashScope": ({"code": "InvalidApiKey", "message": "Invalid API-key provided."}, ErrorKind.UNAUTHORIZED, "API-key"),
    "TGI": ({"error": "Model is overloaded", "error_type": "overloaded"}, ErrorKind.SERVER_ERROR, "overloaded"),
    "LM Studio, a context too short": (
        {"error": "Trying to keep the first 5000 tokens when context the overflows. However, the model is loaded with context "
                  "length of only 4096 tokens"},
        ErrorKind.TOO_LONG, "4096",
    ),
    "Ollama, an unknown model": ({"error": "model 'm' not found, try pulling it first"}, ErrorKind.NOT_FOUND, "try pulling"),
    "LM Studio, no model": ({"error": "No models loaded. Please load a model."}, ErrorKind.NOT_FOUND, "No models loaded"),
    "the filter withheld all": (chat(None, "content_filter"), ErrorKind.FILTERED, "content filter"),
    "Gemini's filter": (chat("", "content_filter: PROHIBITED_CONTENT"), ErrorKind.FILTERED, "content filter"),
    "no choice": (chat(top={"choices": []}), ErrorKind.MALFORMED, "without any choice"),
    "another kind of JSON": ({"id": 3}, ErrorKind.MALFORMED, "no chat completion"),
    "a list of words": (["not", "a", "completion"], ErrorKind.MALFORMED, "no chat completion"),
    "null": (None, ErrorKind.MALFORMED, "null"),
}  # fmt: skip


@pytest.mark.parametrize(("body", "kind", "words"), ERRORS.values(), ids=ERRORS)
def test_an_error_in_place_of_a_reply_is_that_error_in_the_endpoints_own_words(body: Any, kind: ErrorKind, words: str):
    caught = error(body)
    assert (caught.kind, words in caught.message) == (kind, True), caught.message
    assert caught.remedy


def test_an_error_next_to_a_complete_reply_is_ignored():
    assert read(chat(top={"error": None}, choice={"error": {"message": "late"}})).text == REPLY


def test_the_error_for_an_unusable_answer_has_its_cost():
    caught = error(chat("", "error", choice={"error": {"message": "gone"}}))
    assert (caught.tokens_in, caught.tokens_out, caught.usd) == (9, 5, pytest.approx(19e-6))


@pytest.mark.parametrize("path", ["", "/api"])
def test_a_base_url_without_v1_is_told_to_add_it(path: str):
    where = Where(f"http://localhost:1234{path}", "m", "KEY")
    caught = error({"error": "Unexpected endpoint or method. (POST /chat/completions)"}, where=where)
    assert (caught.kind, caught.consequence) == (ErrorKind.CONFIGURATION, Consequence.STOP)
    assert f"add /v1 to llm.base_url: http://localhost:1234{path}/v1" in caught.remedy


def test_errors_name_the_section_of_the_endpoint():
    where = Where("http://h", "m", "KEY", section="fitness.evaluation", parallel="fitness.evaluation.concurrency")
    assert "fitness.evaluation.base_url" in error({"error": "page not found"}, where=where).remedy
    assert "fitness.evaluation.concurrency" in LLMError.at(where, ErrorKind.TIMEOUT, "late").remedy


def test_a_key_and_control_characters_in_an_error_are_removed():
    caught = error({"error": f"bad \x1b[31mkey sk-secret-01\x1b[0m23456789, {HOSTED.secret}\r\nforged line"})
    assert "sk-secret" not in caught.message
    assert caught.message.isprintable()


# --- what is no JSON document ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("page", "title"),
    [
        (b"<!doctype html><title>Sign in to the hotel's network</title>", "Sign in to the hotel's network"),
        (b"<html><body><h1>502 Bad Gateway</h1></body></html>", "502 Bad Gateway"),
        (b"\xef\xbb\xbf \n<html><script>if (a < b) x()</script><p>Please &amp; log in</html>", "Please & log in"),
    ],
)
def test_a_web_page_is_reported_by_its_title(page: bytes, title: str):
    caught = error(page, "text/html")
    assert caught.kind is ErrorKind.MALFORMED
    assert "a web page" in caught.message and title in caught.message
    assert "llm.base_url" in caught.remedy


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "an empty body"),
        (b" \n", "an empty body"),
        (b"null", "null"),
        (b"Ollama is running", "Ollama is running"),
        (b'{"choices": [{"message": {"content": "def', "broken JSON"),
        (b"[" * 100_000, "broken JSON"),
        (b"\xff\xfe\x00", "broken JSON"),
    ],
)
def test_text_that_is_not_json_is_quoted(content: bytes, words: str):
    caught = error(content, "text/plain")
    assert (caught.kind, words in caught.message) == (ErrorKind.MALFORMED, True), caught.message


WHOLE = json.dumps(chat()).encode()


@pytest.mark.parametrize(
    "content",
    [b"\xef\xbb\xbf" + WHOLE, b"\n \n" + WHOLE + b"\n", b": WORKING\n\n: WORKING\n\n" + WHOLE, gzip.compress(WHOLE),
     json.dumps(chat()).encode("utf-16"),
     WHOLE.replace(b'"c-1"', b'"c-\n\xe9"')],
    ids=["byte order mark", "blank lines", "comments", "gzip that no header tells of",
         "utf-16", "raw line break and latin-1"],
)  # fmt: skip
def test_a_reply_in_a_wrong_encoding_is_still_read(content: bytes):
    assert read(content).text == REPLY


def test_a_gzip_bomb_is_not_unpacked():
    assert error(gzip.compress(b"0" * 200_000_000, 1)).kind is ErrorKind.MALFORMED


# --- a stream that was not requested ------------------------------------------------------------------------------------


def chunk(delta: dict[str, Any], reason: str | None = None, **top: Any) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    return json.dumps({"object": "chat.completion.chunk", "model": "m", "choices": [choice], **top})


PIECES = [
    chunk({"role": "assistant", "content": ""}),
    chunk({"reasoning_content": THOUGHTS}),
    chunk({"content": REPLY[:7]}),
    chunk({"content": REPLY[7:]}),
    chunk({}, "stop"),
    json.dumps({"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 5}}),
]


def events(*data: str) -> bytes:
    return "".join(f"data: {part}\n\n" for part in data).encode()


STREAMS = {
    "OpenAI": events(*PIECES, "[DONE]"),
    "without an end mark": events(*PIECES),
    "without a finish reason": events(*PIECES[:4], PIECES[5], "[DONE]"),
    "OpenRouter, with comments": b": OPENROUTER PROCESSING\n\n: OPENROUTER PROCESSING\n\n" + events(*PIECES, "[DONE]"),
    "with names and numbers": b"".join(b"event: message\nid: 1\n" + events(part) for part in [*PIECES, "[DONE]"]),
    "lines end in CR LF": events(*PIECES, "[DONE]").replace(b"\n", b"\r\n"),
    "no blank lines between": events(*PIECES, "[DONE]").replace(b"\n\n", b"\n"),
    "a chunk over several lines": events(*PIECES, "[DONE]").replace(b', "choices"', b',\ndata: "choices"'),
    "Mistral, parts": events(chunk({"content": [{"type": "text", "text": REPLY[:7]}]}), *PIECES[3:], "[DONE]"),
    "a tool's arguments": events(
        chunk({"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": REPLY[:7]}}]}),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": REPLY[7:]}}]}, "tool_calls"), PIECES[5], "[DONE]",
    ),
    "Groq, tokens in the last chunk": events(
        *PIECES[:4], chunk({}, "stop", x_groq={"usage": {"prompt_tokens": 9, "completion_tokens": 5}}), "[DONE]"
    ),
    "Ollama, line by line": "\n".join([
        json.dumps({"model": "m", "message": {"role": "assistant", "content": REPLY[:7]}, "done": False}),
        json.dumps({"model": "m", "message": {"content": REPLY[7:]}, "done": False}),
        json.dumps({"message": {"content": ""}, "done": True, "done_reason": "stop", "prompt_eval_count": 9, "eval_count": 5}),
    ]).encode(),
}  # fmt: skip


@pytest.mark.parametrize("content", STREAMS.values(), ids=STREAMS)
def test_a_complete_stream_is_assembled(content: bytes):
    kind = "application/x-ndjson" if content.startswith(b"{") else "text/event-stream; charset=utf-8"
    answer = read(content, kind)
    assert (answer.text, answer.model, answer.tokens_in, answer.tokens_out) == (REPLY, "m", 9, 5)


def test_a_stream_is_recognised_without_its_content_type():
    assert read(STREAMS["OpenRouter, with comments"], "application/json").text == REPLY


@pytest.mark.parametrize("content", [events(*PIECES[:3]), b"data: {broken\n\n", b": ping\n\n"])
def test_an_incomplete_stream_is_refused(content: bytes):
    caught = error(content, "text/event-stream")
    assert caught.kind is ErrorKind.MALFORMED
    assert "a stream that was not requested" in caught.message


def test_an_error_in_a_stream_is_that_error():
    broken = chunk({"content": ""}, "error", error={"code": 502, "message": "Provider disconnected"})
    for content in (events(PIECES[2], broken), events('{"error": {"code": 502, "message": "Provider disconnected"}}')):
        caught = error(content, "text/event-stream")
        assert (caught.kind, "Provider disconnected" in caught.message) == (ErrorKind.SERVER_ERROR, True)


def test_a_stream_at_its_limit_is_cut_off():
    assert read(events(PIECES[2], chunk({}, "length"), "[DONE]"), "text/event-stream").finish_reason == "length"


@pytest.mark.parametrize(
    "content",
    [
        b": " * 1_000_000,
        b":\n" * 500_000,
        b"data: {\n" * 200_000,
        b"<script>" * 100_000,
        b"<" * 500_000,
        b"<h1 " * 200_000,
    ],
    ids=["comments in one line", "comments", "half events", "scripts", "brackets", "headings"],
)
def test_a_hostile_body_is_read_in_bounded_time(content: bytes):
    assert error(content, "text/html").kind is ErrorKind.MALFORMED


@pytest.mark.parametrize("key", ["error", "content", "arguments", "other"])
def test_deep_nesting_does_not_crash(key: str):
    nested: Any = "x"
    for _ in range(900):
        nested = {key: nested} if key == "error" else [nested]
    bodies = {
        "error": nested,
        "content": chat(nested),
        "arguments": chat("", tool_calls=[{"function": {"arguments": nested}}]),
        "other": {"message": {"other": nested}},
    }
    try:
        read(bodies[key])
    except LLMError as caught:
        assert len(caught.message) < 600
