"""Proxies and certificates from the environment: used, bypassed, or named in an error."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from loopback_llm import LoopbackLLM, closed_port

from fitness.chat.client import async_client, sdk_error, sync_client
from fitness.chat.endpoint import Endpoint
from fitness.chat.errors import Consequence, ErrorKind, LLMError
from fitness.chat.proxies import proxy_for

HOSTED, PLAIN = "https://llm.invalid/v1", "http://llm.invalid/v1"
VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "ssl_cert_file", "ssl_cert_dir")


@pytest.fixture(autouse=True)
def bare(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def asked(base_url: str) -> bytes:
    """The body of a reply. Raises LLMError."""
    import openai

    endpoint = Endpoint.resolve("m", base_url=base_url, environ={"OPENAI_API_KEY": "sk-0123456789"}, timeout=20.0)
    client = sync_client(endpoint, 20.0)
    try:
        messages: Any = [{"role": "user", "content": "hello"}]
        return client.chat.completions.with_raw_response.create(model="m", messages=messages).content
    except openai.OpenAIError as error:
        raise sdk_error(endpoint.where, error, 20.0) from None
    finally:
        client.close()


def failed(base_url: str) -> LLMError:
    with pytest.raises(LLMError) as caught:
        asked(base_url)
    assert "secret" not in str(caught.value) and "0123456789" not in str(caught.value)
    return caught.value


@contextmanager
def proxy(status: int, body: bytes, kind: str = "text/html") -> Iterator[str]:
    """A proxy that answers every request itself."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_CONNECT = do_POST

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://user:secret@127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST"])
def test_addresses_of_this_machine_use_no_proxy(monkeypatch, host):
    with closed_port() as nowhere, LoopbackLLM(["direct"]) as server:
        for name in ("HTTP_PROXY", "http_proxy"):
            monkeypatch.setenv(name, nowhere)
        monkeypatch.setenv("ALL_PROXY", "socks://nowhere:1/")
        monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/ca.pem")
        assert b"direct" in asked(server.base_url.replace("127.0.0.1", host))


def test_a_proxy_that_works_is_used(monkeypatch):
    with proxy(200, b'{"from": "the proxy"}', "application/json") as url:
        monkeypatch.setenv("HTTP_PROXY", url)
        assert asked(PLAIN) == b'{"from": "the proxy"}'


UNUSABLE = [
    ({"ALL_PROXY": "socks5://u:secret@127.0.0.1:9"}, "ALL_PROXY", "unset ALL_PROXY, or pip install httpx[socks]"),
    ({"all_proxy": "socks5h://127.0.0.1:9"}, "all_proxy", "unset all_proxy, or pip install httpx[socks]"),
    ({"all_proxy": "socks://127.0.0.1:9/"}, "all_proxy", "socks5://127.0.0.1:9 and pip install httpx[socks]"),
    ({"ALL_PROXY": "socks4://127.0.0.1:9"}, "ALL_PROXY", "socks4:// is not known here"),
    ({"HTTPS_PROXY": "ftp://127.0.0.1:9"}, "HTTPS_PROXY", "write it as http://127.0.0.1:9"),
    ({"https_proxy": "http://u:secret@[::1"}, "https_proxy", "write it like http://proxy:3128"),
    ({"https_proxy": "http://u:secret@proxy:99999"}, "https_proxy", "write it like http://proxy:3128"),
    ({"https_proxy": "http://u:secret@proxy:port"}, "https_proxy", "write it like http://proxy:3128"),
    ({"https_proxy": "http://"}, "https_proxy", "write it like http://proxy:3128"),
    ({"https_proxy": "http://proxy..net:3128"}, "https_proxy", "write it like http://proxy:3128"),
    ({"https_proxy": "http://a proxy:3128"}, "https_proxy", "write it like http://proxy:3128"),
    ({"HTTPS_PROXY": "http://upper:1", "https_proxy": "socks5://lower:1"}, "https_proxy", "pip install"),
    ({"HTTPS_PROXY": "socks5://own:1", "ALL_PROXY": "http://all:1"}, "HTTPS_PROXY", "pip install"),
]


@pytest.mark.parametrize(("environment", "variable", "remedy"), UNUSABLE, ids=[str(row[0])[:60] for row in UNUSABLE])
def test_a_proxy_that_cannot_be_used_is_named_with_its_variable(monkeypatch, environment, variable, remedy):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    error = failed(HOSTED)
    assert (error.kind, error.consequence) == (ErrorKind.CONFIGURATION, Consequence.STOP)
    assert f"the proxy in {variable}" in error.message and "cannot be used" in error.message
    assert remedy in error.remedy
    with pytest.raises(LLMError, match=f"the proxy in {variable} "):
        async_client(Endpoint("m", HOSTED), 1.0)


