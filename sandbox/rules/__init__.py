"""The catalogue of rules: SBX1xx on source, SBX2xx on tracing and the graph, SBX3xx on numbers.

Codes are stable: a code is never given another meaning.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from sandbox.rules.rule import Rule

RULES: Mapping[str, Rule] = MappingProxyType({})
"""Every rule by code, in order of the codes."""

__all__ = ["RULES", "Rule"]
