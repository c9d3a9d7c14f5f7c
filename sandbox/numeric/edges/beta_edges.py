"""Search for the betas at which a loss may change abruptly, in its arithmetic on beta (torch).

Random betas miss `exp(-1e4 (beta - 0.3)^2)`. But a value that depends on beta alone is a function of one number, and is computed
here over the betas that people train with. The loss is tested where such a value, or a condition on it, changes sign or has an
extremum.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Final

import numpy as np
import torch
from torch import Tensor

from sandbox.contracts.contract import contract_named
from sandbox.execute.evaluate import FAILURES, Array
from sandbox.execute.interpreter import Context, tensor_kernel
from sandbox.graph.loss_graph import VerifiedGraph
from sandbox.graph.nodes import Node
from sandbox.graph.operations import OPERATIONS
from sandbox.numeric.edges.lookup.forms import Forms, forms_of
from sandbox.numeric.edges.sites import Site, sites

LOWEST, HIGHEST = 0.003, 3.0
MOST: Final = 6
_STEPS: Final = 257
_ROUNDS: Final = 5
_NEAR: Final = 1.2
"""If two edges are closer than this factor, a beta between them is tested too."""
_CARRY: Final = frozenset(
    {"tensor", "cast", "detach", "full", "full_like", "expand", "reshape", "unsqueeze", "squeeze", "transpose", "mean"}
)
"""Operations whose result is the same number in another shape or type."""


def beta_edges(graph: VerifiedGraph) -> tuple[float, ...]:
    """Betas from LOWEST to HIGHEST at which a value computed from beta alone changes sign or has an extremum, about MOST at most.
    Empty for a loss that only multiplies by beta."""
    alone = _alone(graph)
    watched = _watched(graph, alone)
    found: list[float] = _spread_out(graph, alone)
    if not watched and not found:
        return ()
    grid = np.geomspace(LOWEST, HIGHEST, _STEPS)
    for value in _curves(graph, alone, watched, grid):
        for low, high in _turns(grid, value[1]):
            found.append(_zoomed(graph, alone, value[0], low, high))
    distinct = list(dict.fromkeys(_rounded(beta) for beta in found))[:MOST]
    between = [_rounded(math.sqrt(a * b)) for a, b in pairwise(sorted(distinct)) if b < _NEAR * a]
    return tuple(dict.fromkeys([*distinct, *between]))


def _spread_out(graph: VerifiedGraph, alone: Sequence[bool]) -> list[float]:
    """Betas at which the outcome of a condition changes that reads beta as a tensor, such as `beta + 0 * x`."""
    if not any(n.op in ("full", "full_like", "expand") for n in graph.nodes) and not any(
        n.op == "const" and n.attrs["value"] == 0 for n in graph.nodes
    ):
        return []
    ends = [forms_of(graph, beta) for beta in (LOWEST, HIGHEST)]
    hidden = [
        site
        for site in sites(graph)
        if not alone[site.left]
        and all(_is_number(f, site) for f in ends)
        and len({f.deciding(site)[0] for f in ends}) > 1
    ]
    if not hidden:
        return []
    grid = np.geomspace(LOWEST, HIGHEST, _FEW_STEPS)
    found: list[float] = []
    curves = np.array([[f.deciding(s)[0].constant for s in hidden] for f in (forms_of(graph, float(b)) for b in grid)])
    for i, site in enumerate(hidden):
        for low, high in _turns(grid, curves[:, i]):
            for _ in range(_ROUNDS):
                inner = np.linspace(low, high, 9)
                values = np.array([forms_of(graph, float(b)).deciding(site)[0].constant for b in inner])
                low, high = next(iter(_turns(inner, values)), (low + (high - low) / 4, high - (high - low) / 4))
            found.append((low + high) / 2)
    return found[:MOST]


_FEW_STEPS: Final = 65


def _is_number(forms: Forms, site: Site) -> bool:
    return all(not v.others and not any(v.log_probs) for v in forms.deciding(site))


def _rounded(beta: float) -> float:
    """The round number very close to beta, if there is one, since authors write conditions with round numbers."""
    short = float(f"{beta:.3g}")
    return short if abs(short - beta) < 1e-6 * beta else beta


_Watch = tuple[int, int | None, float]
"""A quantity followed over the betas: one node, minus another one or None, minus an offset."""


def _alone(graph: VerifiedGraph) -> list[bool]:
    """For each node, whether it depends on scalar arguments alone."""
    scalars = {a.name for a in contract_named(graph.contract).scalars}
    alone: list[bool] = []
    for node in graph.nodes:
        if node.op == "input":
            alone.append(node.attrs["name"] in scalars)
        else:
            usable = OPERATIONS[node.op].rule == "elementwise" or node.op in _CARRY
            args = node.args[-1:] if node.op == "full_like" else node.args
            constant = [graph.nodes[a].op == "const" or alone[a] for a in args]
            alone.append(node.op != "const" and usable and all(constant) and any(alone[a] for a in args))
    return alone


def _watched(graph: VerifiedGraph, alone: list[bool]) -> list[_Watch]:
    """The values computed from beta that other nodes read, and the quantities that decide in operations on beta."""
    used = {a for i, n in enumerate(graph.nodes) if not alone[i] for a in n.args if alone[a]}
    ends: list[_Watch] = [(i, None, 0.0) for i in sorted(used) if graph.nodes[i].op not in ("input", "tensor")]
    for site in sites(graph):
        both = [n for n in (site.left, site.right) if n is not None]
        if any(alone[n] for n in both) and all(alone[n] or graph.nodes[n].op == "const" for n in both):
            ends.append((site.left, site.right, site.offset))
    return ends


def _curves(
    graph: VerifiedGraph, alone: list[bool], watched: list[_Watch], betas: Array
) -> Iterator[tuple[_Watch, Array]]:
    values = _values(graph, alone, betas)
    for watch in watched:
        left, right, offset = watch
        if left in values and (right is None or right in values):
            with np.errstate(all="ignore"):
                yield watch, np.asarray(values[left] - (values[right] if right is not None else 0.0) - offset)


def _values(graph: VerifiedGraph, alone: list[bool], betas: Array) -> Mapping[int, Array]:
    """The values at all betas of the nodes that depend on beta alone, and of constants."""
    context = Context(torch.float64, torch.device("cpu"), {})
    found: dict[int, Tensor] = {}
    for i, node in enumerate(graph.nodes):
        if node.op == "const":
            found[i] = torch.full((len(betas),), float(node.attrs["value"]), dtype=torch.float64)
        elif node.op == "input" and alone[i]:
            found[i] = torch.from_numpy(betas.copy())
        elif alone[i] and all(a in found for a in node.args[-1:] if node.op in _CARRY):
            if node.op in _CARRY:
                found[i] = found[node.args[-1 if node.op == "full_like" else 0]]
                continue
            try:
                found[i] = _computed(context, node, [found[a] for a in node.args])
            except (*FAILURES, KeyError):
                continue
    return {i: v.numpy() for i, v in found.items()}


def _computed(context: Context, node: Node, args: list[Tensor]) -> Tensor:
    if node.op == "where":
        return torch.where(args[0] != 0, args[1], args[2])
    value: Tensor = tensor_kernel(node.op)(context, node.attrs, *args)
    return value.to(torch.float64)


def _turns(grid: Array, value: Array) -> list[tuple[float, float]]:
    """Intervals in which a curve changes sign or has an extremum."""
    value = np.where(np.isfinite(value), value, np.nan)
    with np.errstate(invalid="ignore"):
        step = np.sign(np.diff(value))
        noise = np.abs(np.diff(value)) <= 1e-12 * np.nanmax(np.abs(value), initial=0.0)
    step[noise] = 0.0
    changes = np.flatnonzero((value[:-1] <= 0) != (value[1:] <= 0))
    turns = np.flatnonzero(step[:-1] * step[1:] < 0)
    broken = np.flatnonzero(np.isnan(value[:-1]) != np.isnan(value[1:]))
    # Extrema first: a curve that is below zero in a very short interval has an extremum there.
    stretches = [(i, i + 2) for i in turns] + [(i, i + 1) for i in (*changes, *broken)]
    return [(float(grid[a]), float(grid[b])) for a, b in stretches][:MOST]


def _zoomed(graph: VerifiedGraph, alone: list[bool], watch: _Watch, low: float, high: float) -> float:
    """The beta in this interval at which the quantity changes sign or has its extremum."""
    for _ in range(_ROUNDS):
        grid = np.linspace(low, high, 33)
        ((_, value),) = _curves(graph, alone, [watch], grid)
        inner = _turns(grid, value)
        low, high = inner[0] if inner else (low + (high - low) / 4, high - (high - low) / 4)
    return (low + high) / 2
