"""Rule: one reason for which vetting refuses a loss or adds a note, explained for people and for language models."""

from __future__ import annotations

from dataclasses import dataclass

from sandbox.verdicts.verdict import Severity


@dataclass(frozen=True, slots=True)
class Rule:
    """An entry of the catalogue.

    `message` is the template of a finding's message: `{0}`, `{1}` ... stand for the finding's numbers, `{text}` for the offending
    text (quoted and cut). If it is empty, the finding has a message of its own, or the title is used. `remedy` is an instruction
    to the author of the loss. `line` is a line of code that would be accepted, or "". `bad` and `good` are whole sources: this
    rule refuses (or notes) the first one and not the second one.
    """

    code: str
    title: str
    severity: Severity
    explanation: str
    remedy: str
    bad: str
    good: str
    message: str = ""
    line: str = ""

    @property
    def advice(self) -> str:
        """The remedy with its line of code."""
        return self.remedy + self.example

    @property
    def example(self) -> str:
        """The line of code as a sentence, or ""."""
        return f" Write: `{self.line}`" if self.line else ""
