"""Tracing: runs a checked candidate on symbolic values and returns its operations as a graph. In the jailed child, without torch.

Python loops, helpers, lambdas and comprehensions over constants are unrolled; beta and sizes stay symbolic. A branch on beta is
traced with both outcomes; a branch on any other symbolic value is refused. The result is an `Answer`: a graph as JSON, with notes,
or rule codes with source locations.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sandbox.child.allowlist.limits import BUILTINS, MAX_CALL_DEPTH, PRELUDE
from sandbox.child.places import place_of
from sandbox.child.protocol import MAX_VIOLATIONS, Answer, Refusal, Violation
from sandbox.child.static.check import Checked, check
from sandbox.child.trace.facade import SelfFacade, named
from sandbox.child.trace.guards.builtin_calls import Builtin
from sandbox.child.trace.guards.guards import Guards
from sandbox.child.trace.guards.instances import Method
from sandbox.child.trace.outcome import loss_of
from sandbox.child.trace.symbols import OperandMismatch, Recorder, SymTensor
from sandbox.contracts.contract import Contract
from sandbox.graph.loss_graph import LossGraph, prune


def trace(source: str, contract: Contract, arguments: Sequence[str] = ()) -> Answer:
    """The graph of a candidate, or the violations for which it is refused. No candidate makes it raise.

    `arguments` are the source's names for the contract's arguments, if the caller supplies them.
    """
    checked = check(source, contract, arguments)
    if isinstance(checked, list):
        return Answer(tuple(checked))
    recorder = Recorder(contract)
    at = checked.entry.span
    try:
        result = _traced(checked, contract, recorder)
        notes = (*checked.notes, *recorder.notes)
        return Answer(graph=_json(recorder, result.index), at=at, entry=at, notes=_first_of_each(notes))
    except Refusal as refusal:
        violation = refusal.violation
        span = violation.span or place_of(refusal.__traceback__) or at
        located = Violation(violation.code, span, violation.numbers, violation.call, violation.text)
        return Answer((located,), entry=at)
    except OperandMismatch as mismatch:
        span = place_of(mismatch.__traceback__) or at
        return Answer(graph=_json(recorder, len(recorder.nodes) - 1), at=span, entry=at)
    except (Exception, RecursionError, MemoryError) as error:
        span = place_of(error.__traceback__) or at
        numbers = (MAX_CALL_DEPTH,) if isinstance(error, RecursionError) else ()
        return Answer((Violation(_code_of(error), span, numbers),), entry=at)


def _first_of_each(notes: Sequence[Violation]) -> tuple[Violation, ...]:
    first: dict[str, Violation] = {}
    for note in notes:
        first.setdefault(note.code, note)
    return tuple(first.values())[:MAX_VIOLATIONS]


def _traced(checked: Checked, contract: Contract, recorder: Recorder) -> SymTensor:
    """The loss, joined over all paths through its branches on beta."""
    guards = Guards(recorder)

    def once() -> SymTensor:
        return loss_of(recorder, _run(checked, contract, guards), checked.entry.span)

    result = guards.paths.explore(recorder, once)
    if guards.paths.joined:
        recorder.note("SBX259", guards.paths.joined)
    return result


def _run(checked: Checked, contract: Contract, guards: Guards) -> Any:
    """The return value of the loss for the contract's arguments. The module is executed again, so that no run affects another."""
    scope: dict[str, Any] = {
        "__builtins__": {},
        **{name: Builtin(name) for name in BUILTINS},
        **{name: named(path) for name, path in PRELUDE.items()},
        **guards.namespace(),
    }
    exec(checked.code, scope)  # byte code from RestrictedPython: every operation in it is a guard call
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
