"""A node of a graph as a printer sees it, whose operands are written already."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from sandbox.contracts.contract import Contract
from sandbox.graph.operations.parts.attributes import Attr
from sandbox.graph.types import Type

COMPARISON, SUM, TERM, UNARY, POWER, ATOM = range(6)
"""How tightly a piece of text binds."""


class Text(NamedTuple):
    """A piece of text and how tightly it binds."""

    text: str
    level: int = ATOM


class Written(NamedTuple):
    """One node: its operation with the specifications of its attributes, their values, its operands' texts and types."""

    op: str
    specifications: Mapping[str, Attr]
    attrs: Mapping[str, Any]
    operands: Sequence[Text]
    types: Sequence[Type]
    floating: bool
    """Whether the operation turns its operands into floats first."""
    contract: Contract

    @property
    def texts(self) -> list[str]:
        """The operands' texts."""
        return [o.text for o in self.operands]


Form = Callable[[Written], Text]
"""How an operation is written on operands that are written already."""


def _no_form(w: Written) -> Text:
    raise KeyError(w.op)


NO_FORM: Final[Form] = _no_form
"""For what the printer writes itself: inputs, sizes, constants."""
