"""Findings of the numeric tests, made from a rule's code, a message and a counterexample."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from typing import Any

from sandbox.verdicts.rules.numeric import NUMERIC_RULES
from sandbox.verdicts.rules.rule import Rule
from sandbox.verdicts.verdict import Finding


@cache
def _rules() -> Mapping[str, Rule]:
    return {rule.code: rule for rule in NUMERIC_RULES}


def numeric_finding(code: str, message: str, counterexample: Mapping[str, Any] | None = None) -> Finding:
    """A finding of rule `code`, with the rule's severity and remedy. Non-finite numbers become "nan", "inf", "-inf"."""
    rule = _rules()[code]
    return Finding(
        rule=code,
        severity=rule.severity,
        message=message,
        remedy=rule.advice,
        counterexample={k: _plain(v) for k, v in (counterexample or {}).items()},
    )


def shown(value: float) -> str:
    """A number as people write it: 400, 0.05, 1.2e-07, inf."""
    return f"{value:.6g}"


def _plain(value: Any) -> Any:
    if isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    number = float(value)
    return float(f"{number:.9g}") if math.isfinite(number) else shown(number)
