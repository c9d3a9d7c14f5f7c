"""A fake language model: an HTTP server on 127.0.0.1 that speaks chat completions and has faults on request.

    with LoopbackLLM(script=[Fault.RATE_LIMIT, "a reply"]) as server:
        ...                             # server.base_url, server.requests, server.bodies

    python tests/loopback_llm.py --port 8123 --fault 3:rate_limit --fault 5:hang

The script is used up request by request; after it, `fallback` answers, which writes valid losses that all differ.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any


class Fault(StrEnum):
    """Fault that one request gets instead of a reply."""

    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    RATE_LIMIT = "rate_limit"
    NO_CREDIT = "no_credit"
    SERVER_ERROR = "server_error"
    HTML_ERROR = "html_error"
    HANG = "hang"
    SLOW = "slow"
    BROKEN_JSON = "broken_json"
    NO_JSON = "no_json"
    WRONG_CONTENT_TYPE = "wrong_content_type"
    EMPTY_CHOICES = "empty_choices"
    NULL_CONTENT = "null_content"
    PROSE = "prose"
    CUT_OFF = "cut_off"
    DISCONNECT = "disconnect"
    RESET = "reset"
    TOO_LONG = "too_long"
    ECHO_KEY = "echo_key"


@dataclass(frozen=True)
class Answer:
    """A reply with all properties that a test may set."""

    text: str | None
    finish_reason: str = "stop"
    usage: Mapping[str, int] | None = field(default_factory=lambda: {"prompt_tokens": 1000, "completion_tokens": 200})
    delay: float = 0.0
    """Seconds before the reply is sent."""
    alternatives: Mapping[str, float] = field(default_factory=dict)
    """Log-probabilities of the alternatives of the first token, in nats; they are sent if there are any."""


@dataclass(frozen=True)
class Status:
    """An error response with the given body and headers."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Raw:
    """A response with exactly these bytes as its body."""

    body: bytes
    content_type: str = "application/json"
    status: int = 200


Action = Fault | Answer | Status | Raw | str
Responder = Callable[[dict[str, Any], int], Action]

_TERMS = (
    "F.softplus(-z)",
    "torch.relu(1 - z)",
    "torch.exp(-torch.clamp(z, -20, 20))",
    "(z - 0.5) ** 2",
    "1 - torch.sigmoid(z)",
)


