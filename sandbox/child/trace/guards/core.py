"""The guards for operators, comparisons, calls, attributes, subscripts and loops.

`static.restricted` compiles `a + b` to `_binary_("Add", a, b)`, and likewise for the others, so a candidate never reaches Python's
own operators on values that could grow. Every guard counts a step. Operations on constants are computed here at bounded cost;
operations on symbolic values are recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from types import FunctionType, GeneratorType
from typing import Any

from sandbox.child.allowlist import limits
from sandbox.child.allowlist.layers import Layer, LayerClass
from sandbox.child.protocol import Refusal
from sandbox.child.trace.facade import (
    Function,
    InPlace,
    NamespaceClass,
    Partial,
    PartialClass,
    Reduce,
    Sequential,
    SequentialClass,
    apply,
    attribute,
    invoke,
    layer_of,
    named,
)
from sandbox.child.trace.guards.arithmetic import arithmetic, compare_sizes, joined
from sandbox.child.trace.guards.branches import BranchPaths, Condition, compared
from sandbox.child.trace.guards.builtin_calls import BUILTIN_CALLS, Builtin
from sandbox.child.trace.guards.containers import PLAIN, Constants, Containers, key_of
from sandbox.child.trace.guards.indexing import take
from sandbox.child.trace.guards.instances import (
    ContainerMethod,
    EnumClass,
    Instance,
    LossClass,
    Member,
    Method,
    instance_of,
    items_of,
    member,
    part_of,
    plain_of,
)
from sandbox.child.trace.guards.operators import BINARY, COMPARE, IN_PLACE, UNARY
from sandbox.child.trace.guards.persistent_values import lasting
from sandbox.child.trace.guards.reports import Reports
from sandbox.child.trace.guards.statements import Statements
from sandbox.child.trace.lowering.shaping import parts_of
from sandbox.child.trace.symbols import (
    VIEWS,
    Device,
    Pair,
    Recorder,
    Reported,
    Sizes,
    Symbol,
    SymNumber,
    SymTensor,
    is_number,
)


class Guards:
    """The guards of one trace, over one recorder."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.paths = BranchPaths()
        self._steps = 0
        self._depth = 0
        self._kept: dict[int, Any] = {}
        self._containers = Containers(recorder, self.step, self.iterate, self._check_own, self.get_item, self.binary)
        self._statements = Statements(recorder, self.step)
        self._reports = Reports(recorder, self.step)

    def namespace(self) -> dict[str, Any]:
        """The guards by the names under which byte code calls them."""
        return {
            "_binary_": self.binary,
            "_unary_": self.unary,
            "_compare_": self.compare,
            "_call_": self.call,
            "_inplacevar_": self.in_place,
            "_getattr_": self.get_attribute,
            "_self_": self.get_attribute,
            "_getitem_": self.get_item,
            "_key_": key_of,
            "_import_": named,
            "_getiter_": self.iterate,
            "_iter_unpack_sequence_": self.iterate_unpacked,
            "_unpack_sequence_": self.unpack,
            **self._containers.namespace(),
            **self._statements.namespace(),
            **self._reports.namespace(),
        }

    def keep(self, values: Iterable[Any]) -> None:
        """Protect `values`: they exist before the loss is called, so the call must not change them."""
        self._kept |= lasting(values)

    def _check_own(self, value: Any) -> None:
        """Raises Refusal for a list to be changed, or an iterator to be advanced, that was created before the call of the loss."""
        if id(value) in self._kept:
            raise Refusal("SBX118")

    def step(self, count: int = 1) -> None:
        """Count steps of the candidate's execution. Raises Refusal beyond the limit."""
        self._steps += count
        if self._steps > limits.MAX_STEPS:
            raise Refusal("SBX202", (limits.MAX_STEPS,))

    # --- operators ---

    def binary(self, name: str, a: Any, b: Any) -> Any:
        self.step()
        op, function = BINARY[name]
        a, b = plain_of(a), plain_of(b)
        if isinstance(a, Reported) or isinstance(b, Reported):
            raise Refusal("SBX133")
        if isinstance(a, SymTensor) or isinstance(b, SymTensor):
            return self._tensor_binary(op, a, b)
        if isinstance(a, SymNumber) or isinstance(b, SymNumber):
            if not (is_number(a) and is_number(b)) or op in ("matmul", "logical_and", "logical_or", "logical_xor"):
                raise Refusal("SBX205")
            if op == "floordiv" and (size := self.recorder.quotient(a, b)) is not None:
                return size
            return self.recorder.add(op, (a, self._exponent(a, b) if op == "pow" else b))
        if is_number(a) and is_number(b):
            return arithmetic(name, function, a, b)
        return joined(name, a, b)

    def _exponent(self, a: Any, b: Any) -> Any:
        """The exponent of a ** b as an operand. An int to a negative power is a float, so such an exponent becomes a float."""
        if any((v.type.dtype if isinstance(v, SymNumber) else type(v).__name__) == "float" for v in (a, b)):
            return b
        if isinstance(b, SymNumber):
            return b if self.recorder.symbol_of(b) else self.recorder.add("mul", (b, 1.0))
        return float(b) if b < 0 else b

    def _tensor_binary(self, op: str, a: Any, b: Any) -> Any:
        for value in (a, b):
            if not isinstance(value, SymTensor) and not is_number(value):
                raise Refusal("SBX205")
            if op.startswith("logical_") and isinstance(value, Symbol) and value.type.dtype != "bool":
                raise Refusal("SBX205")
        if op.startswith("logical_") and not all(isinstance(v, bool | SymTensor) for v in (a, b)):
            raise Refusal("SBX205")
        return self.recorder.add(op, (a, b))

    def unary(self, name: str, a: Any) -> Any:
        self.step()
        if isinstance(a, Symbol):
            if name == "UAdd":
                return a
            if name == "USub":
                return self.recorder.add("neg", (a,))
            if isinstance(a, SymTensor) and a.type.dtype == "bool":
                return self.recorder.add("logical_not", (a,))
            raise Refusal("SBX205")
        if not is_number(a):
            raise Refusal("SBX205")
        return UNARY[name](a)

    def compare(self, names: str, a: Any, b: Any, *later: Callable[[], Any]) -> Any:
        """a < b, or a chain a < b < c; each later operand is computed only if the comparisons before it hold."""
        self.step()
        first, *others = names.split()
        outcome = self._compare(first, a, b)
        for name, operand in zip(others, later, strict=True):
            if not outcome:
                return outcome
            a, b = b, operand()
            outcome = self._compare(name, a, b)
        return outcome

    def _compare(self, name: str, a: Any, b: Any) -> Any:
        if name in ("Is", "IsNot"):
            if not any(v is None or isinstance(v, bool) for v in (a, b)) and not (
                isinstance(a, Member) and isinstance(b, Member)
            ):
                raise Refusal("SBX205")
            a, b = (bool(v) if isinstance(v, Condition) and isinstance(w, bool) else v for v, w in ((a, b), (b, a)))
            return (a is b) == (name == "Is")
        if isinstance(a, Reported) or isinstance(b, Reported):
            raise Refusal("SBX133")
        if isinstance(b, EnumClass) and name in ("In", "NotIn"):
            found = any(a is m for m in b.members.values())
            if not isinstance(a, Member) or (a.kind and not found):  # versions of Python differ
                raise Refusal("SBX205")
            return found == (name == "In")
        a, b = plain_of(a), plain_of(b)
        if name in ("In", "NotIn"):
            b = b.items if isinstance(b, Constants) else b
            b = [plain_of(v) for v in b] if isinstance(b, list | tuple) else b
            if not isinstance(b, (list, tuple, dict, range, *VIEWS)) or not all(isinstance(v, PLAIN) for v in (a, *b)):
                raise Refusal("SBX205")
            self.step(len(b))
            return (a in b) == (name == "In")
        op, function = COMPARE[name]
        if isinstance(a, SymTensor) or isinstance(b, SymTensor):
            return self._tensor_binary(op, a, b)
        if isinstance(a, SymNumber) or isinstance(b, SymNumber):
            if not is_number(a) or not is_number(b):
                raise Refusal("SBX201")
            if op in ("eq", "ne") and isinstance(a, SymNumber) and isinstance(b, SymNumber) and a.index == b.index:
                return op == "eq"
            return compared(self.recorder, self.paths, op, a, b)
        if isinstance(a, Sizes) or isinstance(b, Sizes):
            return compare_sizes(op, a, b)
        if op in ("eq", "ne") and isinstance(a, Device) and isinstance(b, Device):
            return op == "eq"
        if op in ("eq", "ne") and all(isinstance(v, PLAIN) for v in (a, b)):
            return function(a, b)
        if is_number(a) and is_number(b):
            return function(a, b)
        raise Refusal("SBX205")

    def in_place(self, name: str, a: Any, b: Any) -> Any:
        """a += b. A tensor is changed in place, as in torch; refused if another name may refer to its memory."""
        if isinstance(a, SymTensor):
            self._containers.replace(a, self.binary(IN_PLACE[name], a, b))
            return a
        if isinstance(a, list) and name == "+=":
            self._containers.grow(a, b)
            return a
        if isinstance(a, list) and name == "*=":
            self._check_own(a)
            a[:] = self.binary("Mult", a, b)
            return a
        if isinstance(a, dict):
            if name != "|=" or type(b) is not dict:
                raise Refusal("SBX205")
            self._containers.update(a, b)
            return a
        return self.binary(IN_PLACE[name], a, b)

    # --- calls ---

    def call(self, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        self.step()
        if isinstance(function, Function):
            return self._guarded(invoke, self.recorder, function, args, kwargs)
        if isinstance(function, Builtin):
            return self._guarded(BUILTIN_CALLS[function.name], self, *args, **kwargs)
        if isinstance(function, ContainerMethod):
            return self._guarded(function.function, function.owner, *args, **kwargs)
        if isinstance(function, LayerClass):
            return layer_of(function, args, kwargs)
        if isinstance(function, Layer):
            return self._guarded(apply, self.recorder, function, args, kwargs)
        if isinstance(function, LossClass):
            if self.recorder.tries:  # a class may be abstract
                raise Refusal("SBX115")
            return instance_of(function, args, kwargs, self.call)
        if isinstance(function, SequentialClass):
            if kwargs or not all(isinstance(layer, Layer | Sequential) for layer in args):
                raise Refusal("SBX206")
            return Sequential(args)
        if isinstance(function, Sequential):
            return self._guarded(self._one_after_the_other, function, *args, **kwargs)
        if isinstance(function, EnumClass):
            return self._guarded(function.of, *args, **kwargs)
        if isinstance(function, NamespaceClass):
            return self._guarded(self._statements.make_namespace, *args, **kwargs)
        if isinstance(function, Instance):
            return self.call(function.entry, function, *args, **kwargs)
        if isinstance(function, Partial):
            return self.call(function.function, *function.args, *args, **{**function.kwargs, **kwargs})
        if isinstance(function, PartialClass):
            if not args or self.recorder.tries:
                raise Refusal("SBX206")
            return Partial(args[0], args[1:], kwargs)
        if isinstance(function, Method):
            return self.call(function.function, function.owner, *args, **kwargs)
        if isinstance(function, InPlace):
            if kwargs and not function.function.call.path.startswith("Tensor."):
                raise Refusal("SBX206")
            self._containers.replace(function.changed, self.call(function.function, *args, **kwargs))
            return function.changed
        if isinstance(function, Reduce):
            return self._guarded(self._reduce, *args, **kwargs)
        if type(function) is not FunctionType:
            raise Refusal("SBX230")
        if self._depth >= limits.MAX_CALL_DEPTH:
            raise Refusal("SBX203", (limits.MAX_CALL_DEPTH,))
        self._depth += 1
        try:
            return function(*args, **kwargs)
        finally:
            self._depth -= 1

    def _reduce(self, function: Any, items: Any, /, *initial: Any) -> Any:
        """functools.reduce: ((a + b) + c) + d, for any function of two values."""
        values = [*initial, *self.iterate(items)]
        if not values or len(initial) > 1:
            raise Refusal("SBX206")
        total = values[0]
        for value in values[1:]:
            total = self.call(function, total, value)
        return total

    def _one_after_the_other(self, layers: Sequential, input: Any) -> Any:
        for layer in layers.layers:
            input = self.call(layer, input)
        return input

    @staticmethod
    def _guarded(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call a function of the sandbox; Python errors in it are caused by the candidate's arguments and become Refusal."""
        try:
            return function(*args, **kwargs)
        except (ZeroDivisionError, OverflowError, ValueError):
            raise Refusal("SBX228") from None
        except TypeError:
            raise Refusal("SBX206") from None

    # --- attributes, subscripts, loops ---

    def get_attribute(self, value: Any, name: str) -> Any:
        self.step()
        if isinstance(value, Member | EnumClass):
            return part_of(value, name)
        if isinstance(value, Instance | LossClass):
            return member(value, name, self.call)
        method = self._containers.method(value, name)
        if method is not None:
            return method
        return attribute(self.recorder, value, name)

    def get_item(self, value: Any, key: Any) -> Any:
        self.step()
        if isinstance(value, SymTensor):
            return take(self.recorder, value, key)
        if isinstance(value, Pair):
            value = (value.values, value.indices)
        if isinstance(value, Sizes):
            value = value.items
        if isinstance(value, EnumClass) and isinstance(key, str):
            return part_of(value, key)
        if isinstance(value, Instance) and (items := items_of(value)) is not None:
            value = items
        key = plain_of(key)
        if isinstance(value, dict) and isinstance(key, str | int | float | Member | None):
            if key in value:
                return value[key]
        elif isinstance(value, list | tuple | range):
            if isinstance(key, SymNumber):
                raise Refusal("SBX207")
            if type(key) is int and -len(value) <= key < len(value):
                return value[key]
            if isinstance(key, slice) and all(v is None or type(v) is int for v in (key.start, key.stop, key.step)):
                self.step(len(value))
                return value[key]
        raise Refusal("SBX226")

    def iterate(self, value: Any) -> Iterator[Any]:
        """The items that a loop over `value` visits; each counts a step."""
        if isinstance(value, SymNumber):
            raise Refusal("SBX234")
        if isinstance(value, SymTensor):
            value = parts_of(self.recorder, value)
        if isinstance(value, Pair):
            value = (value.values, value.indices)
        if isinstance(value, Sizes):
            value = value.items
        if isinstance(value, Instance | EnumClass):
            value = items_of(value)
        if not isinstance(value, (list, tuple, range, dict, GeneratorType, *VIEWS)):
            raise Refusal("SBX205")
        if isinstance(value, GeneratorType):
            self._check_own(value)
        return self._count(value)

    def _count(self, items: Any) -> Iterator[Any]:
        try:
            for item in items:
                self.step()
                yield item
        except RecursionError:
            raise
        except RuntimeError:  # a dict that changed while it was iterated over
            raise Refusal("SBX228") from None

    def iterate_unpacked(self, value: Any, spec: Mapping[str, Any], _: Any) -> Iterator[Any]:
        for item in self.iterate(value):
            yield self.unpack(item, spec, None)

    def unpack(self, value: Any, spec: Mapping[str, Any], _: Any) -> list[Any]:
        """The items for `a, (b, c) = value`. Raises Refusal if the number of items differs."""
        items = list(self.iterate(value))
        if len(items) != spec["min_len"]:
            raise Refusal("SBX239", (spec["min_len"], len(items)))
        for index, child in spec["childs"]:
            items[index] = self.unpack(items[index], child, None)
        return items
