"""The findings on look-ups: SBX327 where single values are singled out, SBX332 where there is a table of them (torch)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import torch

from sandbox import probes
from sandbox.evaluate import Array, Evaluator, Points
from sandbox.findings import numeric_finding, shown
from sandbox.graph import LossGraph
from sandbox.inside import Inside
from sandbox.lookup.edges import MOST_EDGES, Narrow, count_edges, narrowest, touching
from sandbox.lookup.lines import Along, Found
from sandbox.lookup.screen import Keyed, Screen, screen
from sandbox.lookup.shifts import SHIFTS
from sandbox.sites import Kind, Site, may_hide, ranked_among_values, sites
from sandbox.verdict import Finding

BETAS: Final = (0.02, 0.1, 0.5, 1.0)
"""Betas at which edges are measured, beside a drawn one and those that the caller names."""

Describe = Callable[[Points, int], dict[str, Any]]

_HOW: Final = {
    Kind.ROUNDING: "it is rounded",
    Kind.EQUALITY: "it is compared with a single value",
    Kind.FINITENESS: "another formula holds where it overflows",
    Kind.CHOICE: "the place of the largest or smallest is taken",
    Kind.WAVE: "it goes through a wave",
}


def find_lookups(evaluator: Evaluator, seed: int, describe: Describe, betas: Sequence[float] = ()) -> list[Finding]:
    """What singles pairs out by the values of the reference, or of the policy beside it. `betas`: further ones to try.

    Raises CannotCompute.
    """
    places = sites(evaluator.graph)
    rng = np.random.default_rng([seed, 7])
    inside = Inside(evaluator, _watched(places))
    places = tuple(s for s in places if inside.in_place(s))
    first = screen(inside, places, rng, float(np.exp(rng.uniform(np.log(0.01), np.log(1.5)))))
    if first.keyed:
        return _judged(evaluator, inside, first, rng, describe, betas)
    ranked = ranked_among_values(evaluator.graph)
    if ranked is not None:
        return [_ranked(evaluator.graph, ranked, first, describe)]
    return _along(evaluator, first, rng, describe) if may_hide(evaluator.graph) else []


def _watched(places: Sequence[Site]) -> set[int]:
    return {n for s in places for n in (s.left, s.right) if n is not None}


def _judged(
    evaluator: Evaluator,
    inside: Inside,
    first: Screen,
    rng: np.random.Generator,
    describe: Describe,
    betas: Sequence[float],
) -> list[Finding]:
    places = [k.site for k in first.keyed]
    seen = [first, *(screen(inside, places, rng, beta) for beta in (*BETAS, *betas))]
    most = max(count_edges(s) for s in seen)
    if most > MOST_EDGES:
        return [_table(most)]
    for s in seen:
        at_once = touching(s.keyed)
        if at_once is not None:
            return [_singled_out(evaluator.graph, at_once, s, describe)]
    for s in seen:
        near = narrowest(s)
        if near is not None:
            return [_window(s, near, describe)]
    return _along(evaluator, first, rng, describe)


def _along(evaluator: Evaluator, first: Screen, rng: np.random.Generator, describe: Describe) -> list[Finding]:
    inside = Inside(evaluator, range(len(evaluator.graph.nodes)))
    curved = {k.site for k in first.keyed if not k.straight}
    hides = may_hide(evaluator.graph)
    values = screen(inside, [Site(i, Kind.KINK, i) for i in inside.nodes], rng, first.beta)
    follows = {k.site.node for k in values.keyed}
    for beta in (probes.LINE_BETA, first.beta):
        lines = Along(evaluator, inside, follows, beta, rng)
        spots = lines.spots(first.keyed)
        if lines.count(spots) > MOST_EDGES:
            return [_table(lines.count(spots))]
        found = lines.crowded(spots, curved) or lines.excursion(spots) or lines.rough()
        if found is None and hides:
            found = lines.rough(torch.float32)
        if found is not None:
            return [_found(found, beta, describe)]
    return []


def _table(count: int) -> Finding:
    message = (
        f"the loss changes at {count} places along the log-probability of one completion, policy and reference together; a "
        f"formula has at most {MOST_EDGES}"
    )
    return numeric_finding("SBX332", message, {"places": count})


def _singled_out(graph: LossGraph, keyed: Keyed, seen: Screen, describe: Describe) -> Finding:
    operation = graph.nodes[keyed.site.node].op
    how = _HOW[keyed.site.kind]
    message = f"{operation} works on a quantity that follows the log-probabilities of single pairs: {how}"
    example = describe(_points(seen.inputs[0], seen.beta), 0)
    return numeric_finding("SBX327", message, {"operation": operation, **example})


def _ranked(graph: LossGraph, node: int, seen: Screen, describe: Describe) -> Finding:
    operation = graph.nodes[node].op
    message = f"{operation} puts the batch's pairs in order together with fixed values"
    return numeric_finding(
        "SBX327", message, {"operation": operation, **describe(_points(seen.inputs[0], seen.beta), 0)}
    )


def _window(seen: Screen, near: Narrow, describe: Describe) -> Finding:
    inputs = seen.inputs[near.item] + near.at * SHIFTS[near.shift]
    example = describe(_points(inputs, seen.beta), 0)
    message = f"two conditions lie {_width(near.width)} {_place(near.shift, inputs)}: hardly a pair falls between them"
    return numeric_finding("SBX327", message, {"width": near.width, **example})


def _found(found: Found, beta: float, describe: Describe) -> Finding:
    example = describe(_points(found.inputs, beta), 0)
    chosen, rejected = (shown(example[f"reference_{side}_logps"]) for side in ("chosen", "rejected"))
    place = f"reference log-probabilities {chosen} (chosen) and {rejected} (rejected)"
    numbers = {"width": found.width, "inside": found.inside, "beside": found.beside}
    match found.what:
        case "rough":
            message = f"a value inside the loss goes back and forth with the reference log-probabilities, as at {place}"
        case "edges":
            message = f"the loss has two edges {_width(found.width)} at {place}: hardly a pair falls between them"
            numbers = {"width": found.width}
        case _:
            message = (
                f"a value inside the loss, or its gradient, is {shown(found.inside)} in a window {_width(found.width)} wide "
                f"at {place}, and {shown(found.beside)} beside it"
            )
    return numeric_finding("SBX327", message, {**numbers, **example})


def _width(width: float) -> str:
    return f"{shown(float(f'{width:.2g}'))} nats" if width >= 1e-4 else "less than 0.0001 nats"


def _place(shift: int, inputs: Array) -> str:
    name = ("reference_chosen_logps", "reference_rejected_logps")[shift]
    return f"apart around {name} = {shown(inputs[2 + shift])}"


def _points(inputs: Array, beta: float) -> Points:
    return Points(tuple(np.array([v]) for v in inputs), np.full((1, 1), beta), (1,))
