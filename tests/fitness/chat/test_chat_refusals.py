"""Error statuses of servers and gateways, with their own texts, map to the right error kind."""

from __future__ import annotations

from typing import Any

import pytest

from fitness.chat.errors import ErrorKind, Where
from fitness.chat.replies.refusals import status_error

HERE = Where("https://llm.example/v1", "m", "OPENAI_API_KEY")


def said(text: str, **more: Any) -> dict[str, Any]:
    return {"error": {"message": text, **more}}


REFUSALS = {
    "OpenAI, tokens per minute": (
        429,
        said(
            "Rate limit reached for m on tokens per min (TPM): Limit 60000, Used 59000, Requested 4000. Please try again in 3s. "
            "You can increase your rate limit by adding a payment method at https://platform.openai.com/account/billing.",
            code="rate_limit_exceeded",
        ),
        ErrorKind.RATE_LIMIT,
    ),
    "Groq, tokens per day": (
        429,
        said("Rate limit reached on tokens per day (TPD). Please try again in 9m38.016s. https://console.groq.com/settings/billing"),
        ErrorKind.RATE_LIMIT,
    ),
    "Gemini, per minute": (
        429,
        [
            said(
                "You exceeded your current quota, please check your plan and billing details. For more information, head to: "
                "https://ai.google.dev/gemini-api/docs/rate-limits. Please retry in 37.2s.",
                status="RESOURCE_EXHAUSTED",
            )
        ],
        ErrorKind.RATE_LIMIT,
    ),
    "OpenAI, no money": (
        429,
        said("You exceeded your current quota, please check your plan and billing details.", code="insufficient_quota"),
        ErrorKind.QUOTA,
    ),
    "LiteLLM, budget": (400, said("Budget has been exceeded! Current cost: 1.0032, Max budget: 1.0"), ErrorKind.QUOTA),
    "SiliconFlow, no money": (403, {"code": 30001, "message": "Sorry, your account balance is insufficient"}, ErrorKind.QUOTA),
    "llama.cpp, context": (500, said("Context size has been exceeded.", code=500, type="server_error"), ErrorKind.TOO_LONG),
    "llama.cpp, no shift": (500, said("context shift is disabled", code=500), ErrorKind.TOO_LONG),
    "TGI, inputs": (
        422,
        {"error": "Input validation error: `inputs` must have less than 1024 tokens. Given: 3087"},
        ErrorKind.TOO_LONG,
    ),
    "OpenAI, a prompt above the rate": (429, said("Request too large for m on tokens per min (TPM)"), ErrorKind.TOO_LONG),
    "Hugging Face, model": (400, said("The requested model 'm' does not exist", code="model_not_found"), ErrorKind.NOT_FOUND),
    "Mistral, model": (400, {"object": "error", "message": "Invalid model: m", "code": "1500"}, ErrorKind.NOT_FOUND),
    "LiteLLM, model": (400, said("Invalid model name passed in model=m. Call `/v1/models`"), ErrorKind.NOT_FOUND),
    "OpenRouter, model": (400, said("m is not a valid model ID", code=400), ErrorKind.NOT_FOUND),
    "DeepSeek, model": (400, said("Model Not Exist"), ErrorKind.NOT_FOUND),
    "LM Studio, no model": (400, {"error": "No models loaded. Please load a model."}, ErrorKind.NOT_FOUND),
    "LM Studio, crashed": (400, {"error": "The model has crashed without additional information."}, ErrorKind.SERVER_ERROR),
    "TGI, generation": (424, {"error": "Request failed during generation: out of memory"}, ErrorKind.SERVER_ERROR),
    "Gemini, region": (400, [said("User location is not supported for the API use.")], ErrorKind.FORBIDDEN),
    "OpenRouter, parameters": (
        404, said("No endpoints found that can handle the requested parameters.", code=404), ErrorKind.BAD_REQUEST,
    ),
    "a parameter of the model": (400, said("'max_tokens' is not supported with this model."), ErrorKind.BAD_REQUEST),
    "another parameter": (400, said("Invalid model parameter: seed"), ErrorKind.BAD_REQUEST),
}  # fmt: skip


@pytest.mark.parametrize(("status", "body", "kind"), REFUSALS.values(), ids=REFUSALS)
def test_the_text_of_an_error_decides_its_kind(status: int, body: Any, kind: ErrorKind):
    error = status_error(HERE, status, body, {})
    assert error.kind is kind, error


@pytest.mark.parametrize(
    ("headers", "words", "seconds"),
    [
        ({}, "Please try again in 7.66s.", 7.66),
        ({}, "Please try again in 1m2.5s. Need more?", 62.5),
        ({}, "please try again after 20ms", 0.02),
        ({}, "Please retry after 6 seconds. Go here:", 6),
        ({"retry-after": "2"}, "Please retry in 9s.", 2),
        ({"retry-after": "Fri, 31 Dec 9999 23:59:59 -2359"}, "slow down", None),
        ({}, "try again in a moment", None),
    ],
)
def test_the_wait_is_read_from_a_header_or_from_the_text(headers: dict[str, str], words: str, seconds: float | None):
    assert status_error(HERE, 429, said(words), headers).retry_after == seconds


@pytest.mark.parametrize(
    ("status", "body", "headers", "words", "remedy"),
    [
        (
            307,
            "",
            {"location": "https://portal.example/login?token=x"},
            "on to https://portal.example/login (307)",
            "log in",
        ),
        (308, "", {}, "answered 308", "set llm.base_url to where"),
        (400, "Client sent an HTTP request to an HTTPS server.", {}, "HTTPS server", "with https://"),
    ],
)
def test_redirects_are_not_followed(status: int, body: str, headers: dict[str, str], words: str, remedy: str):
    error = status_error(HERE, status, body, headers)
    assert (error.kind, words in error.message, remedy in error.remedy) == (ErrorKind.CONFIGURATION, True, True), error
