"""Parsing of errors from endpoints: an error status, or an error object in a response with status 200.

Servers differ in the structure of their errors and in their words for the same problem, so both are read leniently.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from html import unescape
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from fitness.chat.errors import ErrorKind, LLMError, Where
from fitness.chat.replies.usage import count

_WORDS = ("message", "msg", "status_msg", "detail", "error", "errors", "error_message", "base_resp", "title")
"""Keys that hold an error's text, or an object that holds it."""
_MARKS = ("type", "code", "status", "error_type", "error_code", "param")
_NUMBERS = ("code", "status", "status_code", "http_code", "error_code", "statusCode")
_MOST_WORDS = 4000
_DEEPEST = 10  # levels of nesting

_NO_CREDIT = re.compile(
    r"insufficient[_ ](?:quota|credit|balance|funds)|balance is insufficient|out of credit|any credits|credit balance|"
    r"budget[_ ](?:has been )?exceeded|exceeded_?budget|exceeded_current_quota|billing[_ ]hard|spending limit|arrear"
)
_MAY_BE_CREDIT = re.compile(r"exceeded your current quota|billing")
"""Ambiguous: messages about rate limits mention billing too."""
_TOO_LONG = re.compile(
    r"context[_ ](?:length|window|size|shift)|context overflow|too many (?:input )?tokens|(?:prompt|input) is too long|"
    r"token count|max_model_len|must be <=|must have less than \d+ tokens|reduce the length|too large (?:for model|to process)"
)
_BAD_KEY = re.compile(r"api[ _-]?key|apikey|invalid authentication|authentication[_ ]error|unauthori[sz]ed|login fail")
_FILTERED = re.compile(
    r"content[_ ](?:filter|policy)|content management policy|requires moderation|input was flagged|prompt was flagged|"
    r"content exists risk|data_inspection_failed|inappropriate content"
)
_BUSY = re.compile(r"rate[ _-]?limit|too many requests|resource_exhausted|throttl|\b[rt]pm\b")
_BROKEN = re.compile(
    r"model has crashed|model unloaded|failed to load model|generation failed|failed during generation"
)
_REGION = re.compile(r"location is not supported|(?:country|region).{0,40} not supported")
_HTTPS = re.compile(r"plain http request was sent to https|http request to an https server")
_NO_SYSTEM = re.compile(
    r"system role|developer instruction|system (?:message|prompt)s? (?:is|are) not|roles must alternate"
)
_NO_PAGE = re.compile(
    r"unexpected endpoint|no such page|(?:page|route|path|url) not found|cannot (?:post|get)|no route|unknown request url"
)
_NO_SUCH_MODEL = re.compile(
    r"model(?: name)?(?: [\w\"'`./:@-]{1,120})? (?:(?:does )?not exist|(?:has )?not (?:been )?loaded|has been decommissioned)|"
    r"model_not_(?:found|supported|available)|(?:no such|invalid|unknown)[_ ]model\b(?! ?(?:param|arg|input|output))|"
    r"not a valid model|no models? (?:is |are )?(?:currently )?loaded"
)
"""Sent with a status that does not indicate it."""
_NO_MODEL = re.compile(r"model|deployment|engine")
_ABSENT = re.compile(r"not[_ ]found|does not exist|no such|unknown|not exist|not available")
_REFUSED = re.compile(r"invalid|bad[_ ]?request|validation|unsupported|not supported|unrecognized|unexpected|required")
_PASSING = frozenset({408, 409, 424, 425, 498})
"""Statuses below 500 that concern the server: timeout, conflict, a failed dependency, too early, no capacity."""
_VERSION = re.compile(r"/(?:api/)?v\d|/openai")
"""In an address that already has its version: /v1 need not be added."""


