"""Check of the gradient's size: not so large that its square overflows, not too small for an optimiser, no spikes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from sandbox.execute.evaluate import Array
from sandbox.numeric.measure.contract_inputs import inputs_of
from sandbox.numeric.measure.findings import numeric_finding, shown
from sandbox.numeric.measure.inputs import LINE_BETA
from sandbox.numeric.measure.measure import Measured, Measurements
from sandbox.numeric.measure.spikes import LARGEST_SPIKE
from sandbox.verdicts.verdict import Finding

LARGEST_GRADIENT: Final = 1e15
"""Optimisers square gradients, and clipping sums the squares, which must stay far below float32's maximum of 3e38."""
LARGEST_DRAWN: Final = 1e17
"""The same for drawn probes. Only those that lie no further out than the fixed ones are looked at: a loss that is exponential in a
log-ratio would be refused for some seeds only."""
SMALLEST_GRADIENT: Final = 1e-7
"""Adam divides by the root of the mean square plus 1e-8. The gradient of a parameter is this gradient times the derivative of
a log-probability by the parameter: about 1e-3 in a model of 1e8 parameters (a norm of ten over the root of their number), less
in a larger model. Below 1e-7 a step is a hundredth of the learning rate or less. DPO's gradient is about beta / 2."""
NO_SLOPE: Final = 1e-6
"""A gradient at the start below this share of the typical one counts as zero: the first item that leaves the start outweighs
it."""
LARGEST_AT_START: Final = 1e10
"""Largest ratio of the gradient at the start to that of usual pairs. Losses that divide by the batch's standard deviation plus
1e-8, a frequent form, stay below."""


def check_scale(measured: Measurements) -> list[Finding]:
    """A refusal if gradients are too small, too large to be squared, or have a spike where log-probabilities are equal."""
    near = measured.single.gradient("near")
    usual = {"beta": LINE_BETA, **({} if measured.proven else {"batch": near.shape[1]})}
    place = f"at beta = {shown(LINE_BETA)}" + ("" if measured.proven else f" in batches of {near.shape[1]}")
    return too_small(near, place, usual) or too_large(measured.single) or _spike(measured)


def too_small(
    gradients: Array, place: str, example: Mapping[str, Any], smallest: float = SMALLEST_GRADIENT
) -> list[Finding]:
    """A refusal if the largest of these gradients (finite) is too small for an optimiser. Zero has a rule of its own."""
    size = float(np.abs(gradients).max())
    if size == 0:
        return [numeric_finding("SBX307", f"the gradient is zero {place}", example)]
    if size >= smallest:
        return []
    message = f"the gradient is {shown(size)} at most {place}: optimisers need {shown(SMALLEST_GRADIENT)} or more"
    return [numeric_finding("SBX312", message, {"gradient": size, **example})]


def too_large(measured: Measured) -> list[Finding]:
    """A refusal if the square of a usual item's gradient overflows."""
    return _overflowing(measured, _sizes(measured), LARGEST_GRADIENT)


def too_large_as_drawn(drawn: Measured, fixed: Measured) -> list[Finding]:
    """The same for drawn probes, as far out as the fixed ones."""
    extents = inputs_of(drawn.contract).extents
    most = extents(fixed.probes.groups["near"]).max(axis=1, keepdims=True)
    comparable = (extents(drawn.probes.groups["near"]) <= most).all(axis=0)
    return _overflowing(drawn, np.where(comparable, _sizes(drawn), 0.0), LARGEST_DRAWN)


def _sizes(measured: Measured) -> Array:
    """The largest number in the gradient of each usual item."""
    gradients = np.abs(measured.gradient("near"))
    return np.asarray(gradients.reshape(*gradients.shape[:2], -1).max(axis=(0, 2)))


def _overflowing(measured: Measured, size: Array, largest: float) -> list[Finding]:
    item = int(size.argmax())
    if size[item] <= largest:
        return []
    inputs = inputs_of(measured.contract)
    one = inputs.example(measured.probes.groups["near"], item)
    message = (
        f"the gradient is {shown(size[item])} {inputs.where(one)}: its square overflows, so no optimiser can use it"
    )
    return [numeric_finding("SBX305", message, {"gradient": size[item], **one})]


def _spike(measured: Measurements) -> list[Finding]:
    return _spike_at_the_start(measured) or _spike_at_ties(measured)


def _spike_at_the_start(measured: Measurements) -> list[Finding]:
    """A refusal of a very large gradient at the start. It occurs in the first step only, but stays in the optimiser's state."""
    size = np.abs(measured.single.gradient("start")).max(axis=0)
    item, usual = int(size.argmax()), measured.scale
    if size[item] <= LARGEST_AT_START * usual or usual < SMALLEST_GRADIENT:
        return []
    inputs = inputs_of(measured.single.contract)
    one = inputs.example(measured.single.probes.groups["start"], item)
    message = (
        f"the gradient is {shown(size[item])} {inputs.where(one)}, where the policy still equals its reference, and about "
        f"{shown(usual)} at usual pairs"
    )
    return [numeric_finding("SBX313", message, {"gradient": size[item], "beside": usual, **one})]


def _spike_at_ties(measured: Measurements) -> list[Finding]:
    single = measured.single
    size = np.abs(single.gradient("ties")).max(axis=0)
    beside = np.abs(single.gradient("beside_ties")).max(axis=0).reshape(2, -1).max(axis=0)
    beside = np.maximum(beside, measured.scale)
    item = int((size / beside).argmax())
    if size[item] <= LARGEST_SPIKE * beside[item]:
        return []
    inputs = inputs_of(single.contract)
    one = inputs.example(single.probes.groups["ties"], item)
    message = (
        f"the gradient is {shown(size[item])} {inputs.where(one)}, where log-probabilities are equal or nearly equal, and at "
        f"most {shown(beside[item])} nearby"
    )
    return [numeric_finding("SBX313", message, {"gradient": size[item], "beside": beside[item], **one})]
