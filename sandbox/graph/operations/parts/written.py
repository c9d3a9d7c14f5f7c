"""Input and output of the printers' forms: a node whose operands are already printed, and printed text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from sandbox.contracts.contract import Contract
from sandbox.graph.operations.parts.attributes import Attr
from sandbox.graph.types import Type

COMPARISON, SUM, TERM, UNARY, POWER, ATOM = range(6)
"""Precedence levels of printed expressions, from the lowest to the highest."""


class Text(NamedTuple):
    """A printed expression and its precedence level."""

    text: str
    level: int = ATOM


class Written(NamedTuple):
    """One node: its operation, the specifications and values of its attributes, its operands' texts and types."""

    op: str
    specifications: Mapping[str, Attr]
    attrs: Mapping[str, Any]
    operands: Sequence[Text]
    types: Sequence[Type]
    floating: bool
    """Whether the operation converts its operands to floats first."""
    contract: Contract

    @property
    def texts(self) -> list[str]:
        """The operands' texts."""
        return [o.text for o in self.operands]


Form = Callable[[Written], Text]
"""Prints an operation whose operands are already printed."""


def _no_form(w: Written) -> Text:
    raise KeyError(w.op)


NO_FORM: Final[Form] = _no_form
"""For inputs, sizes and constants, which the printer itself writes."""
