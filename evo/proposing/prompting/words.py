"""Figures, results and shapes of losses in words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from archive.records import FindingRow
from evo.proposing.bare_source import bare
from evo.proposing.prompting.texts import line, quoted
from evo.proposing.prompting.views import DifferenceView
from sandbox.contracts.contract import BATCH, Argument, Contract


class _Scored(Protocol):
    @property
    def fitness(self) -> float | None: ...
    @property
    def standard_error(self) -> float | None: ...
    @property
    def seeds(self) -> int: ...
    @property
    def pooled(self) -> bool: ...


def figure(value: object, digits: int = 4) -> str:
    """A value in words or with `digits` digits."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return str(value)
    if not isinstance(value, float):
        return line(str(value), 80)
    if math.isnan(value):
        return "not a number"
    return f"{value:.{digits}g}" if math.isfinite(value) else f"{'-' if value < 0 else ''}infinity"


def figures(values: Mapping[str, Any]) -> str:
    """Named values in one line."""
    return "; ".join(
        f"{line(str(name), 60).replace('_', ' ')} {figure(value)}" for name, value in list(values.items())[:24]
    )


def fitness(scored: _Scored) -> str:
    """Mean and standard error with the digits that the error justifies, and the number of seeds."""
    mean, error = scored.fitness, scored.standard_error
    if mean is None:
        return "not scored"
    seeds = "1 seed" if scored.seeds == 1 else f"{scored.seeds} seeds"
    if error is None or not (math.isfinite(error) and math.isfinite(mean)) or error <= 0:
        return f"{figure(float(mean))} ({seeds}, standard error unknown)"
    digits = min(8, max(0, 1 - math.floor(math.log10(error))))
    basis = "standard error as that of the other losses' seeds" if scored.pooled else "standard error"
    return f"{mean:.{digits}f} ± {error:.{digits}f} ({basis}; {seeds})"


def difference(found: DifferenceView) -> str:
    """Paired difference to the baseline with its error, the number of seeds, and whether it is within the noise."""
    error = found.standard_error
    seeds = "1 seed" if found.seeds == 1 else f"{found.seeds} seeds"
    digits = 4 if error is None or error <= 0 else min(8, max(0, 1 - math.floor(math.log10(error))))
    errors = "" if error is None else f" ± {error:.{digits}f}"
    return f"{found.mean:+.{digits}f}{errors} against {quoted(found.baseline, 60)} ({seeds}): {found.verdict}"


def words(descriptors: Mapping[str, Any]) -> str:
    """Descriptors of a loss's shape in words; nested ones are named by both names."""
    parts: list[str] = []
    for name, value in descriptors.items():
        title = line(str(name), 60).replace("_", " ")
        if value is None:
            continue
        if isinstance(value, Mapping):
            parts.append(f"{title}: {figures(value)}")
        elif isinstance(value, Sequence) and not isinstance(value, str):
            parts.append(f"{title}: {', '.join(figure(v) for v in value[:6]) or 'none'}")
        else:
            parts.append(f"{title}: {figure(value)}")
    return "; ".join(parts[:24])


def finding_line(finding: FindingRow) -> str:
    """A finding of the sandbox in one line, with place, counterexample and remedy."""
    place = f" (line {finding.line})" if finding.line is not None else ""
    said = f"{line(finding.rule, 20)}{place}: {line(finding.message)}"
    if excerpt := bare(finding.excerpt or "", begins=False):
        said += f"; at {quoted(excerpt, 120)}"
    if finding.counterexample and isinstance(finding.counterexample, Mapping):
        # With rho, the four log-probabilities that it was computed from say nothing more.
        said += (
            f"; for example {figures({k: v for k, v in finding.counterexample.items() if not k.endswith('_logps')})}"
        )
    return f"{said}. {line(finding.remedy)}" if finding.remedy else said


def kind_of_argument(argument: Argument, contract: Contract) -> str:
    """Type and shape of an argument, and whether a gradient flows to it."""
    if argument.shape is None:
        return "a Python number, the same for all items; it may change between runs, so do not rely on its value"
    sizes = ["batch" if symbol == BATCH else contract.columns for symbol in argument.shape]
    shape = f"({sizes[0]},)" if len(sizes) == 1 else f"({', '.join(sizes)})"
    kind = {"float": "float32", "int": "int64", "bool": "bool"}[argument.dtype]
    learning = (
        "; the gradient flows here" if argument.learns else "; a constant to the gradient" if kind == "float32" else ""
    )
    return f"{kind} tensor of shape {shape}{learning}"


_WANTED: Mapping[tuple[str, str], str] = {
    ("convex", "True"): "convex: its slope by x never falls",
    ("convex", "False"): "not convex: its slope by x falls somewhere, as at a bump or a step",
    ("left_tail", "flat"): "flat left tail: items that the model gets badly wrong are hardly pushed",
    ("left_tail", "linear"): "linear left tail: items that the model gets badly wrong are pushed with a constant slope",
    ("left_tail", "quadratic"): "quadratic left tail: the worse an item, the harder it is pushed, in proportion",
    ("left_tail", "exponential"): "exponential left tail: the worst items dominate",
    ("right_tail", "flat"): "flat right tail: pushing stops where x is large",
    ("right_tail", "linear"): "linear right tail: the slope stays constant where x is large",
    ("right_tail", "quadratic"): "quadratic right tail: the slope grows with x, as around a target",
    ("right_tail", "exponential"): "exponential right tail: the slope grows very fast with x, as a strong barrier",
    ("coupled", "True"): "coupled: an item's loss depends on the other items of its batch, as by a mean or a variance",
    ("coupled", "False"): "not coupled: each item's loss is computed from that item alone",
    ("margin_only", "True"): "by the margin alone: the four log-probabilities enter only as rho",
    ("margin_only", "False"): "not by the margin alone: single log-probabilities or log-ratios enter too",
}


def wanted_line(descriptor: str, value: str) -> str:
    """What a wanted value of a descriptor means, in words."""
    return _WANTED.get((descriptor, value)) or f"{line(descriptor, 60).replace('_', ' ')}: {line(value, 60)}"
