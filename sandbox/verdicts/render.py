"""From a child's complaints to findings that people and language models can act on. In the trusted process.

All words come from the rule catalogue. The one thing taken from the source is the excerpt, which is cut from it here, at a place
the child named: bounded in length, with everything that a terminal could act on made visible.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from sandbox.child.jail.isolate import GUARANTEES
from sandbox.child.protocol import Complaint, Spot
from sandbox.child.static.source_text import split_lines
from sandbox.contracts.contract import Contract
from sandbox.graph.nodes import GraphError
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
    """The catalogue, loaded with the first finding: what is fine needs no words."""
    from sandbox.verdicts.rules import RULES

    return RULES


def finding(complaint: Complaint, source: str, contract: Contract) -> Finding:
    """A complaint of the child as a finding. A code that it cannot know is itself a finding."""
    rule = _rules().get(complaint.code)
    if rule is None or rule.severity is not Severity.REFUSE or complaint.code.startswith("SBX3"):
        return plain(_UNKNOWN)
    line, column, excerpt = located(source, complaint.spot)
    if complaint.code == "SBX244" and complaint.numbers and 0 <= complaint.numbers[0] < len(GUARANTEES):
        excerpt = GUARANTEES[complaint.numbers[0]]
    message = _filled(rule.message or rule.title, excerpt, complaint.numbers)
    if complaint.text:
        message += f": {printable(complaint.text, 120)}"
    remedy = rule.advice
    if complaint.call is not None:
        remedy = rule.remedy + _parameters(complaint.call)
    elif complaint.code == "SBX110":
        remedy = (
            "Define the function with exactly these arguments, or say which is which with --arguments. "
            f"Write: `def {_name(excerpt)}({contract.signature}):`"
        )
    elif complaint.code == "SBX141":
        remedy += f" Write: `{_name(excerpt.partition(':')[0])}=0.0`, with the value that is meant"
    elif complaint.code == "SBX129" and excerpt.startswith("self."):
        remedy = (
            "Set the attribute in __init__ of a class around the method, or take a parameter with a constant default. "
            f"Write: `{_name(excerpt.removeprefix('self.'))}=0.0`, with the value that is meant"
        )
    elif complaint.code in ("SBX129", "SBX130"):
        remedy = rule.remedy + suggestion(excerpt) + rule.example
    elif complaint.code == "SBX126" and excerpt in ("np", "numpy"):
        remedy = "Of numpy only constants are there, where it is imported. Write: `math.pi`, and torch's functions for tensors"
    return Finding(complaint.code, Severity.REFUSE, message, remedy, line, column, excerpt)


def note(complaint: Complaint, source: str, contract: Contract) -> Finding | None:
    """What the child says that it took off the source, as a finding that refuses nothing. None for what it cannot know."""
    rule = _rules().get(complaint.code)
    if rule is None or rule.severity is not Severity.NOTE or complaint.code.startswith("SBX3"):
        return None
    line, column, excerpt = located(source, complaint.spot)
    message = _filled(rule.message, excerpt, complaint.numbers)
    if complaint.text:
        names = [a.name for a in contract.tensors]
        meant = ", ".join(names[n] for n in complaint.numbers if 0 <= n < len(names))
        message += f": {printable(complaint.text, 300)} stand for {meant}"
    return Finding(complaint.code, Severity.NOTE, message, rule.advice, line, column, excerpt)


def graph_finding(error: GraphError, source: str | None = None, spot: Spot | None = None) -> Finding:
    """What the verifier found wrong with a graph, at the place in the source that it came from."""
    line, column, excerpt = located(source, spot) if source is not None else (None, None, "")
    rule = _rules()[error.code]
    return Finding(error.code, Severity.REFUSE, printable(error.message, 300), rule.advice, line, column, excerpt)


def plain(code: str, *numbers: int) -> Finding:
    """A finding that has no place in the source."""
    rule = _rules()[code]
    return Finding(code, Severity.REFUSE, _filled(rule.message or rule.title, "", numbers), rule.advice)


def located(source: str, spot: Spot | None) -> tuple[int | None, int | None, str]:
    """Line and column, both from 1, and the text there; nothing where the place is not in the source."""
    if spot is None:
        return None, None, ""
    lines = split_lines(source)
    if not 1 <= spot.line <= len(lines):
        return None, None, ""
    raw = lines[spot.line - 1].encode("utf-8", "replace")
    end = spot.end_column if spot.end_line == spot.line else len(raw)
    column = len(raw[: spot.column].decode("utf-8", "replace")) + 1
    return spot.line, column, printable(raw[spot.column : end].decode("utf-8", "replace"))


def entry_name(source: str, spot: Spot | None) -> str:
    """The name of the entry function, if what stands there is a name."""
    _, _, text = located(source, spot)
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