def status_error(where: Where, status: int, body: object, headers: Mapping[str, str]) -> LLMError:
    """The LLMError for a response with an HTTP status of 300 or above."""
    if where.proxy and (status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED or _of_the_proxy(where, status, body)):
        return proxy_error(where, status, words_of(body))
    words = words_of(body)
    if 300 <= status < 400 or _HTTPS.search(words.lower()):
        return _elsewhere(where, status, words, headers.get("location", ""))
    said = f"{words} {_marks(body)}"[:_MOST_WORDS]
    kind = kind_of_status(status, said)
    quoted = f": {where.quote(words)}" if words.strip() else ""
    if kind is ErrorKind.NOT_FOUND:
        return _not_found(where, words, f"{status}{quoted}", status)
    message = f"{where.place} answered {status}{quoted}"
    error = LLMError.at(where, kind, message, status=status, retry_after=_retry_after(headers, words), said=said)
    if kind is ErrorKind.FILTERED:  # the prompt was filtered: an error status costs nothing
        error.tokens_in, error.tokens_out, error.usd = 0, 0, 0.0
    return error


def _elsewhere(where: Where, status: int, words: str, address: str) -> LLMError:
    """The LLMError for an endpoint at another address: it redirects, or it expects https and got http."""
    message = f"{where.place} answered {status}" + (f": {where.quote(words)}" if words.strip() else "")
    remedy = (
        "write {section}.base_url with https://" if status >= 400 else "set {section}.base_url to where the endpoint is"
    )
    if address:
        message = f"{where.place} sends requests on to {where.quote(address.partition('?')[0])} ({status})"
        remedy += "; log in to the network where that is a login page"
    return LLMError.at(where, ErrorKind.CONFIGURATION, message, status=status, remedy=remedy)


def error_within(where: Where, body: object) -> LLMError | None:
    """The LLMError for an error object in a response with status 200; None if there is none."""
    if isinstance(body, list) and len(body) == 1:
        body = body[0]
    if not isinstance(body, Mapping) or not any(body.get(key) for key in _WORDS):
        return None
    words = words_of(body)
    said = f"{words} {_marks(body)}"[:_MOST_WORDS]
    number = next(_numbers(body), None)
    kind = kind_of_words(said) if number is None else kind_of_status(number, said)
    if kind is ErrorKind.NOT_FOUND:
        return _not_found(where, words, where.quote(words), number)
    message = f"{where.place} answered with an error in place of a reply: {where.quote(words)}"
    return LLMError.at(where, kind, message, status=number, said=said)


def proxy_error(where: Where, status: int | None, words: str) -> LLMError:
    """The LLMError for an error of the proxy, which the message names instead of the endpoint."""
    said = f": {where.quote(words)}" if words.strip() else ""
    answered = f"answered {status}" if status else "refused"
    message = f"{where.proxy} {answered} when it was asked for {where.place}{said}"
    host = urlsplit(where.place).hostname or where.place
    if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        remedy = f"give it a name and a password that the proxy accepts; NO_PROXY={host} bypasses it"
        return LLMError.at(where, ErrorKind.UNAUTHORIZED, message, status=status, remedy=remedy)
    remedy = f"check the proxy, or unset its variable; NO_PROXY={host} bypasses it"
    return LLMError.at(where, ErrorKind.CONNECTION, message, status=status, remedy=remedy)


def _of_the_proxy(where: Where, status: int, body: object) -> bool:
    """Whether the response is a proxy's own: for a plain http endpoint, an error status with a page or nothing instead of JSON."""
    return where.place.startswith("http:") and status in (403, 502, 503, 504) and not isinstance(body, Mapping | list)


def refuses_system(error: LLMError) -> bool:
    """Whether the endpoint refused the message of role `system`, which some models' chat templates do not support."""
    kinds = (ErrorKind.BAD_REQUEST, ErrorKind.SERVER_ERROR)
    return error.kind in kinds and _NO_SYSTEM.search(error.said.lower()) is not None


