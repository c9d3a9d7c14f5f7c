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
    fields: tuple[str, ...] = ()
    """The fields of a named tuple, in order."""


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """A member of an enum. `kind` is the type whose comparisons it has too: str, int, or "" for neither."""

    name: str
    value: Any
    kind: str

    def __bool__(self) -> bool:
        return bool(self.value) if self.kind else True

    def __eq__(self, other: object) -> bool:
        plain = other.plain if isinstance(other, Member) else other
        return self is other or bool(self.kind and not isinstance(plain, Member) and self.value == plain)

    def __hash__(self) -> int:
        return hash(self.value) if self.kind else object.__hash__(self)

    @property
    def plain(self) -> Any:
        """What the member is equal to: its value, or itself."""
        return self.value if self.kind else self


@dataclass(frozen=True, slots=True, eq=False)
class EnumClass:
    """An enum: its members by name."""

    members: Mapping[str, Member]

    def of(self, value: Any) -> Member:
        """The member with this value, as `Mode("sigmoid")`. Raises Refusal."""
        for member in self.members.values():
            if member is value or (type(value) in (str, int, float) and member.value == value):
                return member
        raise Refusal("SBX228")


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
    methods = {name: value for name, value in values.items() if signs[name] not in "=#"}
    return LossClass(
        MappingProxyType(methods), MappingProxyType(signs), MappingProxyType(constants), values.get("", ())
    )


def enum_of(kind: str, parts: Sequence[Any]) -> EnumClass:
    """An enum from `parts`: names, each followed by its value."""
    pairs = zip(parts[::2], parts[1::2], strict=True)
    return EnumClass(MappingProxyType({name: Member(name, value, kind) for name, value in pairs}))


def items_of(value: Any) -> tuple[Any, ...] | None:
    """The values of a named tuple, or the members of an enum; None for any other value."""
    if isinstance(value, Instance) and value.made.fields and value.finished:
        return tuple(value.values[name] for name in value.made.fields)
    return tuple(value.members.values()) if isinstance(value, EnumClass) else None


def part_of(value: Member | EnumClass, name: str) -> Any:
    """Mode.NAME, Mode.NAME.value or Mode.NAME.name. Raises Refusal."""
    if isinstance(value, Member) and name in ("name", "value"):
        return value.value if name == "value" else value.name
    if isinstance(value, EnumClass) and name in value.members:
        return value.members[name]
    raise Refusal("SBX229")


def plain_of(value: Any) -> Any:
    """The value of an enum's member that behaves as a str or int; any other value itself."""
    return value.plain if isinstance(value, Member) else value


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
