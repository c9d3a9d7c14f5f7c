"""Forged answers: for any bytes that a hostile child sends, the trusted process gives a verdict without unsafe content."""

from __future__ import annotations

import json
import random
import unicodedata
from copy import deepcopy
from typing import Any

import pytest
from generated_losses import source

from sandbox.child.protocol import MAX_ANSWER_BYTES, Answer
from sandbox.child.trace.tracer import trace
from sandbox.contracts.contract import PREFERENCE
from sandbox.graph.loss_graph import LossGraph
from sandbox.verdicts.rules import RULES
from sandbox.verdicts.verdict import Severity
from sandbox.vetting.vet import read_reply
from sandbox.vetting.zygote import Reply

SOURCES = [source(random.Random(i)) for i in range(6)] + ["def loss(:\n    pass\n", "x = '\u202e'\n" * 3, "\x1b[2J", ""]
VALID = [json.loads(trace(s, PREFERENCE).encode()) for s in SOURCES if s]
ODD: list[Any] = [
    None, True, False, 0, -1, 1, 10**9, 10**9 + 1, -(10**9) - 1, 10**30, 0.5, -0.0, 1e308, "", "SBX101", "SBX128", "SBX255",
    "SBX301", "SBX326", "SBX999", "sbx101", "SBX10\u0661", "\x1b]0;title\x07", "\u202e", "\ud800", "\0",
    "a" * 281, "a" * 10**5, [], {}, [[]],
    [0, 0, 0, 0], [1, 0, 1, 4], [-1, -1, -1, -1], [10**9] * 4, [1, 2, 3], [True, 0, 1, 0], {"a": 1}, [None] * 20,
    ["SBX101", None, [], None, ""], ["SBX255", [1, 0, 1, 2], [], None, ""], ["SBX206", [1, 0, 1, 2], [1, 2], 99999, ""],
    '{"schema":1,"contract":"preference","nodes":[],"output":0}', '{"schema":1,"contract":"classification","nodes":[["input",[],'
    '{"name":"logits"}],["sum",[0],{"dim":1}]],"output":1}', "[" * 5000, '{"a":' * 900, "1" * 5000,
]  # fmt: skip
"""Values of the wrong kind, at the bounds, and of the right kind in the wrong place."""
TEXTS = ["NaN", "-Infinity", "1e999", "1" * 4500, "1" * 300_000, "[" * 100_000, '{"graph":' * 3000, '"\\ud800"', '"\\u0000"',
         "\ufeff{}", "null", "true", "{", "}", '{"violations":[],"graph":null,"at":null,"entry":null,"notes":[]}', ""]  # fmt: skip


def forged(rng: random.Random) -> bytes:
    """One answer: a valid one with parts exchanged or bytes damaged, or no answer at all."""
    kind = rng.random()
    if kind < 0.1:
        return rng.choice(TEXTS).encode("utf-8", "surrogatepass")
    if kind < 0.15:
        return rng.randbytes(rng.randint(0, 300))
    data: Any = json.loads(json.dumps(rng.choice(VALID))) if kind < 0.5 else _plausible(rng)
    for _ in range(rng.choice([0, 0, 0, 1]) if kind >= 0.5 else rng.randint(1, 4)):
        data = _exchanged(data, rng)
    text = json.dumps(data)
    if rng.random() < 0.1:
        text = (
            text.replace('"graph"', '"graph": 1, "graph"', 1) if rng.random() < 0.5 else text.replace("1", "1e9999", 1)
        )
    raw = text.encode(rng.choice(["utf-8"] * 8 + ["utf-16", "utf-32"]), "surrogatepass")
    return _damaged(raw, rng) if rng.random() < 0.2 else raw


def _plausible(rng: random.Random) -> Any:
    """An answer of the right form, with the rules, places, numbers and texts of an attacker."""
    graph = rng.choice([None, None, *(v["graph"] for v in VALID)])
    if graph is not None and rng.random() < 0.6:
        graph = json.dumps(_exchanged(json.loads(graph), rng))
    told = [_violation(rng, note=graph is not None) for _ in range(rng.choice([1, 1, 2, 16]))]
    listed = (
        {"violations": [], "notes": told if rng.random() < 0.5 else []} if graph else {"violations": told, "notes": []}
    )
    return {"graph": graph, "at": _spot(rng), "entry": _spot(rng), **listed}


