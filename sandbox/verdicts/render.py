"""Rendering of the jailed child's violations as findings, in the trusted process.

All texts come from the catalogue of rules. Only the excerpt is taken from the source: it is cut out here, at the place that the
child named. Its length is limited, and every character that could control a terminal is written as its escape.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from functools import cache
from typing import TYPE_CHECKING

from sandbox.child.jail.isolate import GUARANTEES
from sandbox.child.protocol import SourceSpan, Violation
from sandbox.child.static.source_text import split_lines
from sandbox.contracts.contract import Contract
from sandbox.graph.nodes import GraphError
from sandbox.verdicts.cases import remedy_of
from sandbox.verdicts.suggest import suggestion
from sandbox.verdicts.verdict import Finding, Severity
from sandbox.verdicts.visible import visible

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox.verdicts.rules import Rule

MAX_EXCERPT = 80
_UNKNOWN = "SBX243"


@cache
def _rules() -> Mapping[str, Rule]:
    """The catalogue of rules, loaded with the first finding, since an accepted loss needs none."""
    from sandbox.verdicts.rules import RULES

    return RULES


def finding(violation: Violation, source: str, contract: Contract) -> Finding:
    """The finding for a violation of the child. A code that the child cannot have found gives the finding SBX243."""
    rule = _rules().get(violation.code)
    if rule is None or rule.severity is not Severity.REFUSE or violation.code.startswith("SBX3"):
        return plain(_UNKNOWN)
    line, column, excerpt = located(source, violation.span)
    if violation.code == "SBX244" and violation.numbers and 0 <= violation.numbers[0] < len(GUARANTEES):
        excerpt = GUARANTEES[violation.numbers[0]]
    message = _filled(rule.message or rule.title, excerpt, violation.numbers)
    if violation.text:
        message += f": {printable(violation.text, 120)}"
    remedy = rule.advice
    if found := remedy_of(violation.code, excerpt):
        remedy = found
    elif violation.call is not None:
        remedy = rule.remedy + _parameters(violation.call)
    elif violation.code == "SBX110":
        remedy = (
            "Define the function with exactly these arguments, or name the parameters in their order with --arguments. "
            f"Write: `def {_name(excerpt)}({contract.signature}):`"
        )
    elif violation.code == "SBX141":
        remedy += f" Write: `{_name(excerpt.partition(':')[0])}=0.0`, with the intended value"
    elif violation.code == "SBX129" and excerpt.startswith("self."):
        remedy = (
            "Set the attribute in __init__ of a class around the method, or take a parameter with a constant default. "
            f"Write: `{_name(excerpt.removeprefix('self.'))}=0.0`, with the intended value"
        )
    elif violation.code == "SBX132" and (method := _IN_PLACE.search(excerpt)):
        remedy = f"{rule.remedy} Write: `y = x.{method[1]}(...)`, with its arguments, and use y afterwards"
    elif violation.code in ("SBX129", "SBX130") and (found := suggestion(excerpt)):
        remedy = rule.remedy + found
    elif violation.code == "SBX201" and _SIZE.search(excerpt):
        remedy = "The batch size is not known: remove the branch. A loss that is undefined for a batch of one gets a note only."
    elif violation.code == "SBX126" and excerpt in ("np", "numpy"):
        remedy = "Only constants of numpy are available, after an import. Write: `math.pi`, and use torch's functions for tensors"
    elif violation.code == "SBX126" and (meant := _similar(excerpt, source, contract)):
        remedy = f"{rule.remedy} Did you mean `{meant}`?"
    elif violation.code == "SBX126" and not (contract.swap and excerpt in _MARGINS):
        remedy = (
            f"{rule.remedy} Write: `{_name(excerpt)} = 0.5` above its use, if it is a constant, with the intended value"
        )
    return Finding(violation.code, Severity.REFUSE, message, remedy, line, column, excerpt)


_SIZE = re.compile(r"\.(numel|nelement|size|shape)\b|\blen\(")
"""What a condition on the batch size reads."""

_IN_PLACE = re.compile(r"\.([a-z][a-z0-9_]*[a-z0-9])_(?=\(|$)")
"""A method that changes a tensor in place."""

_MARGINS = ("rho", "margin", "log_ratio_margin")
"""Names that a preference loss probably uses for the margin rho."""


def _similar(name: str, source: str, contract: Contract) -> str:
    """An argument of the contract, or another name of the source, that differs from `name` by a typing error; "" without one."""
    known = {a.name for a in contract.arguments} | set(re.findall(r"[A-Za-z_][A-Za-z0-9_]{2,63}", source))
    found = get_close_matches(name, sorted(known - {name}), n=1, cutoff=0.85)
    return found[0] if found and len(name) > 3 else ""


def note(violation: Violation, source: str, contract: Contract) -> Finding | None:
    """The note on a step of unwrapping that the child reports. None for a code that the child cannot have found."""
    rule = _rules().get(violation.code)
    if rule is None or rule.severity is not Severity.NOTE or violation.code.startswith("SBX3"):
        return None
    line, column, excerpt = located(source, violation.span)
    message = _filled(rule.message, excerpt, violation.numbers)
    if violation.text:
        names = [a.name for a in contract.tensors]
        meant = ", ".join(names[n] for n in violation.numbers if 0 <= n < len(names))
        message += f": {printable(violation.text, 300)} stand for {meant}"
    return Finding(violation.code, Severity.NOTE, message, rule.advice, line, column, excerpt)


def graph_finding(error: GraphError, source: str | None = None, span: SourceSpan | None = None) -> Finding:
    """The finding for an error of the graph's verifier, with the place in the source if it is known."""
    line, column, excerpt = located(source, span) if source is not None else (None, None, "")
    rule = _rules()[error.code]
    return Finding(error.code, Severity.REFUSE, printable(error.message, 300), rule.advice, line, column, excerpt)


