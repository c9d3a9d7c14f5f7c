"""Findings on look-ups: SBX327 if a loss singles out values, SBX332 if it has a table of them (torch)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence, Set
from functools import cached_property
from itertools import islice, pairwise
from typing import Any, Final

import numpy as np
import torch

from sandbox.execute.evaluate import Array, Evaluator, Points
from sandbox.graph.loss_graph import VerifiedGraph
from sandbox.numeric.edges.lookup.edges import (
    MOST_EDGES,
    Edge,
    Name,
    Narrow,
    count_edges,
    crossing,
    edges_of,
    is_edge,
    narrow_margin,
    narrow_statistic,
    narrowest,
)
from sandbox.numeric.edges.lookup.forms import Forms, forms_of
from sandbox.numeric.edges.lookup.lines import Along, Found
from sandbox.numeric.edges.lookup.shifts import starting_pairs
from sandbox.numeric.edges.sites import AT_ONCE, EDGES, Kind, Site, degrees, ranked_among_values, sites
from sandbox.numeric.measure.findings import numeric_finding, shown
from sandbox.verdicts.verdict import Finding

BETAS: Final = (0.01, 0.025, 0.05, 0.1, 0.2, 0.25, 0.5, 1.0)
"""Betas at which edges are computed, besides a drawn one and those that the caller names."""
_CURVED_BETAS: Final = (0.1, 0.05, 0.5)
"""Betas at which lines are followed, besides the drawn one and those that the caller names."""
_ITEMS: Final = 8
_LARGE: Final = 1e5
"""Adding a constant of this size rounds to hundredths of a nat in float32."""
_SUMS: Final = frozenset({"add", "sub", "neg"})
"""Operations whose result changes by as much as an operand does, or by its opposite."""
_GUARD: Final = 1e-4
"""A bound this close to zero guards a division."""
_HALVINGS: Final = 24
_MOST_MEETING: Final = 4
_PLAIN_DEGREE: Final = 8
"""Highest degree of a polynomial in the quantities that identify pairs. Higher ones can have extrema at chosen places."""
_MOST_CASES: Final = 1000
"""Combinations of cases that are compared. Losses of a long run have at most 36; the search takes minutes for tens of thousands."""
_RESOLUTION: Final = 0.002
"""Nats. A value that float32 rounds more coarsely is a step function."""

Describe = Callable[[Points, int], dict[str, Any]]

_HOW: Final = {
    Kind.ROUNDING: "it is rounded",
    Kind.EQUALITY: "it is compared with a single value",
    Kind.FINITENESS: "another formula is used where it overflows",
    Kind.CHOICE: "the position of the largest or smallest is taken",
    Kind.WAVE: "it is the argument of a periodic function",
}
_NARROW: Final = (
    (narrow_margin, "the margin or of a log-ratio"),
    (narrow_statistic, "a statistic of the batch, which in a batch of one is that of the pair"),
)
_EXTREME: Final = "it is the extreme of the batch, so that one pair decides for all pairs"


def find_lookups(evaluator: Evaluator, seed: int, describe: Describe, betas: Sequence[float] = ()) -> list[Finding]:
    """Findings if a loss singles out pairs by the log-probabilities of the reference, or of the policy. `betas` are tested too.

    Raises CannotCompute.
    """
    rng = np.random.default_rng([seed, 7])
    search = _Search(evaluator, rng, describe)
    drawn = float(np.exp(rng.uniform(np.log(0.01), np.log(1.5))))
    if (cases := search.cases(drawn)) > _MOST_CASES:
        return [_too_many(cases)]
    if not search.anything(drawn):
        return []
    further = _CURVED_BETAS if evaluator.pointwise else _CURVED_BETAS[:1]
    return search.straight((drawn, *betas, *BETAS)) or search.curved((*further, drawn, *betas[:2]))


class _Search:
    """The search for look-ups in one loss."""

    def __init__(self, evaluator: Evaluator, rng: np.random.Generator, describe: Describe) -> None:
        self.evaluator, self.graph, self.rng, self.describe = evaluator, evaluator.graph, rng, describe
        self.sites = sites(self.graph)
        self.decisive = _decisive(self.graph)
        self._forms: dict[float, Forms] = {}
        self._keyed_sites: dict[Forms, list[Site]] = {}
        self._troubles: dict[Forms, str] = {}
        self._found_degrees: dict[tuple[bool, ...], int] = {}

    def forms(self, beta: float) -> Forms:
        """The forms of the loss's values at this beta."""
        if beta not in self._forms:
            self._forms[beta] = forms_of(self.graph, beta, next(iter(self._forms.values()), None))
        return self._forms[beta]

    def cases(self, beta: float) -> int:
        """The number of combinations of cases that are compared with each other, such as the pieces of a sum of kinks."""
        forms = self.forms(beta)
        return sum(map(forms.cases, self.sites))

    def anything(self, beta: float) -> bool:
        """Whether an operation depends on a quantity that identifies pairs, or could hide that."""
        forms = self.forms(beta)
        conditions = any(s.kind in (Kind.BELOW, Kind.ABOVE, Kind.EQUALITY) for s in self.sites)
        hidden = conditions or self._ranked(forms) is not None or bool(self._arithmetic(forms))
        return hidden or bool(self._keyed(forms))

    def _ranked(self, forms: Forms) -> int | None:
        """The first node that sorts a quantity that identifies pairs together with other values; None if there is none."""
        found = ranked_among_values(self.graph)
        return next((i for i in found if forms.keyed(forms.values[self.graph.nodes[i].args[0]])), None)

    def _keyed(self, forms: Forms) -> list[Site]:
        """The sites whose quantity may change along shifts."""
        if forms not in self._keyed_sites:
            self._keyed_sites[forms] = [
                s for s in self.sites if forms.follows[s.left] or (s.right is not None and forms.follows[s.right])
            ]
        return self._keyed_sites[forms]

    def straight(self, betas: Sequence[float]) -> list[Finding]:
        """Findings that follow from the linear forms."""
        ranked = self._ranked(self.forms(betas[0]))
        edges: dict[float, list[Edge]] = {}
        for beta in betas:
            edges[beta] = self._edges(beta)
            if (most := count_edges(edges[beta])) > MOST_EDGES:
                return [_table(most)]
        if ranked is not None:
            how = f"{self.graph.nodes[ranked].op} sorts the batch's pairs together with fixed values"
            return [self._finding(how, {})]
        for beta in betas:
            forms = self.forms(beta)
            for site in self._keyed(forms):
                if _at_once(forms, site):
                    return [self._singled_out(site, _HOW[site.kind])]
                if self._extreme(forms, site):
                    return [self._singled_out(site, _EXTREME)]
        for beta in betas:
            near = narrowest(edges[beta], beta)
            if near is not None:
                return [self._window(near, beta)]
        for beta in betas:
            trouble = self._arithmetic(self.forms(beta))
            if trouble:
                return [
                    self._finding(f"a quantity that depends on the log-probabilities of single pairs {trouble}", {})
                ]
        return self._meeting(sorted(edges), edges) or self._narrow_margin(betas)

    def _narrow_margin(self, betas: Sequence[float]) -> list[Finding]:
        for beta in betas:
            for search, of in _NARROW:
                width = search(self.forms(beta), self.sites, beta)
                if width is not None:
                    what = "a single value" if width == 0 else f"an interval of {_width(width)}"
                    how = f"conditions single out {what} of {of}, at beta = {shown(beta)}"
                    return [self._finding(how, {"width": width, "beta": beta})]
        return []

    def _meeting(self, betas: Sequence[float], edges: Mapping[float, Sequence[Edge]]) -> list[Finding]:
        """A finding if edges enclose a window at a beta between two of these, where their order changes."""
        for low, high in pairwise(betas):
            for pair in islice(crossing(edges[low], edges[high]), _MOST_MEETING):
                beta = self._meet(low, high, pair)
                near = narrowest(self._edges(beta), beta)
                if near is not None:
                    return [self._window(near, beta)]
        return []

    def _meet(self, low: float, high: float, pair: tuple[Name, Name]) -> float:
        """The beta at which the order of two edges changes."""
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            if pair in set(crossing(self._edges(low), self._edges(middle))):
                high = middle
            else:
                low = middle
        return high

    def _extreme(self, forms: Forms, site: Site) -> bool:
        """Whether a site is a condition on the batch's extreme of a curved value."""
        alone = all(d.constant is not None for d in self.graph.types[site.left].dims)
        guards = site.right is not None and all(
            not v.varies and abs(v.constant) <= _GUARD for v in forms.values[site.right]
        )
        return alone and not guards and site.kind in EDGES and any(forms.bent(v) for v in forms.deciding(site))

    def _arithmetic(self, forms: Forms) -> str:
        """How sums and products alone can single out values, as the end of a sentence; "" if they cannot."""
        if forms not in self._troubles:
            # If there is none at another beta, values that do not depend on beta have none at this one.
            spared = "" in self._troubles.values()
            self._troubles[forms] = self._trouble(forms, forms.scaled if spared else [True] * len(forms.scaled))
        return self._troubles[forms]

    def _trouble(self, forms: Forms, looked_at: Sequence[bool]) -> str:
        """As `_arithmetic`, in the values of the nodes that are `looked_at`, and in the quantities of sites that read one."""
        own = (
            value
            for value, asked, changes, decides in zip(
                forms.values, looked_at, forms.changes, self.decisive, strict=True
            )
            if asked and changes and decides
        )
        deciding = (
            forms.deciding(site)
            for site in self._keyed(forms)
            if looked_at[site.left] or (site.right is not None and looked_at[site.right])
        )
        linear = [v for value in (*own, *deciding) for v in value if any(v.shift) or forms.bent(v)]
        if any(not v.finite for v in linear):
            return "overflows"
        if any(v.size == math.inf or v.size * 2.0**-24 > _RESOLUTION * max(map(abs, v.shift)) > 0 for v in linear):
            return "is rounded: a constant is added that is too large for float32"
        degree = self._degree(tuple(forms.follows))
        return f"is part of a polynomial of degree {degree}" if degree > _PLAIN_DEGREE else ""

    def _degree(self, follows: tuple[bool, ...]) -> int:
        """The largest degree of the loss's values as polynomials through the nodes that follow shifts."""
        if follows not in self._found_degrees:
            self._found_degrees[follows] = max(degrees(self.graph, follows))
        return self._found_degrees[follows]

    def _edges(self, beta: float) -> list[Edge]:
        forms = self.forms(beta)
        keyed = self._keyed(forms)
        return edges_of(forms, keyed, *self._offsets(forms, keyed, beta)) if keyed else []

    def _offsets(self, forms: Forms, keyed: Sequence[Site], beta: float) -> tuple[Mapping[int, float], Set[int]]:
        """The values at the start of training of the nodes in the sites' quantities, and those of these nodes whose values differ
        between batches."""
        nodes = sorted({n for s in keyed for v in forms.deciding(s) for n, _ in v.others if not forms.curved[n]})
        if not nodes:
            return {}, set()
        batches = [t.reshape(2, _ITEMS).copy() for t in starting_pairs(self.rng, 2 * _ITEMS).T]
        values = self.evaluator.inside(batches, [beta], nodes)
        means = [v.astype(float).reshape(2, -1).mean(axis=1) for v in values]
        moving = {n for n, m in zip(nodes, means, strict=True) if abs(m[0] - m[1]) > 1e-9 * abs(m[0])}
        return {n: float(m[0]) for n, m in zip(nodes, means, strict=True)}, moving

    def curved(self, betas: Sequence[float]) -> list[Finding]:
        """Findings of the search along lines."""
        forms = self.forms(betas[0])
        curved = [s for s in self._keyed(forms) if _is_curved(forms, s)]
        if not any(self._reads_beta(s) for s in curved):
            betas = betas[:1]
        for beta in betas if curved else ():
            found = self._along(self.forms(beta), curved, beta)
            if found:
                return found
        return []

    def _along(self, forms: Forms, curved: Sequence[Site], beta: float) -> list[Finding]:
        lines = Along(self.evaluator, forms, beta, self.rng)
        spots = lines.spots(curved, {s for s in curved if any(forms.bent(v) for v in forms.deciding(s))})
        if lines.count(spots) > MOST_EDGES:
            return [_table(lines.count(spots))]
        found = lines.crowded(spots) or lines.excursion(spots) or lines.rough()
        if found is None and _has_large_numbers(forms):
            found = lines.rough(torch.float32)
        return [self._found(found, beta)] if found is not None else []

    def _reads_beta(self, site: Site) -> bool:
        return self._depends[site.left] or (site.right is not None and self._depends[site.right])

    @cached_property
    def _depends(self) -> list[bool]:
        """For each node, whether it depends on beta."""
        found: list[bool] = []
        for node in self.graph.nodes:
            found.append(node.attrs.get("name") == "beta" or any(found[a] for a in node.args))
        return found

    # ---- findings ----------------------------------------------------------------------------------------------------

    def _finding(self, message: str, numbers: Mapping[str, Any]) -> Finding:
        return numeric_finding("SBX327", message, dict(numbers))

    def _singled_out(self, site: Site, how: str) -> Finding:
        operation = self.graph.nodes[site.node].op
        what = f"{operation} is applied to a quantity that depends on the log-probabilities of single pairs"
        return self._finding(f"{what}: {how}", {"operation": operation})

    def _window(self, near: Narrow, beta: float) -> Finding:
        inputs = np.array([near.chosen, near.rejected] * 2)
        where = f"around log-probabilities of {shown(near.chosen)} (chosen) and {shown(near.rejected)} (rejected)"
        message = f"{near.what} enclose a window of {_width(near.width)} {where}, which hardly any pair meets"
        return self._finding(message, {"width": near.width, **self.describe(_points(inputs[None], beta), 0)})

    def _found(self, found: Found, beta: float) -> Finding:
        example = self.describe(_points(found.inputs[None], beta), 0)
        chosen, rejected = (shown(example[f"reference_{side}_logps"]) for side in ("chosen", "rejected"))
        place = f"reference log-probabilities of {chosen} (chosen) and {rejected} (rejected)"
        numbers = {"width": found.width, "inside": found.inside, "beside": found.beside}
        match found.what:
            case "rough":
                message = (
                    f"a value inside the loss goes back and forth as the reference changes, for example at {place}"
                )
            case "edges":
                message = (
                    f"two conditions enclose a window of {_width(found.width)} at {place}, which hardly any pair meets"
                )
                numbers = {"width": found.width}
            case _:
                message = (
                    f"a value inside the loss, or its gradient, is {shown(found.inside)} in a window of "
                    f"{_width(found.width)} at {place}, and {shown(found.beside)} outside it"
                )
        return self._finding(message, {**numbers, **example})


