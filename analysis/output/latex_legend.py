"""A loss in LaTeX, preceded by comments that say what its symbols mean."""

from __future__ import annotations

import re

_MEANINGS = (
    (
        r"\\ell\^",
        r"\ell",
        r"log-probability in nats, under the policy (\pi) or the reference (ref), of the chosen (w) or rejected (l) completion",
    ),
    (r"(?<![A-Za-z\\_{])z(?![A-Za-z])", "z", "the logits of each item"),
    (r"(?<![A-Za-z\\_{])y(?![A-Za-z])", "y", "the labelled class of each item"),
    (r"\\bot", r"\bot(...)", "detach: the value in the brackets counts, but no gradient flows through it"),
    (r"\\left\[", "[...]", "1 if the condition in the brackets holds, else 0"),
)
"""Patterns of symbols of `sandbox.graph.printers.to_latex`, and their meanings. It defines all its other names itself."""


def with_legend(latex: str) -> str:
    """The text, after a comment for each symbol in it that it does not define. The comments do not change what LaTeX prints."""
    legend = [f"% {symbol}: {meaning}\n" for pattern, symbol, meaning in _MEANINGS if re.search(pattern, latex)]
    return "".join(legend) + latex
