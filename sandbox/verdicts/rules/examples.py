"""Parts of the catalogue's entries: a rule that refuses, and a whole source around the lines of an example."""

from __future__ import annotations

from textwrap import dedent

from sandbox.verdicts.rules.rule import Rule
from sandbox.verdicts.verdict import Severity

_ARGUMENTS = "policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, beta"
HEAD = f"def loss({_ARGUMENTS}):"
MARGIN = "    rho = (policy_chosen_logps - policy_rejected_logps) - (reference_chosen_logps - reference_rejected_logps)"
GOOD = f"{HEAD}\n{MARGIN}\n    return -F.logsigmoid(beta * rho)\n"
"""DPO: the good example wherever nothing more fitting is at hand."""


def example(body: str, before: str = "") -> str:
    """A whole source around the lines of a body that may use `rho`, `beta` and the arguments."""
    lines = "".join(f"    {line}\n" if line else "\n" for line in dedent(body).strip("\n").split("\n"))
    return f"{dedent(before)}{HEAD}\n{MARGIN}\n{lines}"


def refuse(
    code: str, title: str, explanation: str, remedy: str, bad: str, good: str = GOOD, message: str = "", line: str = ""
) -> Rule:
    """A rule that refuses the candidate."""
    return Rule(code, title, Severity.REFUSE, explanation, remedy, bad, good, message, line)
