"""Rule: one thing that vetting refuses or notes, explained once for people and for language models."""

from __future__ import annotations

from dataclasses import dataclass

from sandbox.verdicts.verdict import Severity


@dataclass(frozen=True, slots=True)
class Rule:
    """An entry of the catalogue.

    `message` is what a finding says; `{0}`, `{1}` ... stand for the finding's numbers, `{text}` for the offending text
    (quoted and cut). Where it is empty the finding brings its own, or the title serves. `remedy` speaks to whoever has to
    write the loss again, and is an instruction; `line` is a line of code that would pass, "" where none could be named. `bad`
    and `good` are whole sources, the first refused (or noted) by this rule, the second not.
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
        """The line of code as a sentence of its own, "" where there is none."""
        return f" Write: `{self.line}`" if self.line else ""