def valid_loss(number: int) -> str:
    """Source of a valid preference loss, a different one for each number."""
    first, second = _TERMS[number % 5], _TERMS[(number + 1 + (number // 5) % 4) % 5]
    weight, scale = 0.5 + 0.45 * ((number * 37) % 101) / 101, 0.5 + ((number * 53) % 97) / 97
    return (
        "def loss(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, beta):\n"
        "    rho = (policy_chosen_logps - policy_rejected_logps) - (reference_chosen_logps - reference_rejected_logps)\n"
        f"    z = {scale:.4f} * beta * rho\n"
        f"    return {weight:.4f} * {first} + {1 - weight:.4f} * {second}\n"
    )


def proposal(code: str, thought: str = "A scripted thought.", name: str = "scripted") -> str:
    """A structured reply that proposes `code`."""
    return json.dumps({"thought": thought, "name": name, "code": code})


def write_losses(body: dict[str, Any], number: int) -> Action:
    """The default responder: a valid loss in the format that the request asks for."""
    code = valid_loss(number)
    if "response_format" in body:
        return proposal(code, f"Scripted proposal {number}.", f"scripted_{number}")
    return f"Thought: scripted proposal {number}.\nName: scripted_{number}\n\n```python\n{code}```\n"


class LoopbackLLM:
    """The server, a context manager. `requests` is the number of requests, `bodies` and `keys` are theirs, in order."""

    def __init__(
        self,
        script: Iterable[Action] = (),
        *,
        port: int = 0,
        fallback: Responder = write_losses,
        faults: Mapping[int, Fault] | None = None,
        rejects: Sequence[str] = (),
        latency: float = 0.0,
        retry_after: str | None = "0",
    ) -> None:
        """`script`: replies, used in order. `faults`: by number of the request, from 1. `rejects`: request parameters that are
        refused with status 400. `latency`: seconds. `retry_after`: header of a rate limit, None for no header."""
        self.rejects = tuple(rejects)
        self.latency = latency
        self.retry_after = retry_after
        self.models: tuple[str, ...] = ("scripted-1", "scripted-2")
        self.bodies: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self._script = list(script)
        self._faults = dict(faults or {})
        self._fallback = fallback
        self._lock = threading.Lock()
        self._written = 0
        self.closing = threading.Event()
        self._server = _Server(("127.0.0.1", port), _Handler, self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    @property
    def requests(self) -> int:
        return len(self.bodies)

    def start(self) -> LoopbackLLM:
        self._thread.start()
        return self

    def close(self) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> LoopbackLLM:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def action(self, body: dict[str, Any], key: str) -> Action:
        """Records the request and returns the action for it."""
        with self._lock:
            self.bodies.append(body)
            self.keys.append(key)
            for parameter in self.rejects:
                if parameter in body:
                    message = f"Unsupported parameter: '{parameter}' is not supported with this model."
                    return Status(
                        400, {"error": {"message": message, "param": parameter, "code": "unsupported_parameter"}}
                    )
            if fault := self._faults.pop(len(self.bodies), None):
                return fault
            if self._script:
                return self._script.pop(0)
            self._written += 1
            number = self._written
        return self._fallback(body, number)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    """With a short queue, connections that many clients open at once would be dropped, and made again after a second."""

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler], llm: LoopbackLLM) -> None:
        self.llm = llm
        super().__init__(address, handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignores broken pipes, because clients disconnect in some tests."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        if self.path.rstrip("/") == "/v1/models":
            models = [
                {"id": name, "object": "model", "created": 0, "owned_by": "loopback"} for name in self.server.llm.models
            ]
            self._json(200, {"object": "list", "data": models})
        else:
            self._json(404, {"error": {"message": f"no such page: {self.path}"}})

    def do_POST(self) -> None:
        llm = self.server.llm
        raw = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.path != "/v1/chat/completions":
            self._json(404, {"error": {"message": f"no such page: {self.path}"}})
            return
        body = json.loads(raw)
        self.model = str(body.get("model", "scripted-1"))
        self.key = self.headers.get("authorization", "").removeprefix("Bearer ")
        action = llm.action(body, self.key)
        llm.closing.wait(llm.latency)
        if isinstance(action, Fault):
            getattr(self, f"_{action.value}")()
        elif isinstance(action, Raw):
            self._send(action.status, action.body, action.content_type)
        elif isinstance(action, Status):
            self._json(action.status, action.body, action.headers)
        else:
            answer = action if isinstance(action, Answer) else Answer(action)
            llm.closing.wait(answer.delay)
            self._json(200, self._completion(answer))

    def _completion(self, answer: Answer) -> dict[str, Any]:
        message = {"role": "assistant", "content": answer.text}
        choice: dict[str, Any] = {"index": 0, "message": message, "finish_reason": answer.finish_reason}
        if answer.alternatives:
            likeliest = sorted(answer.alternatives.items(), key=lambda item: -item[1])
            first = [{"token": token, "logprob": value, "bytes": None} for token, value in likeliest]
            choice["logprobs"] = {"content": [first[0] | {"top_logprobs": first}]}
        completion: dict[str, Any] = {
            "id": "chatcmpl-loopback",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": self.model,
            "choices": [choice],
        }
        if answer.usage is not None:
            usage = dict(answer.usage)
            completion["usage"] = usage | {"total_tokens": sum(usage.values())}
        return completion

    def _json(self, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
        self._send(status, json.dumps(body).encode(), "application/json", headers)

    def _send(self, status: int, body: bytes, content_type: str, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _unauthorized(self) -> None:
        self._json(401, {"error": {"message": "Incorrect API key provided.", "code": "invalid_api_key"}})

    def _forbidden(self) -> None:
        self._json(403, {"error": {"message": "Country, region, or territory not supported"}})

    def _not_found(self) -> None:
        self._json(404, {"error": {"message": f"The model `{self.model}` does not exist", "code": "model_not_found"}})

    def _rate_limit(self) -> None:
        wait = self.server.llm.retry_after
        self._json(429, {"error": {"message": "Rate limit reached"}}, {} if wait is None else {"Retry-After": wait})

    def _no_credit(self) -> None:
        self._json(429, {"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}})

    def _server_error(self) -> None:
        self._json(500, {"error": {"message": "The server had an error while processing your request"}})

    def _html_error(self) -> None:
        self._send(502, b"<html><body><h1>502 Bad Gateway</h1></body></html>", "text/html")

    def _too_long(self) -> None:
        message = (
            "This model's maximum context length is 8192 tokens. However, you requested 9000 tokens (max_tokens=4096)."
        )
        self._json(400, {"error": {"message": message, "code": "context_length_exceeded"}})

    def _echo_key(self) -> None:
        self._json(401, {"error": {"message": f"Incorrect API key provided: {self.key}. \x1b[31mRed\x1b[0m"}})

    def _hang(self) -> None:
        self.server.llm.closing.wait()
        self.close_connection = True

    def _slow(self) -> None:
        """Sends single bytes slowly: every read succeeds, but the response never ends."""
        body = json.dumps(self._completion(Answer("x" * 100_000))).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        for byte in body:
            if self.server.llm.closing.wait(0.05):
                break
            self.wfile.write(bytes([byte]))
            self.wfile.flush()
        self.close_connection = True

    def _broken_json(self) -> None:
        self._send(200, b'{"id": "chatcmpl-loopback", "choices": [{"message": {"content": "def', "application/json")

    def _no_json(self) -> None:
        self._json(200, ["not", "a", "completion"])

    def _wrong_content_type(self) -> None:
        self._send(200, b"<!doctype html><title>Sign in to the hotel's network</title>", "text/html; charset=utf-8")

    def _empty_choices(self) -> None:
        self._json(200, self._completion(Answer("")) | {"choices": []})

    def _null_content(self) -> None:
        self._json(200, self._completion(Answer(None, finish_reason="length")))

    def _prose(self) -> None:
        self._json(200, self._completion(Answer("I would suggest that we think about margins first.")))

    def _cut_off(self) -> None:
        text = proposal(valid_loss(1))
        self._json(200, self._completion(Answer(text[: len(text) // 2], finish_reason="length")))

    def _disconnect(self) -> None:
        body = json.dumps(self._completion(Answer("x" * 1000))).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:100])
        self.wfile.flush()
        self.close_connection = True

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True


@contextlib.contextmanager
def closed_port() -> Iterator[str]:
    """The base URL of a port that refuses connections, reserved within the block."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{holder.getsockname()[1]}/v1"


def _fault(text: str) -> tuple[int, Fault]:
    number, _, kind = text.partition(":")
    return int(number), Fault(kind)


def main() -> None:
    """Serves until interrupted. The first printed line is the base URL."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--fault", type=_fault, action="append", default=[], metavar="NUMBER:KIND",
                        help=f"what request NUMBER (from 1) gets: {', '.join(Fault)}")  # fmt: skip
    parser.add_argument(
        "--reject", action="append", default=[], metavar="PARAMETER", help="answer 400 where it is sent"
    )
    parser.add_argument("--replies", type=Path, help="JSON lines, each a string: the first replies")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each reply")
    parser.add_argument("--retry-after", default="1", help="what a rate limit says")
    options = parser.parse_args()
    lines = options.replies.read_text(encoding="utf-8").splitlines() if options.replies else []
    server = LoopbackLLM(
        [str(json.loads(line)) for line in lines],
        port=options.port,
        faults=dict(options.fault),
        rejects=options.reject,
        latency=options.latency,
        retry_after=options.retry_after,
    )
    with server, contextlib.suppress(KeyboardInterrupt):
        print(server.base_url, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
