"""Lowering of exposed calls that are not exactly one operation: one function per call records its operations.

A lowering computes what torch's function computes, in operations of `operations.OPERATIONS`, so that values and gradients equal
those of eager torch. Its arguments are the recorder and the call's parameters by name. Lowerings raise Refusal; `SBX206` means that
the arguments do not fit, and `trace.facade` adds the call.
"""

from sandbox.child.trace.lowering import (
    arithmetic,
    combined,
    creation,
    losses,
    margin_losses,
    numbers,
    rearranged,
    reductions,
    scattered,
    shaping,
    values,
)
from sandbox.child.trace.lowering.direct import check_calls, record_plain
from sandbox.child.trace.lowering.registry import LOWERINGS, Lowering

__all__ = [
    "LOWERINGS", "Lowering", "arithmetic", "combined", "creation", "losses", "margin_losses", "numbers", "rearranged",
    "record_plain", "reductions", "scattered", "shaping", "values",
]  # fmt: skip

check_calls()
