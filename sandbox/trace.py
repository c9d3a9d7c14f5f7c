"""Tracing: run a checked candidate once on symbolic values, and give what it did as a graph. In the jailed child, without torch.

Python loops, helpers, lambdas and comprehensions over constants unroll here; beta and sizes stay symbolic; a branch on anything
symbolic is refused. What comes out is an `Answer`: a graph as JSON, or rule codes with places.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any

from sandbox.builtin_calls import Builtin
from sandbox.contract import Contract
from sandbox.facade import SelfFacade, named
from sandbox.graph import LossGraph, prune
from sandbox.guards import Guards
from sandbox.policy import BUILTINS, MAX_CALL_DEPTH
from sandbox.refusal import Answer, Complaint, Refusal, Spot
from sandbox.restricted import FILENAME
from sandbox.static import Checked, check
from sandbox.symbolic import Broken, Recorder, SymTensor


def trace(source: str, contract: Contract) -> Answer:
    """The graph of a candidate, or why there is none. Never raises on account of the candidate."""
    checked = check(source, contract)
    if isinstance(checked, list):
        return Answer(tuple(checked))
    recorder = Recorder(contract)
    try:
        result = _run(checked, contract, recorder)
        if not isinstance(result, SymTensor):
            return Answer((Complaint("SBX209", checked.entry_spot),), entry=checked.entry_spot)
        return Answer(graph=_json(recorder, result.index), at=checked.entry_spot, entry=checked.entry_spot)
    except Refusal as refusal:
        complaint = refusal.complaint
        spot = complaint.spot or _place(refusal.__traceback__) or checked.entry_spot
        return Answer((Complaint(complaint.code, spot, complaint.numbers, complaint.call),), entry=checked.entry_spot)
    except Broken as broken:
        at = _place(broken.__traceback__) or checked.entry_spot
        return Answer(graph=_json(recorder, len(recorder.nodes) - 1), at=at, entry=checked.entry_spot)
    except (Exception, RecursionError, MemoryError) as error:
        spot = _place(error.__traceback__) or checked.entry_spot
        numbers = (MAX_CALL_DEPTH,) if isinstance(error, RecursionError) else ()
        return Answer((Complaint(_code_of(error), spot, numbers),), entry=checked.entry_spot)


def _run(checked: Checked, contract: Contract, recorder: Recorder) -> Any:
    guards = Guards(recorder)
    scope: dict[str, Any] = {
        "__builtins__": {},
        **{name: Builtin(name) for name in BUILTINS},
        **{name: named(path) for name, path in checked.names.items()},
        **guards.namespace(),
    }
    exec(checked.code, scope)  # byte code of RestrictedPython: every operation in it is a call of a guard
    arguments = {a.name: recorder.input(a.name) for a in contract.arguments}
    function = scope[checked.entry]
    taken = function.__code__.co_varnames[: function.__code__.co_argcount + function.__code__.co_kwonlyargcount]
    given = {name: value for name, value in arguments.items() if name in taken}
    if not checked.is_method:
        return guards.call(function, **given)
    numbers = {a.name: arguments[a.name] for a in contract.scalars}
    return guards.call(function, SelfFacade({**contract.constants, **numbers}), **given)


def _json(recorder: Recorder, output: int) -> str:
    return prune(LossGraph(recorder.contract.name, tuple(recorder.nodes), output)).to_json()


def _place(traceback: TracebackType | None) -> Spot | None:
    """Where in the candidate's source the innermost of its frames was."""
    spot = None
    while traceback is not None:
        code = traceback.tb_frame.f_code
        if code.co_filename == FILENAME:
            positions = list(code.co_positions())[traceback.tb_lasti // 2]
            line, end_line, column, end_column = positions
            line = line or traceback.tb_lineno
            spot = Spot(line, column or 0, end_line or line, end_column or column or 0)
        traceback = traceback.tb_next
    return spot


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
