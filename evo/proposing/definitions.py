"""Definitions that a refused loss left out, found in the prompt that it answered.

A weak model copies a line `a = f(t1)` of a loss that it was shown, without the line `t1 = ...`. The sandbox knows nothing of the
prompt, so its remedy for an undefined name is a number in its place.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from archive.records import FindingRow

UNDEFINED = "SBX126"
"""The rule that a name is not defined; its excerpt is the name."""
_DEFINITION = re.compile(r"^[ \t]*([A-Za-z_]\w*) = ([\w .,()+\-*/<>=\[\]:]{1,200})$", re.MULTILINE | re.ASCII)
"""A line of a formula. Other lines of a prompt, as those with texts, are no definitions."""
_NAME = re.compile(r"(?<![\w.])[A-Za-z_]\w*", re.ASCII)


def with_definitions(
    findings: Sequence[FindingRow], source: str, prompt: Sequence[tuple[str, str]] | None
) -> tuple[FindingRow, ...]:
    """The findings about a source, with a remedy that gives the definition of each undefined name that the prompt defines.

    `prompt`: role and text of each message, the last of which told of the losses to start from; None if it was not recorded. A name
    that it defines in several ways has no definition.
    """
    shown = _definitions(prompt[-1][1]) if prompt else {}
    there = {name for name, _ in _DEFINITION.findall(source)}
    return tuple(_with_definition(f, shown, there) if f.rule == UNDEFINED else f for f in findings)


def _with_definition(finding: FindingRow, shown: Mapping[str, str], there: set[str]) -> FindingRow:
    lines = list(_lines(finding.excerpt or "", shown, set(there)))
    if not lines:
        return finding
    written = ", then ".join(f"`{line}`" for line in lines)
    return replace(finding, remedy=f"A loss that you were shown defines it. Write above its use: {written}")


def _lines(name: str, shown: Mapping[str, str], there: set[str]) -> Iterator[str]:
    """The definition of a name, after those of the names in it that are not there yet."""
    if name in shown and name not in there:
        there.add(name)
        for other in _NAME.findall(shown[name]):
            yield from _lines(other, shown, there)
        yield f"{name} = {shown[name]}"


def _definitions(prompt: str) -> dict[str, str]:
    """The names that a text defines in one way, with their values."""
    found: dict[str, set[str]] = {}
    for name, value in _DEFINITION.findall(prompt):
        found.setdefault(name, set()).add(value.strip())
    return {name: values.pop() for name, values in found.items() if len(values) == 1}
