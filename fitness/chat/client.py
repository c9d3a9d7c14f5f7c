"""Clients of OpenAI's SDK for an endpoint, and conversion of the SDK's exceptions to LLMError."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from socket import gaierror
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from fitness.chat.endpoint import Endpoint
from fitness.chat.errors import AGAIN, ErrorKind, LLMError, Where
from fitness.chat.proxies import certificates, check_proxy, proxy_for
from fitness.chat.replies.answer import MAX_RESPONSE
from fitness.chat.replies.refusals import proxy_error, status_error

if TYPE_CHECKING:
    import openai


def async_client(endpoint: Endpoint, timeout: float) -> openai.AsyncOpenAI:
    """The SDK's asynchronous client without retries; `timeout` applies to connecting and to each read, in seconds.

    Raises LLMError: MISSING_PACKAGE if the SDK is not installed, CONFIGURATION if proxy or certificates cannot be used.
    """
    settings, way = _settings(endpoint, timeout)
    import openai

    return openai.AsyncOpenAI(**settings, http_client=openai.DefaultAsyncHttpxClient(**way))


def sync_client(endpoint: Endpoint, timeout: float) -> openai.OpenAI:
    """The SDK's synchronous client; otherwise as `async_client`."""
    settings, way = _settings(endpoint, timeout)
    import openai

    return openai.OpenAI(**settings, http_client=openai.DefaultHttpxClient(**way))


def ask(client: openai.OpenAI, endpoint: Endpoint, request: Mapping[str, Any]) -> tuple[bytes, str]:
    """Body and content type of the response to a request; reading stops after MAX_RESPONSE bytes. Raises LLMError.

    The SDK's own timeout applies to each read, so a slow stream could last for ever. Here the endpoint's timeout limits the whole
    response.
    """
    give_up = time.monotonic() + endpoint.timeout
    content = bytearray()
    with (
        _as_llm_errors(endpoint),
        client.chat.completions.with_streaming_response.create(**request) as response,
    ):
        for part in response.iter_bytes():
            content += part
            if time.monotonic() > give_up:
                raise TimeoutError
            if len(content) > MAX_RESPONSE:
                break
        return bytes(content), response.headers.get("content-type", "")


async def ask_async(client: openai.AsyncOpenAI, endpoint: Endpoint, request: Mapping[str, Any]) -> tuple[bytes, str]:
    """As `ask`, for an event loop."""
    content = bytearray()
    with _as_llm_errors(endpoint):
        async with (
            asyncio.timeout(endpoint.timeout),
            client.chat.completions.with_streaming_response.create(**request) as response,
        ):
            async for part in response.iter_bytes():
                content += part
                if len(content) > MAX_RESPONSE:
                    break
            return bytes(content), response.headers.get("content-type", "")


@contextmanager
def _as_llm_errors(endpoint: Endpoint) -> Iterator[None]:
    """Convert exceptions of a request to LLMError."""
    import openai

    where = endpoint.where
    try:
        yield
    except TimeoutError:
        raise timed_out(where, endpoint.timeout) from None
    except openai.OpenAIError as error:
        raise sdk_error(where, error, endpoint.timeout) from None
    except Exception as error:
        if not type(error).__module__.startswith("httpx"):  # the SDK wraps these while sending, but not while reading
            raise
        late = type(error).__name__ == "ReadTimeout"
        raise timed_out(where, endpoint.timeout) if late else connection_error(where, error) from None


def _settings(endpoint: Endpoint, timeout: float) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arguments of the SDK's client and of its HTTP client."""
    try:
        import openai  # noqa: F401
    except ImportError:
        message = "a language model is configured, but the package openai is not installed"
        raise LLMError(ErrorKind.MISSING_PACKAGE, message, "pip install 'evopo[llm]'") from None
    proxy = proxy_for(endpoint.base_url)
    if proxy:
        check_proxy(proxy)
    secure = urlsplit(endpoint.base_url).scheme == "https" or (proxy and proxy.url.startswith("https:"))
    believed = certificates() if secure else None
    way = {"trust_env": False, "proxy": proxy.url if proxy else None, "verify": True if believed is None else believed}
    way["follow_redirects"] = False  # prompts and key go only to the configured address
    return {
        "api_key": endpoint.api_key or "none",  # the SDK requires one, local servers do not
        "base_url": endpoint.base_url,
        "timeout": timeout,
        "max_retries": 0,
    }, way