def kind_of_status(status: int, body: str) -> ErrorKind:
    """The error kind for an HTTP status and the text that came with it.

    Some endpoints report a wrong key or an over-long prompt as 400, and an empty account as 429. There the text decides.
    """
    words = body.lower()
    if status == HTTPStatus.UNAUTHORIZED:
        return ErrorKind.UNAUTHORIZED
    if status == HTTPStatus.PAYMENT_REQUIRED or (status in (400, 403, 412, 429) and _lacks_credit(words)):
        return ErrorKind.QUOTA
    if status in (400, 403, 422, 451) and _FILTERED.search(words):
        return ErrorKind.FILTERED
    if status == HTTPStatus.FORBIDDEN:
        return ErrorKind.FORBIDDEN
    if status == HTTPStatus.NOT_FOUND and "requested parameters" in words:  # OpenRouter: no provider takes all of them
        return ErrorKind.BAD_REQUEST
    if status in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED):
        return ErrorKind.NOT_FOUND
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE or (status == 429 and "request too large" in words):
        return ErrorKind.TOO_LONG
    if 400 <= status <= 500 and status != 429 and _TOO_LONG.search(words):
        return ErrorKind.TOO_LONG
    if status in _PASSING or (status == HTTPStatus.BAD_REQUEST and _BROKEN.search(words)):
        return ErrorKind.SERVER_ERROR
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return ErrorKind.RATE_LIMIT
    if status >= 500:
        return ErrorKind.SERVER_ERROR
    for found, kind in (
        (_BAD_KEY, ErrorKind.UNAUTHORIZED),
        (_REGION, ErrorKind.FORBIDDEN),
        (_NO_SUCH_MODEL, ErrorKind.NOT_FOUND),
    ):
        if status == HTTPStatus.BAD_REQUEST and found.search(words):
            return kind
    return ErrorKind.BAD_REQUEST


def _lacks_credit(words: str) -> bool:
    return bool(_NO_CREDIT.search(words) or (_MAY_BE_CREDIT.search(words) and not _BUSY.search(words)))


def kind_of_words(said: str) -> ErrorKind:
    """The error kind for an error without a status, from its text alone."""
    words = said.lower()
    for found, kind in (
        (_BAD_KEY.search(words), ErrorKind.UNAUTHORIZED),
        (_lacks_credit(words), ErrorKind.QUOTA),
        (_TOO_LONG.search(words), ErrorKind.TOO_LONG),
        (_FILTERED.search(words), ErrorKind.FILTERED),
        (_BUSY.search(words), ErrorKind.RATE_LIMIT),
        (_NO_PAGE.search(words) or _NO_SUCH_MODEL.search(words), ErrorKind.NOT_FOUND),
        (_NO_MODEL.search(words) and _ABSENT.search(words), ErrorKind.NOT_FOUND),
        (_REFUSED.search(words), ErrorKind.BAD_REQUEST),
    ):
        if found:
            return kind
    return ErrorKind.SERVER_ERROR


def _not_found(where: Where, words: str, said: str, status: int | None) -> LLMError:
    """The LLMError for an unknown model, or for a wrong address such as a base URL without /v1."""
    lower, versioned = words.lower(), _VERSION.search(urlsplit(where.place).path)
    if not _NO_PAGE.search(lower) and (versioned or _NO_MODEL.search(lower)):
        message = f"{where.place} knows no model {where.model!r} ({said})"
        return LLMError.at(where, ErrorKind.NOT_FOUND, message, status=status)
    message = f"there are no chat completions at {where.place} ({said})"
    remedy = f"add /v1 to {{section}}.base_url: {where.place.rstrip('/')}/v1"
    if versioned:
        remedy = "look up the address of the chat completions in the server's manual, and set {section}.base_url to it"
    return LLMError.at(where, ErrorKind.CONFIGURATION, message, status=status, remedy=remedy)


