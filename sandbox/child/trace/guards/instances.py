"""A candidate's own class while it is traced: a table of functions and a table of values, not a Python class."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import FunctionType, MappingProxyType
from typing import Any

from sandbox.child.protocol import Refusal
from sandbox.child.static.class_forms import KINDS
from sandbox.child.static.classes import ENTRIES, INIT


@dataclass(frozen=True, slots=True)
class LossClass:
    """A class: its methods and its constants by name; `kinds` has the signs of decorated methods (`class_forms.KINDS`)."""

    methods: Mapping[str, FunctionType]
    kinds: Mapping[str, str]
    constants: Mapping[str, Any]


@dataclass(slots=True, eq=False)
class Instance:
    """An object of a class. Its values are set while `__init__` runs and are constant afterwards."""

    made: LossClass
    values: dict[str, Any] = field(default_factory=dict)
    finished: bool = False

    @property
    def entry(self) -> FunctionType:
        """The method that a call of the object runs. Raises Refusal."""
        for name in reversed(ENTRIES):  # nn.Module's own __call__ runs forward
            if name in self.made.methods:
                return self.made.methods[name]
        raise Refusal("SBX230")


@dataclass(frozen=True, slots=True, eq=False)
class Method:
    """A method with its `self`, to be called."""

    function: FunctionType
    owner: Instance | LossClass


class ContainerMethod:
    """A method of a list or dict, to be called. `owner` is the list or dict."""

    __slots__ = ("function", "owner")

    def __init__(self, function: Callable[..., Any], owner: Any) -> None:
        self.function = function
        self.owner = owner


def class_of(parts: Sequence[Any], lasting: Callable[[Any], Any]) -> LossClass:
    """A class from `parts`: names with a sign, each followed by its function or constant."""
    signs = {name[1:]: name[0] for name in parts[::2]}
    values = {name[1:]: value for name, value in zip(parts[::2], parts[1::2], strict=True)}
    constants = {name: lasting(value) for name, value in values.items() if signs[name] == "="}
    methods = {name: value for name, value in values.items() if signs[name] != "="}
    return LossClass(MappingProxyType(methods), MappingProxyType(signs), MappingProxyType(constants))


def member(owner: Instance | LossClass, name: str, call: Callable[..., Any]) -> Any:
    """owner.name: a value, a constant, or a method; `call` calls what is a property. Raises Refusal."""
    made = owner if isinstance(owner, LossClass) else owner.made
    if isinstance(owner, Instance) and name in owner.values:
        return owner.values[name]
    if name in made.constants:
        value = made.constants[name]
        bound = isinstance(owner, Instance) and isinstance(value, FunctionType)
        return Method(value, owner) if bound else value
    if name not in made.methods:
        raise Refusal("SBX227")
    function, kind = made.methods[name], made.kinds[name]
    if kind == KINDS["classmethod"]:
        return Method(function, made)
    if isinstance(owner, LossClass) and kind != KINDS["staticmethod"]:
        return function
    return call(function, owner) if kind == KINDS["property"] else Method(function, owner)


def instance_of(made: LossClass, args: Sequence[Any], kwargs: Mapping[str, Any], call: Callable[..., Any]) -> Instance:
    """An object of a class, after `call` has run its `__init__`. Raises Refusal."""
    instance = Instance(made)
    if INIT in made.methods:
        call(made.methods[INIT], instance, *args, **kwargs)
    elif args or kwargs:
        raise Refusal("SBX206")
    instance.finished = True
    return instance
