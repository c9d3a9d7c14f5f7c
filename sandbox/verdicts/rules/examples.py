"""Helpers for the catalogue's entries: make a rule that refuses, and complete the lines of an example to a whole source."""

from __future__ import annotations

from textwrap import dedent

from sandbox.verdicts.rules.rule import Rule
from sandbox.verdicts.verdict import Severity

ARGUMENTS = "policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, beta"
HEAD = f"def loss({ARGUMENTS}):"
MARGIN = "    rho = (policy_chosen_logps - policy_rejected_logps) - (reference_chosen_logps - reference_rejected_logps)"
DPO = "return -F.logsigmoid(beta * rho)"
GOOD = f"{HEAD}\n{MARGIN}\n    {DPO}\n"
"""DPO: the good example of a rule that names no other one."""


def example(body: str, before: str = "") -> str:
    """A whole source whose loss function has these lines as its body. They may use `rho`, `beta` and the arguments."""
    lines = "".join(f"    {line}\n" if line else "\n" for line in dedent(body).strip("\n").split("\n"))
    return f"{dedent(before)}{HEAD}\n{MARGIN}\n{lines}"


def refuse(
    code: str, title: str, explanation: str, remedy: str, bad: str, good: str = GOOD, message: str = "", line: str = ""
) -> Rule:
    """A rule that refuses the candidate."""
    return Rule(code, title, Severity.REFUSE, explanation, remedy, bad, good, message, line)
