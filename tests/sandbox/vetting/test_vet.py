"""vet and vet_graph: statuses, guarantees, forged answers, threads."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from hostile_more import candidate
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox import LossGraph, Verdict, VerdictStatus, vet, vet_graph
from sandbox.child.allowlist.calls import CALLS
from sandbox.child.allowlist.limits import MAX_SOURCE_BYTES
from sandbox.child.jail.isolate import GUARANTEES, Jail
from sandbox.child.protocol import Answer, SourceSpan, Violation
from sandbox.contracts.contract import CLASSIFICATION, PREFERENCE
from sandbox.verdicts.render import finding, located, printable
from sandbox.vetting.vet import Vetter, read_reply
from sandbox.vetting.zygote import Reply

GOOD = candidate("return -F.logsigmoid(beta * x)")
ROOT = Path(__file__).resolve().parents[3]


def test_accepted_has_everything() -> None:
    verdict = vet(GOOD)
    assert verdict.accepted and verdict.status is VerdictStatus.ACCEPTED
    assert verdict.entry == "loss" and verdict.contract == "preference"
    assert verdict.graph is not None and verdict.hash and verdict.fingerprint and verdict.descriptors
    assert set(verdict.guarantees) == set(GUARANTEES)
    assert verdict.milliseconds > 0
    assert Verdict.from_json(json.loads(json.dumps(verdict.to_json()))) == Verdict.from_json(verdict.to_json())


def test_partial_is_never_accepted() -> None:
    verdict = vet(GOOD, numeric=False)
    assert verdict.status is VerdictStatus.PARTIAL and not verdict.accepted
    assert verdict.graph is not None and verdict.hash is None and verdict.fingerprint is None


def test_static_and_tracing_layers_load_no_torch() -> None:
    program = f"import sys; from sandbox import vet; v = vet({GOOD!r}, numeric=False)\n"
    program += "print(v.status.value, 'torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True)
    assert run.stdout.split() == ["partial", "False"]


@pytest.mark.parametrize(
    ("source", "code"),
    [
        (b"\xff\xfe", "SBX101"),
        (b"def loss(): \xc3\x28", "SBX101"),
        ("\ud800", "SBX101"),
        (b"a\0b", "SBX103"),
        (b" " * (MAX_SOURCE_BYTES + 1), "SBX102"),
        ("β" * MAX_SOURCE_BYTES, "SBX102"),
        (b"", "SBX109"),
    ],
)
def test_bytes_that_are_not_a_source_are_refused(source: str | bytes, code: str) -> None:
    verdict = vet(source)
    assert [f.rule for f in verdict.findings] == [code]
    assert verdict.status is VerdictStatus.REFUSED


def test_trusted_process_does_not_parse(monkeypatch: pytest.MonkeyPatch) -> None:
    import ast
    import builtins

    def forbidden(*_: object, **__: object) -> Any:
        raise AssertionError("parsed in the trusted process")

    with monkeypatch.context() as patch:
        patch.setattr(ast, "parse", forbidden)
        patch.setattr(builtins, "compile", forbidden)
        verdict = vet(GOOD, numeric=False)
    assert verdict.status is VerdictStatus.PARTIAL


def test_byte_order_mark_is_tolerated_at_the_start() -> None:
    assert vet("\ufeff" + GOOD, numeric=False).status is VerdictStatus.PARTIAL


def test_line_ends_of_other_systems() -> None:
    for end in ("\r\n", "\r"):
        assert vet(GOOD.replace("\n", end), numeric=False).status is VerdictStatus.PARTIAL
    (f,) = vet(candidate("y = 1", "return z").replace("\n", "\r\n"), numeric=False).findings
    assert (f.rule, f.line, f.column, f.excerpt) == ("SBX126", 4, 12, "z")


@pytest.mark.parametrize(
    ("name", "remedy"), [("rho", "`rho = (policy_chosen_logps -"), ("scale", "`scale = 0.5` above its use")]
)
def test_an_undefined_name_is_told_with_a_line_for_this_name(name: str, remedy: str) -> None:
    source = f"def loss({PREFERENCE.signature}):\n    return beta * policy_chosen_logps * {name}\n"
    (f,) = vet(source, numeric=False).findings
    assert f.rule == "SBX126" and remedy in (f.remedy or "")


def test_unknown_contract_and_guarantee_raise_errors() -> None:
    with pytest.raises(ValueError, match="unknown contract 'x'"):
        vet(GOOD, "x")
    with pytest.raises(ValueError, match="unknown guarantee 'luck'"):
        vet(GOOD, accept_missing=["luck"])


def test_graph_needs_no_jail() -> None:
    graph = vet(GOOD, numeric=False).graph
    assert graph is not None
    for form in (graph, graph.to_json(), graph.to_json().encode()):
        verdict = vet_graph(form)
        assert verdict.accepted and set(verdict.guarantees.values()) == {"not-needed"}


@pytest.mark.parametrize("text", ["", "{}", "[" * 10000, '{"schema":1}', b"\xff", "NaN", '"' + "a" * 200_000 + '"'])
def test_bad_graph_is_refused(text: str | bytes) -> None:
    verdict = vet_graph(text)
    assert verdict.status is VerdictStatus.REFUSED and verdict.findings[0].rule.startswith("SBX21")


def test_unverified_graph_object_is_verified() -> None:
    graph = vet(GOOD, numeric=False).graph
    assert graph is not None
    assert vet_graph(LossGraph("preference", graph.nodes, 0), numeric=False).status is VerdictStatus.PARTIAL
    assert vet_graph(LossGraph("preference", graph.nodes, 4), numeric=False).status is VerdictStatus.REFUSED
    assert vet_graph(LossGraph("none", graph.nodes, 0), numeric=False).findings[0].rule == "SBX210"


# --- guarantees -------------------------------------------------------------------------------------------------------

needs_all_layers = pytest.mark.skipif(
    not set(Jail().available()) >= {"seccomp", "landlock-signals"}, reason="this machine does not offer every layer"
)
WITHOUT = {
    "files": ["seccomp", "landlock"],
    "network": ["seccomp", "no-descriptors-limit"],
    "processes": ["seccomp", "no-processes-limit"],
    "signals": ["seccomp", "landlock-signals"],
    "memory": ["memory-limit"],
}


@needs_all_layers
@pytest.mark.parametrize("guarantee", WITHOUT)
def test_missing_guarantee_refuses_unless_accepted(guarantee: str) -> None:
    with Vetter(without=WITHOUT[guarantee]) as vetter:
        verdict = vetter.vet(GOOD, numeric=False)
        assert verdict.status is VerdictStatus.REFUSED and verdict.graph is None
        assert {f.rule for f in verdict.findings} == {"SBX244"}
        assert any(f"`{guarantee}`" in f.message for f in verdict.findings)
        assert verdict.guarantees[guarantee] == ""
        lacking = [name for name, by in verdict.guarantees.items() if not by]
        assert len(lacking) == len(verdict.findings)
        accepted = vetter.vet(GOOD, numeric=False, accept_missing=lacking)
        assert accepted.status is VerdictStatus.PARTIAL
        assert accepted.guarantees[guarantee] == "accepted-missing"
        others = set(GUARANTEES) - {guarantee}
        assert vetter.vet(GOOD, numeric=False, accept_missing=others).status is VerdictStatus.REFUSED


@needs_all_layers
def test_accepting_a_guarantee_that_holds_changes_nothing() -> None:
    assert vet(GOOD, numeric=False, accept_missing=GUARANTEES).guarantees == vet(GOOD, numeric=False).guarantees


# --- the child is not believed ----------------------------------------------------------------------------------------


def _read(answer: bytes, contract: Any = PREFERENCE) -> tuple[list[str], LossGraph | None]:
    found, graph, _ = read_reply(Reply(answer, ()), GOOD, contract)
    return [f.rule for f in found], graph


def _graph() -> LossGraph:
    graph = vet(GOOD, numeric=False).graph
    assert graph is not None
    return graph


def test_honest_answer_is_read() -> None:
    assert _read(Answer(graph=_graph().to_json()).encode()) == ([], _graph())


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"accepted",
        b"null",
        b"[]",
        b"{}",
        b"[" * 100_000,
        b'{"violations":[],"graph":null,"at":null,"entry":null}',
        b'{"violations":"SBX101","graph":null,"at":null,"entry":null}',
        b'{"violations":[["SBX101",[1,2,3],[],null]],"graph":null,"at":null,"entry":null}',
        b'{"violations":[["SBX101",null,["text"],null]],"graph":null,"at":null,"entry":null}',
        b'{"violations":[["SBX101",null,[1e999],null]],"graph":null,"at":null,"entry":null}',
        b'{"violations":[["SBX101",null,[99999999999999],null]],"graph":null,"at":null,"entry":null}',
        b'{"violations":[["SBX101",null,[true],null]],"graph":null,"at":null,"entry":null}',
        b'{"violations":[["<script>",null,[],null]],"graph":null,"at":null,"entry":null}',
        b'{"violations":[],"graph":{},"at":null,"entry":null}',
        b'{"violations":[],"graph":"x","at":[-1,0,0,0],"entry":null}',
        b'{"violations":[],"graph":"x","at":null,"entry":null,"accepted":true}',
        Answer((Violation("SBX999"),)).encode(),
        Answer((Violation("SBX304"),)).encode(),
        Answer((Violation("SBX324"),)).encode(),
    ],
)
def test_malformed_answer_is_refused(answer: bytes) -> None:
    assert _read(answer) == (["SBX243"], None)


def test_graph_of_another_contract_is_refused() -> None:
    source = "def loss(logits, targets):\n    return F.cross_entropy(logits, targets, reduction='none')\n"
    other = vet(source, "classification", numeric=False).graph
    assert other is not None
    assert _read(Answer(graph=other.to_json()).encode()) == (["SBX243"], None)
    assert _read(Answer(graph=other.to_json()).encode(), CLASSIFICATION) == ([], other)


def test_forged_graph_is_verified() -> None:
    rules, graph = _read(Answer(graph='{"schema":1,"contract":"preference","nodes":[["exec",[]]],"output":0}').encode())
    assert rules == ["SBX211"] and graph is None


@given(st.binary(max_size=300))
@settings(max_examples=150, deadline=None)
def test_any_bytes_are_read_without_harm(raw: bytes) -> None:
    rules, graph = _read(raw)
    assert rules == ["SBX243"] and graph is None


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8) | st.just("SBX101"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=12,
)


@given(st.fixed_dictionaries({"violations": _JSON, "graph": _JSON, "at": _JSON, "entry": _JSON}))
@settings(max_examples=200, deadline=None)
def test_any_json_is_read_without_harm(data: dict[str, Any]) -> None:
    rules, graph = _read(json.dumps(data).encode())
    assert rules and graph is None


def test_answers_survive_the_pipe() -> None:
    answer = Answer((Violation("SBX206", SourceSpan(1, 2, 3, 4), (5, -6), 7),), entry=SourceSpan(1, 4, 1, 8))
    assert Answer.decode(answer.encode()) == answer


# --- words ------------------------------------------------------------------------------------------------------------


@given(st.text(max_size=40), st.tuples(*[st.integers(0, 60)] * 4))
@settings(max_examples=200, deadline=None)
def test_excerpts_are_printable_and_bounded(source: str, place: tuple[int, int, int, int]) -> None:
    source = source.encode("utf-8", "replace").decode()
    _, _, excerpt = located(source, SourceSpan(*place))
    assert len(excerpt) <= 80 and excerpt.isprintable()


def test_escape_sequences_become_visible() -> None:
    assert printable("\x1b[31m\u202e\n") == "\\x1b[31m\\u202e "


def test_excerpt_comes_only_from_the_place_that_the_child_names() -> None:
    assert located("a\nbc", SourceSpan(2, 1, 2, 2)) == (2, 2, "c")
    assert located("a\nbc", SourceSpan(9, 0, 9, 5)) == (None, None, "")
    assert located("αβγ", SourceSpan(1, 2, 1, 4)) == (1, 2, "β")


def test_remedies_suggest_similar_names() -> None:
    (f,) = vet(candidate("return torch.softplu(x)"), numeric=False).findings
    assert "softplus" in f.remedy
    call = next(c for c in CALLS if c.path == "torch.clamp")
    told = finding(Violation("SBX206", None, (), call.number), GOOD, PREFERENCE)
    assert call.signature in told.remedy
    wrong = vet("def dpo(a, b):\n    return a\n", numeric=False).findings[0]
    assert "def dpo(policy_chosen_logps, " in wrong.remedy


# --- life -------------------------------------------------------------------------------------------------------------


def test_many_threads_may_vet() -> None:
    statuses: list[VerdictStatus] = []
    threads = [threading.Thread(target=lambda: statuses.append(vet(GOOD, numeric=False).status)) for _ in range(12)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert statuses == [VerdictStatus.PARTIAL] * 12


def test_vetter_can_be_used_again_after_it_was_closed() -> None:
    with Vetter() as vetter:
        vetter.launch()
        assert vetter.vet(GOOD, numeric=False).status is VerdictStatus.PARTIAL
    assert vetter.vet(GOOD, numeric=False).status is VerdictStatus.PARTIAL
    vetter.close()


def test_module_and_function_of_one_name() -> None:
    from sandbox.vetting.vet import vet as same

    assert same is vet and callable(vet)


def test_missing_torch_is_reported_with_a_remedy(tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules['torch'] = None\n"  # as if it were not installed
        "from sandbox import SandboxUnavailable, vet\n"
        f"print(vet({GOOD!r}, numeric=False).status.value)\n"
        "try:\n"
        f"    vet({GOOD!r})\n"
        "except SandboxUnavailable as error:\n"
        "    print(error)\n"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True)
    assert run.stdout.startswith("partial\n") and "pip install 'evopo[train]'" in run.stdout
