"""Program of the zygote: a fresh, isolated interpreter that forks one jailed child per candidate. Run by path, never imported.

    python -I -S zygote_main.py SANDBOX_DIRECTORY RESTRICTEDPYTHON_DIRECTORY [LAYER_TO_LEAVE_OUT...]

The two packages are registered with their directories, and sys.path is not searched for them. So no module next to a vetted file,
in the current directory or in site-packages can replace a module of the sandbox. Requests arrive on descriptor 0, replies go to
descriptor 1; both are framed with lengths. The zygote passes the source on unread: the child parses it.
"""

from __future__ import annotations

import gc
import os
import resource
import select
import signal
import struct
import sys
import time
import types
import warnings

REQUEST = struct.Struct(">IIBH")
"""Length of the source, length of the contract as JSON, guarantees accepted as missing (one bit each), length of the argument
names. The three texts follow in this order."""
REPLY = struct.Struct(">BBBI")
"""Outcome, its number (signal or exit status), layers in force (one bit each), length of the answer."""
ANSWERED, TIMED_OUT, KILLED, EXITED = range(4)
OUT_OF_MEMORY = 3
"""Exit status of a child that lacked the memory to answer."""
READY = b"evopo"


def _enter(name: str, directory: str) -> None:
    package = types.ModuleType(name)
    package.__path__ = [directory]
    sys.modules[name] = package


def main() -> None:
    """Serve requests until the parent closes the pipe."""
    gc.disable()  # modules leave little garbage, a request leaves none, and a child ends with its candidate
    _enter("sandbox", sys.argv[1])
    _enter("RestrictedPython", sys.argv[2])
    from sandbox.child.jail.isolate import GUARANTEES, WALL_SECONDS, Jail, encode_layers, missing
    from sandbox.child.protocol import MAX_ANSWER_BYTES, Answer, Violation
    from sandbox.child.trace.tracer import trace
    from sandbox.contracts.contract import CONTRACTS, Contract, adopt

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    warnings.simplefilter("ignore")  # a jailed child has no stream to write them to
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    jail = Jail(frozenset(sys.argv[3:]))
    contracts: dict[bytes, Contract] = {}

    def known(text: bytes) -> Contract:
        """The contract that the trusted parent sent. A new one is traced once here, since a jailed child can load no module."""
        if text not in contracts:
            contract = contracts[text] = adopt(text.decode())
            trace(_warm_up(contract), contract)
            trace("é = f'{'", contract)
        return contracts[text]

    for contract in list(CONTRACTS.values()):
        known(contract.to_json().encode())
    zygote = os.getpid()

    def child(answer: int, source: bytes, contract: Contract, accepted: int, names: bytes) -> None:
        layers = jail.enter(answer, zygote)
        os.write(answer, bytes([encode_layers(layers)]))
        lacking = missing(layers, [g for i, g in enumerate(GUARANTEES) if accepted >> i & 1])
        if lacking:
            reply = Answer(tuple(Violation("SBX244", None, (GUARANTEES.index(g),)) for g in lacking))
        else:
            reply = trace(source.decode("utf-8"), contract, names.decode("ascii").split())
        raw = reply.encode()
        while raw:
            raw = raw[os.write(answer, raw) :]

    def attend(source: bytes, contract: Contract, accepted: int, names: bytes) -> bytes:
        answer_end, child_end = os.pipe()
        jail.prepare(child_end)
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                child(child_end, source, contract, accepted, names)
                code = 0
            except MemoryError:
                code = OUT_OF_MEMORY
            finally:
                os._exit(code)
        os.close(child_end)
        raw, in_time = _collect(answer_end, MAX_ANSWER_BYTES, WALL_SECONDS)
        os.close(answer_end)
        os.kill(pid, signal.SIGKILL)  # it has answered or timed out; no effect on a child that has exited
        _, status = os.waitpid(pid, 0)
        return _framed(raw, in_time, status)

    os.write(1, READY)
    while True:
        head = _read(REQUEST.size)
        length, described, accepted, further = REQUEST.unpack(head)
        source, contract = _read(length), known(_read(described))
        _write(attend(source, contract, accepted, _read(further)))


def _framed(raw: bytes, in_time: bool, status: int) -> bytes:
    layers, answer = (raw[0], raw[1:]) if raw else (0, b"")
    if not in_time:
        outcome, number, answer = TIMED_OUT, 0, b""
    elif os.WIFSIGNALED(status) and not (answer and os.WTERMSIG(status) == signal.SIGKILL):
        outcome, number, answer = KILLED, os.WTERMSIG(status), b""
    elif os.WIFEXITED(status) and os.WEXITSTATUS(status):
        outcome, number, answer = EXITED, os.WEXITSTATUS(status), b""
    else:
        outcome, number = ANSWERED, 0
    return REPLY.pack(outcome, number, layers, len(answer)) + answer


def _collect(answer: int, most: int, seconds: float) -> tuple[bytes, bool]:
    """The bytes that a child writes until it closes the pipe, and whether it did so in time. Exits if the parent is gone."""
    deadline = time.monotonic() + seconds
    ready = select.poll()
    ready.register(answer, select.POLLIN)
    ready.register(0, select.POLLHUP)
    raw = b""
    while len(raw) <= most + 1:
        left = deadline - time.monotonic()
        events = dict(ready.poll(max(left, 0) * 1000))
        if events.get(0, 0) & (select.POLLHUP | select.POLLERR):
            os._exit(0)  # the parent is gone; the child is killed with this process
        if answer not in events:
            return raw, False
        part = os.read(answer, 65536)
        if not part:
            return raw, True
        raw += part
    return raw[:most], True  # longer than any answer of ours; the rest is dropped


def _read(length: int) -> bytes:
    parts = []
    while length:
        part = os.read(0, min(length, 65536))
        if not part:
            os._exit(0)
        parts.append(part)
        length -= len(part)
    return b"".join(parts)


def _write(data: bytes) -> None:
    while data:
        data = data[os.write(1, data) :]


def _warm_up(contract) -> str:  # type: ignore[no-untyped-def]
    """A source that makes the parser and the tracer load their lazy imports, since a jailed child can load no module."""
    first = contract.tensors[0].name
    return f'''
"""Docstring."""
import torch.nn.functional as F
K = (1.0, 2)

def helper(z: float, k=2.0) -> float:
    return torch.where(z > 0, z * k, z)

def loss({contract.signature}):
    total = torch.zeros_like({first})
    for i, w in enumerate(K):
        total += helper({first}, k=w) / math.sqrt(2.0 + i)
    return sum([v for v in (total, total)])[None].squeeze(0) @ 1
'''


if __name__ == "__main__":
    main()
