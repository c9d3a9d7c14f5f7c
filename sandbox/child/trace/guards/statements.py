"""The guards for statements, which the static layer inserts in place of raise, assert, with, try, while and class."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import GeneratorType, MappingProxyType
from typing import Any

from sandbox.child.protocol import Refusal
from sandbox.child.trace.guards.branches import Condition
from sandbox.child.trace.guards.instances import EnumClass, Instance, LossClass, class_of, enum_of
from sandbox.child.trace.symbols import VIEWS, Recorder, Reported, Symbol, SymTensor

_MISSING = object()
"""An argument that was not given. No source can name it."""

_WHERE_FINITE: Mapping[str, bool] = MappingProxyType({"isnan": False, "isinf": False, "isfinite": True})
_OF_TRUTH_VALUES = frozenset({"any", "all", "logical_not", "logical_or", "logical_and"})


def _combined(op: str, parts: list[bool | None]) -> bool | None:
    """The outcome of an operation on truth values; None if one of them is not known."""
    match op, parts:
        case _, [] | [None, *_] | [_, None]:
            return None
        case "logical_not", [part]:
            return not part
        case "logical_or", _:
            return any(parts)
        case "logical_and", _:
            return all(parts)
    return parts[0]


class Statements:
    """The guards for statements of one trace; `step` counts steps."""

    def __init__(self, recorder: Recorder, step: Callable[..., None]) -> None:
        self._recorder = recorder
        self._step = step
        self._modes: list[bool] = []

    def namespace(self) -> Mapping[str, Callable[..., Any]]:
        """The guards by the names under which byte code calls them."""
        return {
            "_raise_": self.unreachable,
            "_assert_": self.assertion,
            "_grad_": self.enter_grad_mode,
            "_back_": self.leave_grad_mode,
            "_class_": self.make_class,
            "_while_": self.repeats,
            "_assumed_": self.assumed,
            "_try_": self.enter_try,
            "_tried_": self.leave_try,
            "_enum_": self.make_enum,
            "_missing_": self.missing,
            "_set_": self.set_own,
        }

    def unreachable(self) -> None:
        """Refuse a loss whose trace reaches a `raise`."""
        raise Refusal("SBX115")

    def assertion(self, wanted: bool, value: Any) -> None:
        """assert value, or assert not value. A condition that is known only in training is dropped with a note."""
        self._step()
        if isinstance(value, SymTensor | Condition):
            self._note_unchecked()
        elif bool(value) is not wanted:
            raise Refusal("SBX233")

    def repeats(self, value: Any) -> Any:
        """The condition of a while loop. Raises Refusal if it is not known while tracing."""
        self._step()
        if isinstance(value, Symbol | Condition | Reported):
            raise Refusal("SBX114")
        return value

    def assumed(self, value: Any, outcome: bool) -> Any:
        """A condition under which a loss raises: if it asks tensors for NaN or infinity, it counts as not met, as an assertion
        counts as met."""
        self._step()
        if isinstance(value, SymTensor) and not value.dims and self._if_finite(value.index) is outcome:
            self._note_unchecked()
            return outcome
        return value

    def _if_finite(self, index: int) -> bool | None:
        """A truth value that is made of isnan, isinf and isfinite alone, where all numbers are finite; None for any other."""
        recorder, known, waiting = self._recorder, dict[int, bool | None](), [index]
        while waiting:
            at = waiting[-1]
            node = recorder.nodes[at]
            if node.op in _WHERE_FINITE:
                known[at] = _WHERE_FINITE[node.op]
            elif missing := [a for a in node.args if a not in known] if node.op in _OF_TRUTH_VALUES else []:
                waiting += missing
                continue
            else:
                known[at] = _combined(node.op, [known[a] for a in node.args] if node.op in _OF_TRUTH_VALUES else [])
            waiting.pop()
        return known[index]

    def _note_unchecked(self) -> None:
        if self._recorder.tries:  # an exception would be caught, and another value computed
            raise Refusal("SBX115")
        self._recorder.note("SBX258")

    def enter_try(self) -> None:
        """Enter the body of a `try`: what is computed there must be certain to raise nothing."""
        self._step()
        self._recorder.tries += 1

    def leave_try(self) -> None:
        """Leave the body of a `try`, also on an exception."""
        self._recorder.tries -= 1

    def enter_grad_mode(self, keeps: bool) -> None:
        """Enter `with torch.no_grad():` or `with torch.enable_grad():`."""
        self._step()
        self._modes.append(self._recorder.keeps_gradients)
        self._recorder.keeps_gradients = keeps

    def leave_grad_mode(self) -> None:
        """Leave the block, also on an exception."""
        self._recorder.keeps_gradients = self._modes.pop()

    def make_class(self, *parts: Any) -> LossClass:
        """A class from `parts`: names with a sign, each followed by its function or constant."""
        self._step(len(parts))
        return class_of(parts, self._lasting)

    def missing(self, *given: Any) -> Any:
        """The default of a field with a `default_factory`; or whether a value is this default."""
        return given[0] is _MISSING if given else _MISSING

    def make_enum(self, kind: str, *parts: Any) -> EnumClass:
        """An enum from `parts`: names, each followed by its value."""
        self._step(len(parts))
        return enum_of(kind, parts)

    def make_namespace(self, **values: Any) -> Instance:
        """SimpleNamespace(name=value): an object whose values are constant."""
        self._step(len(values))
        kept = {name: self._lasting(value) for name, value in values.items()}
        return Instance(LossClass({}, {}, {}), kept, finished=True)

    def set_own(self, me: Any, name: str, value: Any) -> None:
        """self.name = value, while `__init__` runs."""
        self._step()
        if not isinstance(me, Instance) or me.finished or name in me.made.methods:
            raise Refusal("SBX134")
        me.values[name] = self._lasting(value)

    def _lasting(self, value: Any) -> Any:
        if isinstance(value, SymTensor):
            value.shared = True
        if isinstance(value, (GeneratorType, *VIEWS)):
            raise Refusal("SBX134")
        if not isinstance(value, list | tuple | dict):
            return value
        self._step(len(value))
        items = value.values() if isinstance(value, dict) else value
        for item in items:
            if isinstance(item, SymTensor):
                raise Refusal("SBX134")
            self._lasting(item)
        return value
