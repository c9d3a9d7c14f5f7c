"""YAML reader for configurations: plain values within bounds that are checked before values are constructed.

Threat model. A configuration may come from an untrusted run. Covered: size, depth, aliases (a few lines of them can expand to
gigabytes), integers of thousands of digits, NUL characters, tags for other than plain values, tags and dates without a value,
duplicate keys (PyYAML silently keeps the last one). Each of these is a `YAMLFault` with the line. Merge keys (`<<`) work as in
YAML 1.1, for mappings that are written out.
"""

from __future__ import annotations

from typing import Any

import yaml

LONGEST = 2**18
"""Maximum bytes of a configuration, about a hundred times the usual size."""
DEEPEST, MOST_CHARACTERS = 32, 40
"""Maximum levels of a value, and characters of a number."""

_MISFITS = (ValueError, TypeError, LookupError, AttributeError, OverflowError)
"""Exceptions of PyYAML for a value that does not fit its tag, such as an invalid date."""
_MERGE = "tag:yaml.org,2002:merge"
_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")


class YAMLFault(Exception):
    """The text is not valid YAML, or exceeds a bound. The message gives the fault and its position."""


def load_yaml(text: str | bytes, name: str = "the text") -> Any:
    """The value of a document; None if it is empty. `name` is its name in messages. Raises YAMLFault."""
    if len(text) > LONGEST:
        raise YAMLFault(f"{name} is longer than {LONGEST} bytes; give a configuration")
    try:
        return yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise YAMLFault(f"{error.problem or error.context} in {name}{where}") from None
    except yaml.YAMLError as error:
        raise YAMLFault(" ".join(str(error).split())) from None
    except _MISFITS:
        raise YAMLFault("a value does not fit its tag; leave the tags (!!...) out") from None


def dump_yaml(value: Any) -> str:
    """The YAML text of a value of plain types, without aliases, which `load_yaml` refuses."""
    text: str = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
    return text


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with the bounds above."""

    def __init__(self, stream: str | bytes) -> None:
        super().__init__(stream)
        self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent):
            raise _error(f"an alias (*{event.anchor}); write the value out in its place", event)
        self._depth += 1
        if self._depth > DEEPEST:
            raise _error(f"a value nested more than {DEEPEST} levels deep", event)
        node: yaml.Node | None = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        if node.tag in _NUMBERS and len(node.value) > MOST_CHARACTERS:
            raise _error(f"a number of {len(node.value)} characters, at most {MOST_CHARACTERS} are allowed", node)
        if isinstance(node, yaml.ScalarNode) and "\0" in node.value:
            raise _error("a NUL character (\\0), which no name may hold", node)
        try:
            return super().construct_object(node, deep)
        except _MISFITS:
            raise _error(f"a value that is no {node.tag.rpartition(':')[2]}", node) from None

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        self._refuse_doubled(node)
        return super().construct_mapping(node, deep)

    def _refuse_doubled(self, node: yaml.MappingNode) -> None:
        """Refuse duplicate keys in a mapping. A mapping may override a merged key (`<<`)."""
        seen = set()
        for key, value in node.value:
            if key.tag == _MERGE:
                name: Any = key.value
                for merged in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                    if isinstance(merged, yaml.MappingNode):
                        self._refuse_doubled(merged)
            else:
                name = self.construct_object(key, deep=True)
            if isinstance(name, str) and name in seen:
                raise _error(f"the key {name!r} is given twice", key)
            seen.add(name if isinstance(name, str) else None)


def _error(problem: str, at: Any) -> yaml.MarkedYAMLError:
    """A YAML error at the position of a node or an event."""
    return yaml.MarkedYAMLError(problem=problem, problem_mark=at.start_mark)
