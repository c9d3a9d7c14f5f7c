"""Search for the betas at which a loss may change abruptly, in its arithmetic on beta (torch).

Random betas miss `exp(-1e4 (beta - 0.3)^2)`. But a value that depends on beta alone is a function of one number, and is computed
here over the betas that people train with. The loss is tested where such a value, or a condition on it, changes sign or has an
extremum.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Final

import numpy as np
import torch
from torch import Tensor

from sandbox.contracts.contract import contract_named
from sandbox.execute.evaluate import FAILURES, Array, CannotCompute, Evaluator
from sandbox.execute.interpreter import Context, tensor_kernel
from sandbox.graph.loss_graph import VerifiedGraph
from sandbox.graph.nodes import Node
from sandbox.graph.operations import OPERATIONS
from sandbox.numeric.edges.inside import Inside, Values
from sandbox.numeric.edges.lookup.forms import reads_scalar
from sandbox.numeric.edges.sites import Site, sites
from sandbox.numeric.measure.inputs import margin_points

LOWEST, HIGHEST = 0.003, 4.5
MOST: Final = 6
_STEPS: Final = 257
_ROUNDS: Final = 5
_NEAR: Final = 1.2
"""If two edges are closer than this factor, a beta between them is tested too."""
_CARRY: Final = frozenset(
    {"tensor", "cast", "detach", "full", "full_like", "expand", "reshape", "unsqueeze", "squeeze", "transpose", "mean"}
)
"""Operations whose result is the same number in another shape or type."""


def beta_edges(evaluator: Evaluator) -> tuple[float, ...]:
    """Betas from LOWEST to HIGHEST at which a value computed from beta alone changes sign or has an extremum, about MOST at most.
    Empty for a loss that only multiplies by beta."""
    graph = evaluator.graph
    alone = _alone(graph)
    watched = _watched(graph, alone)
    found = _spread_out(evaluator, alone)
    if not watched and not found:
        return ()
    grid = np.geomspace(LOWEST, HIGHEST, _STEPS)
    for value in _curves(graph, alone, watched, grid):
        for low, high in _turns(grid, value[1]):
            found.append(_zoomed(graph, alone, value[0], low, high))
    distinct = list(dict.fromkeys(_rounded(beta) for beta in found))[:MOST]
    between = [_rounded(math.sqrt(a * b)) for a, b in pairwise(sorted(distinct)) if b < _NEAR * a]
    return tuple(dict.fromkeys([*distinct, *between]))


def _spread_out(evaluator: Evaluator, alone: Sequence[bool]) -> list[float]:
    """Betas at which a condition changes that reads beta through a tensor, such as `beta + 0 * x`: its quantity is about the same
    for all pairs."""
    reads_beta = reads_scalar(evaluator.graph)
    read = {s: [n for n in (s.left, s.right) if n is not None] for s in sites(evaluator.graph) if s.axis is None}
    watched = [s for s, nodes in read.items() if not alone[s.left] and any(reads_beta[n] for n in nodes)]
    if not watched:
        return []
    inside = Inside(evaluator, [n for s in watched for n in read[s]])
    bounds = zip(watched, _quantities(inside, watched, _FIRST_LOOK), strict=True)
    watched = [site for site, (low, high) in bounds if _is_number(low, high)]
    grid = np.geomspace(LOWEST, HIGHEST, _FEW_STEPS)
    found: list[float] = []
    for site, (low, high) in zip(watched, _quantities(inside, watched, grid) if watched else (), strict=True):
        for first, last in _turns(grid, (low + high) / 2) if _is_number(low, high) else ():
            for _ in range(_ROUNDS):
                inner = np.linspace(first, last, 9)
                ((low, high),) = _quantities(inside, [site], inner)
                first, last = next(
                    iter(_turns(inner, (low + high) / 2)), (first + (last - first) / 4, last - (last - first) / 4)
                )
            found.append((first + last) / 2)
    return found[:MOST]


_FIRST_LOOK: Final = np.array([0.01, 0.1, 1.0])
_FEW_STEPS: Final = 65
_ALIKE: Final = 1e-3
"""A quantity is the same for all pairs if it differs between them by less than this share of its change with beta."""


def _is_number(low: Array, high: Array) -> bool:
    """Whether a quantity between these bounds is about the same for all pairs, at the betas where it is finite."""
    seen = np.isfinite(low) & np.isfinite(high)
    return bool(seen.any() and (high - low)[seen].max() <= _ALIKE * np.ptp((low + high)[seen] / 2))


def _quantities(inside: Inside, watched: Sequence[Site], betas: Array) -> Array:
    """The least and the largest value of each site's quantity at each beta, (sites, 2, betas), over two batches, since a statistic
    of the batch differs between them. NaN where it cannot be computed."""
    found = np.full((len(watched), 2, len(betas)), np.nan)
    for at, beta in enumerate(betas.tolist()):
        try:
            batches = [values for inputs in _batches(beta) for _, values in inside(inputs, beta)]
        except CannotCompute:
            continue
        for bounds, site in zip(found, watched, strict=True):
            values = np.concatenate([_quantity(site, batch).ravel() for batch in batches])
            bounds[:, at] = values.min(), values.max()
    return found


def _quantity(site: Site, values: Values) -> Array:
    right = values[site.right].astype(float) if site.right is not None else 0.0
    with np.errstate(all="ignore"):
        return np.asarray(values[site.left].astype(float) - right - site.offset)


@lru_cache(maxsize=8)
def _batches(beta: float) -> tuple[Array, Array]:
    """Two batches of pairs, (3, 4) each."""
    points = margin_points(_RATIOS[0], _RATIOS[1], _LEVELS, beta)
    inputs = np.stack(points.tensors, axis=1)
    return inputs[:3], inputs[3:]


_RATIOS: Final = np.array([[3.0, -2.0, 8.0, -5.0, 0.5, 12.0], [-1.0, 4.0, 2.0, -7.0, 6.0, -9.0]])
_LEVELS: Final = np.array([[20.0, 70.0, 40.0, 110.0, 35.0, 80.0], [90.0, 30.0, 60.0, 50.0, 25.0, 130.0]])
"""Log-ratios and levels of these pairs, nats, as `margin_points` takes them."""


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
