"""The catalogue of rules: SBX1xx on source, SBX2xx on tracing and the graph (SBX25x: what was taken off), SBX3xx on numbers.

Codes are stable: a code is never given another meaning.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from sandbox.verdicts.rules.graph import GRAPH_RULES
from sandbox.verdicts.rules.numeric import RULES_NUMERIC
from sandbox.verdicts.rules.rule import Rule
from sandbox.verdicts.rules.source import SOURCE_RULES
from sandbox.verdicts.rules.taken import TAKEN_RULES
from sandbox.verdicts.rules.trace import TRACE_RULES

RULES: Mapping[str, Rule] = MappingProxyType(
    {
        r.code: r
        for r in sorted((*SOURCE_RULES, *TRACE_RULES, *GRAPH_RULES, *TAKEN_RULES, *RULES_NUMERIC), key=lambda r: r.code)
    }
)
"""Every rule by code, in order of the codes."""

__all__ = ["RULES", "Rule"]
