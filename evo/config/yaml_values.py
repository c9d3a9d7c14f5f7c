"""YAML as a configuration needs it: plain values, within bounds that hold before anything is built of them.

Threat model. A configuration may come with somebody else's run. Covered: size, depth, aliases (a few lines of them stand for
gigabytes), integers of thousands of digits, NUL characters, tags that make other things than plain values, tags and dates that
make no value at all, keys given twice (PyYAML keeps the later one without a word). All of these are a `YAMLFault`, with the line.
Keys are merged (`<<`) as YAML 1.1 has it, of mappings that are written out.
"""

from __future__ import annotations

from typing import Any

import yaml

LONGEST = 2**18
"""Bytes of a configuration: about a hundred times what one has."""
DEEPEST, MOST_CHARACTERS = 32, 40
"""Levels of a value, and characters of a number."""

_MISFITS = (ValueError, TypeError, LookupError, AttributeError, OverflowError)
"""What PyYAML raises where a value does not fit its tag, such as a date that does not exist."""
_MERGE = "tag:yaml.org,2002:merge"
_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")


class YAMLFault(Exception):
    """The text is no YAML that may be used. The message says what is wrong, and where."""


def load_yaml(text: str | bytes, name: str = "the text") -> Any:
    """The value of a document, None for an empty one; messages call it `name`. Raises YAMLFault."""
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
    """The document of a value of plain types. What it holds twice is written twice: `load_yaml` takes no aliases."""
    text: str = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
    return text


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


class _Loader(yaml.SafeLoader):
    """PyYAML's safe values, with the bounds."""

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
        """A key that is merged (`<<`) may be there again, and is then the mapping's own, but none stands twice in one mapping."""
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
                raise _error(f"the key {name!r} is there twice", key)
            seen.add(name if isinstance(name, str) else None)


def _error(problem: str, at: Any) -> yaml.MarkedYAMLError:
    """At a node or an event."""
    return yaml.MarkedYAMLError(problem=problem, problem_mark=at.start_mark)
