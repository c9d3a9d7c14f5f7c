"""A candidate's own class while it is traced: a table of functions and a table of values, not a Python class."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any

from sandbox.child.protocol import Refusal
from sandbox.child.static.classes import ENTRIES, INIT


@dataclass(frozen=True, slots=True)
class LossClass:
    """A class: its methods by name."""

    methods: Mapping[str, FunctionType]


@dataclass(slots=True, eq=False)
class Instance:
    """An object of a class. Its values are set while `__init__` runs and are constant afterwards."""

    made: LossClass
    values: dict[str, Any] = field(default_factory=dict)
    finished: bool = False

    @property
    def entry(self) -> FunctionType:
        """The method that a call of the object runs. Raises Refusal."""
        for name in ENTRIES:
            if name in self.made.methods:
                return self.made.methods[name]
        raise Refusal("SBX230")


@dataclass(frozen=True, slots=True, eq=False)
class Method:
    """A method with its `self`, to be called."""

    function: FunctionType
    owner: Instance


class ContainerMethod:
    """A method of a list or dict, to be called. `owner` is the list or dict."""

    __slots__ = ("function", "owner")

    def __init__(self, function: Callable[..., Any], owner: Any) -> None:
        self.function = function
        self.owner = owner


def instance_of(made: LossClass, args: Sequence[Any], kwargs: Mapping[str, Any], call: Callable[..., Any]) -> Instance:
    """An object of a class, after `call` has run its `__init__`. Raises Refusal."""
    instance = Instance(made)
    if INIT in made.methods:
        call(made.methods[INIT], instance, *args, **kwargs)
    elif args or kwargs:
        raise Refusal("SBX206")
    instance.finished = True
    return instance
