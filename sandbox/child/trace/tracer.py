"""Tracing: run a checked candidate once on symbolic values, and give what it did as a graph. In the jailed child, without torch.

Python loops, helpers, lambdas and comprehensions over constants unroll here; beta and sizes stay symbolic; a branch on beta is
traced both ways, one on anything else that is symbolic is refused. What comes out is an `Answer`: a graph as JSON, with notes,
or rule codes with places.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sandbox.child.allowlist.limits import BUILTINS, MAX_CALL_DEPTH, PRELUDE
from sandbox.child.places import place_of
from sandbox.child.protocol import MAX_COMPLAINTS, Answer, Complaint, Refusal
from sandbox.child.static.check import Checked, check
from sandbox.child.trace.facade import SelfFacade, named
from sandbox.child.trace.guards.builtin_calls import Builtin
from sandbox.child.trace.guards.guards import Guards
from sandbox.child.trace.guards.instances import Method
from sandbox.child.trace.outcome import loss_of
from sandbox.child.trace.symbols import Broken, Recorder, SymTensor
from sandbox.contracts.contract import Contract
from sandbox.graph.loss_graph import LossGraph, prune


def trace(source: str, contract: Contract, arguments: Sequence[str] = ()) -> Answer:
    """The graph of a candidate, or why there is none. Never raises on account of the candidate.

    `arguments` are the names of the contract's arguments in the source, where the caller says so.
    """
    checked = check(source, contract, arguments)
    if isinstance(checked, list):
        return Answer(tuple(checked))
    recorder = Recorder(contract)
    at = checked.entry.spot
    try:
        result = _traced(checked, contract, recorder)
        notes = (*checked.notes, *recorder.notes)
        return Answer(graph=_json(recorder, result.index), at=at, entry=at, notes=_first_of_each(notes))
    except Refusal as refusal:
        complaint = refusal.complaint
        spot = complaint.spot or place_of(refusal.__traceback__) or at
        told = Complaint(complaint.code, spot, complaint.numbers, complaint.call, complaint.text)
        return Answer((told,), entry=at)
    except Broken as broken:
        spot = place_of(broken.__traceback__) or at
        return Answer(graph=_json(recorder, len(recorder.nodes) - 1), at=spot, entry=at)
    except (Exception, RecursionError, MemoryError) as error:
        spot = place_of(error.__traceback__) or at
        numbers = (MAX_CALL_DEPTH,) if isinstance(error, RecursionError) else ()
        return Answer((Complaint(_code_of(error), spot, numbers),), entry=at)


def _first_of_each(notes: Sequence[Complaint]) -> tuple[Complaint, ...]:
    first: dict[str, Complaint] = {}
    for note in notes:
        first.setdefault(note.code, note)
    return tuple(first.values())[:MAX_COMPLAINTS]


def _traced(checked: Checked, contract: Contract, recorder: Recorder) -> SymTensor:
    """The loss over all ways through its branches on beta."""
    guards = Guards(recorder)

    def once() -> SymTensor:
        return loss_of(recorder, _run(checked, contract, guards), checked.entry.spot)

    result = guards.ways.explore(recorder, once)
    if guards.ways.joined:
        recorder.note("SBX259", guards.ways.joined)
    return result


def _run(checked: Checked, contract: Contract, guards: Guards) -> Any:
    """What the loss gives for the contract's arguments; the module is run anew, so that nothing is left of another run."""
    scope: dict[str, Any] = {
        "__builtins__": {},
        **{name: Builtin(name) for name in BUILTINS},
        **{name: named(path) for name, path in PRELUDE.items()},
        **guards.namespace(),
    }
    exec(checked.code, scope)  # byte code of RestrictedPython: every operation in it is a call of a guard
    guards.keep(scope.values())
    entry = checked.entry
    arguments = {a.name: guards.recorder.input(a.name) for a in contract.arguments}
    given = {name: arguments[wanted] for name, wanted in entry.given.items()}
    function = scope[entry.name]
    if entry.owner:
        instance = guards.call(scope[entry.owner], **{name: arguments[name] for name in entry.settings})
        guards.keep([instance])
        return guards.call(Method(function, instance), **given)
    if not entry.is_method:
        return guards.call(function, **given)
    numbers = {a.name: arguments[a.name] for a in contract.scalars}
    return guards.call(function, SelfFacade({**contract.constants, **numbers}), **given)


def _json(recorder: Recorder, output: int) -> str:
    return prune(LossGraph(recorder.contract.name, tuple(recorder.nodes), output)).to_json()


def _code_of(error: BaseException) -> str:
    match error:
        case NameError():
            return "SBX227"
        case RecursionError():
            return "SBX203"
        case MemoryError():
            return "SBX241"
        case AssertionError():
            return "SBX233"
        case ZeroDivisionError() | OverflowError() | ValueError():
            return "SBX228"
        case TypeError():
            return "SBX206"
    return "SBX246"