def words_of(body: object, depth: int = 0) -> str:
    """The text of an error's body, in any of the usual structures."""
    if depth > _DEEPEST:
        return "…"
    if isinstance(body, Mapping):
        for key in _WORDS:
            if body.get(key):
                raw = body["metadata"].get("raw") if isinstance(body.get("metadata"), Mapping) else None
                return f"{_place(body)}{words_of(body[key], depth + 1)}" + (f" ({raw})" if isinstance(raw, str) else "")
    if isinstance(body, list) and body:
        return "; ".join(words_of(part, depth + 1) for part in body[:3])
    if isinstance(body, str):
        return f"a web page{title_of(body)}" if body.lstrip().startswith("<") else body
    try:
        return "" if body is None or body == [] else json.dumps(body, default=str)
    except RecursionError:
        return "…"


def _place(body: Mapping[str, Any]) -> str:
    """The place of a fault in a request, in FastAPI's form; "" without one."""
    loc = body.get("loc")
    return ".".join(map(str, loc)) + ": " if isinstance(loc, list) and loc else ""


_TITLE = re.compile(r"<(title|h1)[^>]{0,200}>([^<]{1,400})", re.IGNORECASE)
_TAG = re.compile(r"<(script|style)\b.*?</\1\s*>|<[^<>]{0,2000}>", re.IGNORECASE | re.DOTALL)


def title_of(page: str) -> str:
    """The title of a web page, its heading or its first words, quoted, with a leading space; "" if it has none."""
    page = page[:8000]
    found = _TITLE.search(page)
    words = " ".join(unescape(found[2] if found else _TAG.sub(" ", page)).split())[:120]
    return f" {words!r}" if words else ""


def _objects(body: object) -> Iterator[Mapping[str, Any]]:
    """An error object and the objects in it that describe the same error."""
    pending = [body]
    while pending:
        current = pending.pop(0)
        if isinstance(current, Mapping):
            yield current
            pending += [current.get(key) for key in _WORDS]
        elif isinstance(current, list):
            pending += current[:3]


def _numbers(body: object) -> Iterator[int]:
    for part in _objects(body):
        for key in _NUMBERS:
            number = count(part.get(key))
            if number is not None and 400 <= number < 600:
                yield number


def _marks(body: object) -> str:
    """An error's type and code."""
    return " ".join(str(part[key]) for part in _objects(body) for key in _MARKS if isinstance(part.get(key), str))


_WAIT = re.compile(
    r"(?:(?:try again|retry|retrying) (?:in|after)|please wait) (?:about )?"
    r"((?:\d{1,9}(?:\.\d{1,12})? ?(?:ms|milliseconds?|hours?|minutes?|seconds?|[hms])\b ?)+|(?:\d{1,9}(?:\.\d{1,12})?[hms])+)",
    re.IGNORECASE,
)
_SPAN = re.compile(r"(\d+(?:\.\d+)?) ?(ms|mil|h|m|s)", re.IGNORECASE)
_SECONDS = {"ms": 1e-3, "mil": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def _retry_after(headers: Mapping[str, str], words: str) -> float | None:
    """The wait in seconds that the endpoint requests; None if it requests none.

    Read from a header (milliseconds, seconds or a date), else from the text: `Please try again in 1m26.4s`.
    """
    milliseconds, seconds = headers.get("retry-after-ms"), headers.get("retry-after")
    for text, unit in ((milliseconds, 1e-3), (seconds, 1.0)):
        if text and re.fullmatch(r"\s*\d{1,12}(\.\d{0,9})?\s*", text):
            return float(text) * unit
    try:
        if seconds:
            return max(0.0, (parsedate_to_datetime(seconds).astimezone(UTC) - datetime.now(UTC)).total_seconds())
    except (ValueError, OverflowError):  # not a date, or one out of range
        pass
    requested = _WAIT.search(words[:_MOST_WORDS])
    return sum(float(n) * _SECONDS[unit.lower()] for n, unit in _SPAN.findall(requested[1])) if requested else None