def sdk_error(where: Where, error: Exception, seconds: float) -> LLMError:
    """The LLMError for an exception of the SDK; `seconds` is the request's time limit."""
    import openai

    if isinstance(error, openai.APITimeoutError):
        if _named(error, "ConnectTimeout"):
            message = f"no connection to {where.proxy or where.place} within {seconds:g} s"
            return LLMError.at(where, ErrorKind.CONNECTION, message, remedy=_network(where))
        return timed_out(where, seconds)
    if isinstance(error, openai.APIStatusError):
        return status_error(where, error.status_code, error.body, error.response.headers)
    if isinstance(error, openai.APIConnectionError):
        return connection_error(where, error)
    message = f"the request to {where.place} could not be made ({type(error).__name__}: {where.quote(str(error))})"
    return LLMError.at(where, ErrorKind.CONFIGURATION, message)


def timed_out(where: Where, seconds: float) -> LLMError:
    """The LLMError for a reply that did not arrive in time."""
    return LLMError.at(where, ErrorKind.TIMEOUT, f"{where.place} did not answer within {seconds:g} s")


def connection_error(where: Where, error: BaseException) -> LLMError:
    """The LLMError for a failed connection: refused, unknown host, bad certificate, or closed early."""
    causes = list(_causes(error))
    partner = where.proxy or where.place
    if refusal := next((c for c in causes if type(c).__name__ == "ProxyError"), None):
        status, _, words = str(refusal).partition(" ")
        return proxy_error(where, int(status), words) if status.isdigit() else proxy_error(where, None, str(refusal))
    if any(isinstance(c, ssl.SSLError) for c in causes):
        through = f" through {where.proxy}" if where.proxy else ""
        message = f"no secure connection to {where.place}{through}: its certificate or TLS version was not accepted"
        remedy = f"check https or http in {where.section}.base_url, and the certificates (SSL_CERT_FILE names a file of them)"
    elif any(isinstance(c, gaierror) for c in causes):
        message, remedy = f"the host of {partner} is unknown", _network(where)
    elif any(isinstance(c, ConnectionRefusedError) or type(c).__name__ == "ConnectError" for c in causes):
        message = f"{partner} refused the connection"
        remedy = _network(where) if where.proxy else f"start the server, or correct {where.section}.base_url; {AGAIN}"
    elif any(type(c).__name__ == "DecodingError" for c in causes):
        message = f"{where.place} sent a response whose compression does not match its headers"
        return LLMError.at(where, ErrorKind.MALFORMED, message)
    else:
        message = f"{where.place} closed the connection before its reply was complete"
        return LLMError.at(where, ErrorKind.DISCONNECTED, message)
    return LLMError.at(where, ErrorKind.CONNECTION, message, remedy=remedy)


def _network(where: Where) -> str:
    if where.proxy:
        host = urlsplit(where.place).hostname or where.place
        return f"start that proxy or correct the variable; without it: unset it, or NO_PROXY={host}; {AGAIN}"
    return f"check {where.section}.base_url, the network and the proxy variables; {AGAIN}"


def _named(error: BaseException, name: str) -> bool:
    """Whether an exception of that name is among the causes; by name, since the SDK's HTTP library may be one of two."""
    return any(type(cause).__name__ == name for cause in _causes(error))


def _causes(error: BaseException) -> Iterator[BaseException]:
    """`error` and everything it was raised from, exception groups included."""
    pending, seen = [error], set[int]()
    while pending:
        current = pending.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        if isinstance(current, BaseExceptionGroup):
            pending.extend(current.exceptions)
        pending.extend(c for c in (current.__cause__, current.__context__) if c is not None)