def _at_once(forms: Forms, site: Site) -> bool:
    value = forms.deciding(site)
    if site.kind is Kind.FINITENESS:
        return any(not v.finite or forms.bent(v) for v in value)
    return site.kind in AT_ONCE and forms.keyed(value)


def _is_curved(forms: Forms, site: Site) -> bool:
    """Whether the site must be tested along lines: its quantity is not linear, or it is a pole or a steep step."""
    value = forms.deciding(site)
    if any(forms.bent(v) or not v.finite for v in value):
        return True
    steep = site.kind is Kind.STEEP and any(is_edge(site, max(map(abs, v.shift))) for v in value)
    return steep or (site.kind is Kind.POLE and forms.keyed(value))


def _has_large_numbers(forms: Forms) -> bool:
    return any(abs(v.constant) > _LARGE for value in forms.values for v in value)


def _decisive(graph: VerifiedGraph) -> list[bool]:
    """For each node, whether anything but sums on the way to the loss reads it: what a sum rounds there changes no gradient."""
    found = [False] * len(graph.nodes)
    for i in reversed(range(len(graph.nodes))):
        node = graph.nodes[i]
        scales = node.op == "mul" and any(graph.types[a].is_number for a in node.args)
        adds = node.op in _SUMS or scales
        for a in node.args:
            found[a] = found[a] or found[i] or not adds
    return found


def _table(count: int) -> Finding:
    message = (
        f"the loss changes at {count} places along the log-probability of one completion, policy and reference together; a "
        f"formula has at most {MOST_EDGES}"
    )
    return numeric_finding("SBX332", message, {"places": count})


def _too_many(count: int) -> Finding:
    message = f"conditions compare {count:,} cases of values, as sums of relu have; at most {_MOST_CASES:,} are tested"
    return numeric_finding("SBX332", message, {"cases": count})


def _width(width: float) -> str:
    return f"{shown(float(f'{width:.2g}'))} nats" if width >= 1e-4 else "less than 0.0001 nats"


def _points(inputs: Array, beta: float) -> Points:
    return Points(tuple(inputs.T.copy()), np.full((1, len(inputs)), beta), (len(inputs),))