def _violation(rng: random.Random, *, note: bool) -> list[Any]:
    text = "".join(rng.choice(" ~aZ09{}`\"'<>&%\\") for _ in range(rng.choice([0, 0, 5, 280])))
    numbers = [rng.choice([0, 1, 3, 10**9, -(10**9)]) for _ in range(rng.choice([0, 0, 1, 4]))]
    fitting = [c for c, rule in RULES.items() if (rule.severity is Severity.NOTE) == note and c < "SBX3"]
    code = rng.choice(fitting) if rng.random() < 0.95 else rng.choice(sorted(RULES))
    return [code, _spot(rng), numbers, rng.choice([None, None, 0, 5, 10**9]), text]


def _spot(rng: random.Random) -> list[int] | None:
    line, column = rng.randint(0, 30), rng.randint(0, 90)
    fine = [line, column, line + rng.choice([0, 0, 1, 10**6]), rng.choice([column, column + 4, 0, 10**6])]
    return rng.choice([None, [1, 0, 1, 4], fine, fine]) if rng.random() < 0.98 else [rng.randint(-2, 30), -1, 0, 0]


def _odd(rng: random.Random) -> Any:
    return deepcopy(rng.choice(ODD))


def _exchanged(value: Any, rng: random.Random) -> Any:
    """The value with one of its parts replaced, removed, doubled or nested."""
    if isinstance(value, str) and value.startswith("{") and rng.random() < 0.9:
        try:
            return json.dumps(_exchanged(json.loads(value), rng))
        except ValueError:
            return _odd(rng)
    if not isinstance(value, list | dict) or not value or rng.random() < 0.1:
        return _odd(rng)
    key = rng.choice(list(value)) if isinstance(value, dict) else rng.randrange(len(value))
    match rng.randrange(8):
        case 0:
            del value[key]
        case 1 if isinstance(value, list):
            value.insert(key, _odd(rng))
        case 2 if isinstance(value, list):
            value *= rng.choice([2, 30])
        case 3 if isinstance(value, dict):
            value[rng.choice(["x", "graph", "notes", "__class__"])] = _odd(rng)
        case _:
            value[key] = _exchanged(value[key], rng)
    return value


def _damaged(raw: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(raw) + 1)
    match rng.randrange(4):
        case 0:
            return raw[:at]
        case 1:
            return (
                raw[:at]
                + rng.choice([b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\0", b"\x1b", b"9" * 30, b"[" * 500])
                + raw[at:]
            )
        case 2:
            return raw[:at] + rng.randbytes(1) + raw[at + 1 :]
    return raw + b" " * rng.choice([1, MAX_ANSWER_BYTES])


def _check(seed: int) -> bool:
    """Whether the forged answer was accepted as one with a graph. Fails if the result is not a verdict."""
    rng = random.Random(f"forged:{seed}")
    raw, text = forged(rng), rng.choice(SOURCES)
    findings, graph, entry = read_reply(Reply(raw, ()), text, PREFERENCE)
    assert entry == "" or (entry.isascii() and entry.isidentifier() and len(entry) <= 64)
    for finding in findings:
        assert finding.rule in RULES and finding.rule < "SBX3"
        assert (finding.severity is Severity.NOTE) == (graph is not None), finding
        for shown in (finding.message, finding.remedy, finding.excerpt):
            assert len(shown) < 2000
            assert not [c for c in shown if unicodedata.category(c)[0] == "C"], (raw, shown)
        json.dumps(finding.to_json(), allow_nan=False)
    if graph is None:
        assert findings
        return False
    assert LossGraph.from_json(graph.to_json()) == graph
    return True


def test_forged_answers_get_a_verdict() -> None:
    passed = sum(_check(seed) for seed in range(1500))
    assert 50 < passed < 700


@pytest.mark.soak
def test_forged_answers_get_a_verdict_for_long() -> None:
    for seed in range(10_000, 30_000):
        _check(seed)


def test_valid_answers_are_read_as_they_were_sent() -> None:
    for text in SOURCES:
        if text:
            answer = trace(text, PREFERENCE)
            assert Answer.decode(answer.encode()) == answer