def plain(code: str, *numbers: int) -> Finding:
    """A refusal without a place in the source."""
    rule = _rules()[code]
    return Finding(code, Severity.REFUSE, _filled(rule.message or rule.title, "", numbers), rule.advice)


def located(source: str, span: SourceSpan | None) -> tuple[int | None, int | None, str]:
    """Line and column, both counted from 1, and the text there; (None, None, "") if the place is not in the source."""
    if span is None:
        return None, None, ""
    lines = split_lines(source)
    if not 1 <= span.line <= len(lines):
        return None, None, ""
    raw = lines[span.line - 1].encode("utf-8", "replace")
    end = span.end_column if span.end_line == span.line else len(raw)
    column = len(raw[: span.column].decode("utf-8", "replace")) + 1
    return span.line, column, printable(raw[span.column : end].decode("utf-8", "replace"))


def entry_name(source: str, span: SourceSpan | None) -> str:
    """The name of the entry function; "" if the text at this place is not a name."""
    _, _, text = located(source, span)
    return text if text.isascii() and text.isidentifier() and len(text) <= 64 else ""


def printable(text: str, most: int = MAX_EXCERPT) -> str:
    """Text on one line, with control, format and other invisible characters escaped, cut to `most` characters."""
    shown = visible("".join(" " if c.isspace() else c for c in text[: most + 1]))
    return shown if len(shown) <= most else shown[: most - 3] + "..."


def _filled(message: str, excerpt: str, numbers: tuple[int, ...]) -> str:
    out = message.replace("{text}", f"`{excerpt}`" if excerpt else "the source")
    for i in range(3):
        out = out.replace(f"{{{i}}}", str(numbers[i]) if i < len(numbers) else "a bound")
    return out


def _parameters(call: int) -> str:
    """The parameters of an exposed call, by its number."""
    from sandbox.child.allowlist.calls import CALLS

    return f" Parameters: {CALLS[call].signature}" if call < len(CALLS) else ""


def _name(excerpt: str) -> str:
    return excerpt if excerpt.isascii() and excerpt.isidentifier() else "loss"