@pytest.mark.parametrize(
    "environment",
    [
        {"ALL_PROXY": "socks5://127.0.0.1:9", "NO_PROXY": "llm.invalid"},
        {"HTTP_PROXY": "socks5://127.0.0.1:9"},
        {"HTTPS_PROXY": "socks5://127.0.0.1:9", "https_proxy": ""},
    ],
    ids=["excepted", "of another scheme", "turned off"],
)
def test_an_unusable_proxy_for_other_addresses_is_ignored(monkeypatch, environment):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    asyncio.run(async_client(Endpoint("m", HOSTED), 1.0).close())


@pytest.mark.parametrize(
    ("entry", "excepts"),
    [
        ("*", True), ("api.example.com", True), ("example.com", True), (".example.com", True), ("*.example.com", True),
        ("API.EXAMPLE.COM", True), ("other.com, example.com", True), ("other.com example.com", True),
        ("api.example.com:443", True), ("api.example.com:8443", False), ("https://api.example.com", True),
        ("https://api.example.com/v1", True), ("other.com;example.com", True), ("'example.com'", True), ("api.*.com", True),
        ("example.com.", True), ("*.example.org", False), ("ample.com", False), ("example.org", False), ("", False), (",", False),
    ],
)  # fmt: skip
def test_no_proxy_excepts_a_name_and_all_below_it(entry, excepts):
    environment = {"HTTPS_PROXY": "http://p:1", "NO_PROXY": entry}
    assert (proxy_for("https://api.example.com/v1", environment) is None) is excepts


@pytest.mark.parametrize(
    ("entry", "excepts"),
    [("10.1.2.3", True), ("10.0.0.0/8", True), ("10.1.2.3:80", True), ("10.2.0.0/16", False), ("10.*", True)],
)
def test_no_proxy_excepts_addresses_and_networks(entry, excepts):
    assert (proxy_for("http://10.1.2.3/v1", {"http_proxy": "p:1", "no_proxy": entry}) is None) is excepts


def test_a_proxy_without_a_scheme_is_an_http_proxy():
    found = proxy_for(PLAIN, {"http_proxy": "user:secret@proxy:3128"})
    assert str(found) == "the proxy in http_proxy (http://proxy:3128)"
    assert "secret" not in repr(found)


@pytest.mark.parametrize("address", [HOSTED, PLAIN])
def test_a_proxy_that_is_down_is_named_not_the_endpoint(monkeypatch, address):
    with closed_port() as nowhere:
        monkeypatch.setenv("ALL_PROXY", nowhere.replace("http://", "http://u:secret@"))
        error = failed(address)
    assert error.kind is ErrorKind.CONNECTION
    assert error.message.startswith("the proxy in ALL_PROXY (http://127.0.0.1:")
    assert "NO_PROXY=llm.invalid" in error.remedy


@pytest.mark.parametrize("address", [HOSTED, PLAIN])
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (403, ErrorKind.CONNECTION),
        (407, ErrorKind.UNAUTHORIZED),
        (502, ErrorKind.CONNECTION),
        (503, ErrorKind.CONNECTION),
        (504, ErrorKind.CONNECTION),
    ],
)
def test_an_error_of_the_proxy_itself_names_the_proxy(monkeypatch, address, status, kind):
    with proxy(status, b"<html><title>Squid says no</title></html>") as url:
        monkeypatch.setenv("all_proxy", url)
        error = failed(address)
    assert error.kind is kind
    assert "the proxy in all_proxy (http://127.0.0.1:" in error.message and str(status) in error.message
    assert "NO_PROXY=llm.invalid" in error.remedy


def test_an_error_of_the_endpoint_behind_a_proxy_names_the_endpoint(monkeypatch):
    with proxy(503, b'{"error": {"message": "Loading model"}}', "application/json") as url:
        monkeypatch.setenv("http_proxy", url)
        error = failed(PLAIN)
    assert error.kind is ErrorKind.SERVER_ERROR
    assert error.message == f"{PLAIN} answered 503: Loading model"


def test_several_folders_of_certificates_are_accepted(monkeypatch, tmp_path):
    monkeypatch.setenv("SSL_CERT_DIR", f"/nowhere:{tmp_path}")
    asyncio.run(async_client(Endpoint("m", HOSTED), 1.0).close())


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("SSL_CERT_FILE", "/nowhere/ca.pem"),
        ("SSL_CERT_FILE", __file__),
        ("SSL_CERT_FILE", "/"),
        ("SSL_CERT_DIR", "/nowhere"),
    ],
)
def test_missing_certificates_are_named_with_their_variable(monkeypatch, variable, value):
    monkeypatch.setenv(variable, value)
    error = failed(HOSTED)
    assert error.kind is ErrorKind.CONFIGURATION
    assert variable in error.message and value in error.message
    assert f"unset {variable}" in error.remedy
