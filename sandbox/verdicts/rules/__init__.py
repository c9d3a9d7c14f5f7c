"""The catalogue of rules.

SBX1xx: source code. SBX2xx: tracing and the graph (SBX25x: notes on how a source was unwrapped). SBX3xx: numeric tests.
Codes are stable: a code never gets another meaning.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from sandbox.verdicts.rules.graph import GRAPH_RULES
from sandbox.verdicts.rules.numeric import NUMERIC_RULES
from sandbox.verdicts.rules.rule import Rule
from sandbox.verdicts.rules.source import SOURCE_RULES
from sandbox.verdicts.rules.trace import TRACE_RULES
from sandbox.verdicts.rules.unwrapping import UNWRAPPING_RULES

RULES: Mapping[str, Rule] = MappingProxyType(
    {
        r.code: r
        for r in sorted(
            (*SOURCE_RULES, *TRACE_RULES, *GRAPH_RULES, *UNWRAPPING_RULES, *NUMERIC_RULES), key=lambda r: r.code
        )
    }
)
"""Every rule by code, in order of the codes."""

__all__ = ["RULES", "Rule"]
