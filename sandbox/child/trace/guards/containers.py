"""The guards for lists, dicts and texts of a candidate: their methods, assignment to their items, `**value` and f-strings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sandbox.child.allowlist import limits
from sandbox.child.protocol import Refusal
from sandbox.child.trace.guards.indexing import changed, put
from sandbox.child.trace.guards.instances import ContainerMethod, Member
from sandbox.child.trace.symbols import DType, Recorder, Reported, SymTensor

PLAIN = (bool, int, float, str, type(None), DType, Member)
"""Types of the values that may be keys, and that are compared with == and in."""


@dataclass(frozen=True, slots=True)
class Constants:
    """A set of constants. It has no order, so it can only be asked for what it contains."""

    items: tuple[Any, ...]


class Containers:
    """The guards of one trace for lists, dicts and texts.

    `step` counts steps, `iterate` gives the items of a value, `check_own` refuses a list or dict that exists before the loss is
    called. `get` and `binary` are the guards of items and of operators.
    """

    def __init__(
        self,
        recorder: Recorder,
        step: Callable[..., None],
        iterate: Callable[[Any], Iterator[Any]],
        check_own: Callable[[Any], None],
        get: Callable[[Any, Any], Any],
        binary: Callable[[str, Any, Any], Any],
    ) -> None:
        self._recorder = recorder
        self._step = step
        self._iterate = iterate
        self._check_own = check_own
        self._get = get
        self._binary = binary

    def namespace(self) -> Mapping[str, Callable[..., Any]]:
        """The guards by the names under which byte code calls them."""
        return {
            "_setitem_": self.set_item,
            "_changeitem_": self.change_item,
            "_constants_": self.constants,
            "_mapping_": self.mapping,
            "_text_": self.text,
        }

    def method(self, value: Any, name: str) -> ContainerMethod | None:
        """value.name, for a list or dict that has this method; None for any other value."""
        if type(value) is list and name in ("append", "extend"):
            return ContainerMethod(self._append if name == "append" else self.grow, value)
        if type(value) is dict and name in ("update", "pop"):
            return ContainerMethod(self.update if name == "update" else self._pop, value)
        if type(value) is dict and name in _DICT:
            return ContainerMethod(_DICT[name], value)
        return None

    def _append(self, items: list[Any], item: Any, /) -> None:
        self.grow(items, [item])

    def grow(self, items: list[Any], more: Any, /) -> None:
        """items += more. Raises Refusal."""
        self._check_own(items)
        for item in self._iterate(list(more) if more is items else more):  # one by one: an iterator may read the list
            if len(items) >= limits.MAX_SEQUENCE:
                raise Refusal("SBX204")
            items.append(item)

    def update(self, items: dict[Any, Any], more: Any = (), /, **named: Any) -> None:
        """items.update(more, **named). Raises Refusal."""
        pairs = (
            list(more.items())
            if isinstance(more, dict)
            else [tuple(self._iterate(pair)) for pair in self._iterate(more)]
        )
        for pair in (*pairs, *named.items()):
            key, value = pair
            self.set_item(value, items, key)

    def _pop(self, items: dict[Any, Any], key: Any, /, *default: Any) -> Any:
        """items.pop(key) or items.pop(key, default). Raises Refusal."""
        self._check_own(items)
        if len(default) > 1:
            raise Refusal("SBX206")
        if key_of(key) not in items and not default:
            raise Refusal("SBX226")
        return items.pop(key, *default)

    def set_item(self, value: Any, items: Any, key: Any) -> None:
        """items[key] = value, for a dict, a list or a tensor. Raises Refusal."""
        self._step()
        if isinstance(items, SymTensor):
            self.replace(items, put(self._recorder, items, key, value))
            return
        self._check_own(items)
        if type(items) is dict:
            if key_of(key) not in items and len(items) >= limits.MAX_SEQUENCE:
                raise Refusal("SBX204")
            items[key] = value
        elif type(items) is list and type(key) is int and -len(items) <= key < len(items):
            items[key] = value
        else:
            raise Refusal("SBX134")

    def change_item(self, name: str, items: Any, key: Any, value: Callable[[], Any]) -> None:
        """items[key] += value() and the like, for a dict, a list or a tensor. Raises Refusal.

        As in Python, the old item is read before the value is computed.
        """
        if isinstance(items, SymTensor):
            index, more = items.index, value()
            if items.index != index:
                raise Refusal("SBX134")
            self.replace(items, changed(self._recorder, items, key, more, lambda old: self._binary(name, old, more)))
            return
        old = self._get(items, key)
        if isinstance(old, list | dict | SymTensor):  # changed in place
            raise Refusal("SBX134")
        self.set_item(self._binary(name, old, value()), items, key)

    def constants(self, *items: Any) -> Constants:
        """The value of {"a", "b"}."""
        self._step(len(items))
        return Constants(items)

    def replace(self, x: SymTensor, result: SymTensor) -> None:
        """Change a tensor in place. Raises Refusal if another name may refer to its memory."""
        if (
            x.shared
            or result.type != x.type
            or not (self._recorder.keeps_gradients or self._recorder.lacks_gradient(x))
        ):
            raise Refusal("SBX235")
        x.index = result.index

    def text(self, *parts: Any) -> str:
        """The text of an f-string, of texts and whole numbers only. Raises Refusal."""
        self._step(len(parts))
        if not all(type(part) in (str, int) for part in parts):
            raise Refusal("SBX122")
        made = "".join(map(str, parts))
        if len(made) > limits.MAX_STRING:
            raise Refusal("SBX204")
        return made

    def mapping(self, value: Any) -> dict[str, Any]:
        """The dict whose items `**value` passes on. Raises Refusal."""
        if type(value) is not dict:
            raise Refusal("SBX205")
        self._step(1 + len(value))
        return value


_DICT: Mapping[str, Callable[..., Any]] = {
    "items": lambda d, /: d.items(),
    "keys": lambda d, /: d.keys(),
    "values": lambda d, /: d.values(),
    "get": lambda d, key, default=None, /: d.get(key_of(key), default),
}


def key_of(value: Any) -> Any:
    """The value, if it may be a key of a dict. Tuples may not: hashing nested ones with repeated parts takes exponential time."""
    if isinstance(value, Reported):
        raise Refusal("SBX122")
    if not isinstance(value, PLAIN):
        raise Refusal("SBX226")
    return value
