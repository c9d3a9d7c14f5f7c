"""Repair operator: a refused loss, changed according to its findings."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from random import Random

from evo.proposing.genetic.builder import Builder, Value, log_uniform, uniform
from evo.proposing.genetic.grammars.grammar import grammar_of
from evo.proposing.genetic.proposal import NO_HINTS, GeneticProposal, Hints, Parent, named, stem
from evo.proposing.genetic.shapes import UNBOUNDED, choose
from evo.proposing.genetic.structure import Anatomy, edited, with_inputs
from sandbox.graph.loss_graph import VerifiedGraph
from sandbox.graph.nodes import GraphError, Node

Mend = Callable[[Random, VerifiedGraph], tuple[VerifiedGraph, str] | None]
"""Returns the repaired graph and a description of the change; None if the repair does not apply."""

Guard = Callable[[Sequence[Value], Node], Value | None]
"""Returns a safe form of an operation on its operands; None if the operation is safe already."""

_EPSILON = 1e-6
_LARGE = 8.0
"""Argument above which an exponential is replaced by its tangent; exp(8) is about 3000."""


def repair(rng: Random, contract: str, parents: Sequence[Parent], hints: Hints = NO_HINTS) -> GeneticProposal:
    """The first of `parents`, with a repair for each of the findings that refused it.

    If no repair applies, the loss is mixed with one that is known to train.
    """
    refused, done = parents[0], []
    graph = refused.graph
    for rule in sorted(set(hints.rules)):
        for cure in _CURES.get(rule, ()):
            mended = _attempt(cure, rng, graph)
            if mended is not None:
                graph = mended[0]
                done.append(mended[1])
                break
    if not done or not Anatomy(graph).pulled:
        graph, words = _attempt(_shared, rng, graph) or _replaced(rng, graph)
        done.append(words)
    return GeneticProposal(
        graph,
        named(stem(refused.name), "mended"),
        f"Repaired {refused.name}: {' and '.join(dict.fromkeys(done))}.",
    )


def _attempt(mend: Mend, rng: Random, graph: VerifiedGraph) -> tuple[VerifiedGraph, str] | None:
    try:
        mended = mend(rng, graph)
    except GraphError:
        return None
    return mended if mended is not None and mended[0].nodes != graph.nodes else None


def _guarded(rng: Random, graph: VerifiedGraph) -> tuple[VerifiedGraph, str] | None:
    """Replace every operation that can overflow or leave its domain by a safe form."""
    found = _rewritten(graph, _GUARDS)
    return found and (found[0], f"kept {found[1]} within range")


def _blunted(rng: Random, graph: VerifiedGraph) -> tuple[VerifiedGraph, str] | None:
    """Replace every operation that is steep near zero by a flatter form."""
    found = _rewritten(graph, _BLUNT)
    return found and (found[0], f"made {found[1]} less steep near zero")


def _rewritten(graph: VerifiedGraph, guards: Mapping[str, Guard]) -> tuple[VerifiedGraph, str] | None:
    """The graph with the guarded operations replaced, and their names."""
    builder = Builder(graph.contract)
    tensors = [not kind.is_number for kind in graph.types]
    values: list[Value] = []
    touched: list[str] = []
    for i, node in enumerate(graph.nodes):
        operands = [values[a] for a in node.args]
        guard = guards.get(node.op)
        made = guard(operands, node) if guard and tensors[i] else None
        if made is None:
            made = builder.append(Node(node.op, tuple(o.index for o in operands), node.attrs))
        elif node.op not in touched:
            touched.append(node.op)
        values.append(made)
    if not touched:
        return None
    return builder.finish(values[graph.output]), ", ".join(touched)


def _tangent(operands: Sequence[Value], node: Node) -> Value | None:
    y = operands[0]
    if y.op in ("clamp_max", "hardtanh"):
        return None
    rate = math.log(2.0) if node.op == "exp2" else 1.0
    low = y.at_most(_LARGE / rate)
    return low.apply(node.op) + rate * math.exp(_LARGE) * (y - _LARGE / rate).relu()


def _within(low: float, high: float) -> Guard:
    def guard(operands: Sequence[Value], node: Node) -> Value | None:
        if operands[0].op == "hardtanh":
            return None
        return operands[0].apply("hardtanh", min_val=low, max_val=high).apply(node.op, **node.attrs)

    return guard


def _above(low: float) -> Guard:
    def guard(operands: Sequence[Value], node: Node) -> Value | None:
        # Not a clamp, whose slope is zero below: a margin may lie there while training starts.
        return None if operands[0].op == "clamp_min" else ((operands[0] - low).softplus() + low).apply(node.op)

    return guard


def _quotient(operands: Sequence[Value], node: Node) -> Value | None:
    above, below = operands
    if below.builder.type_of(below).is_number or below.op in ("clamp_min", "add"):
        return None
    return above * below / (below.square() + _EPSILON)


def _power(operands: Sequence[Value], node: Node) -> Value | None:
    base, exponent = operands
    if base.builder.type_of(base).is_number or base.op == "clamp_max":
        return None
    return base.apply("abs").at_least(_EPSILON).at_most(100.0).apply("pow", exponent)


def _deviation(operands: Sequence[Value], node: Node) -> Value:
    variance = operands[0].apply("var", **{**node.attrs, "correction": 0})
    return variance if node.op == "var" else (variance + _EPSILON).apply("sqrt")


def _length(operands: Sequence[Value], node: Node) -> Value:
    axes = {k: node.attrs[k] for k in ("dim", "keepdim")}
    return (operands[0].square().apply("sum", **axes) + _EPSILON).apply("sqrt")


_GUARDS: Mapping[str, Guard] = {
    **dict.fromkeys(("exp", "expm1", "exp2"), _tangent),
    **dict.fromkeys(("sinh", "cosh"), _within(-_LARGE, _LARGE)),
    **dict.fromkeys(("log", "log2", "log10", "sqrt", "rsqrt"), _above(_EPSILON)),
    "log1p": _above(_EPSILON - 1.0),
    "logit": _within(0.01, 0.99),
    "tan": _within(-1.5, 1.5),
    "reciprocal": lambda operands, node: operands[0] / (operands[0].square() + _EPSILON),
    "div": _quotient,
    "pow": _power,
    **dict.fromkeys(("var", "std"), _deviation),
    "norm": _length,
}
"""How each operation that can overflow, divide by nothing or lose its gradient is written so that it cannot."""


def _blunt_quotient(operands: Sequence[Value], node: Node) -> Value | None:
    above, below = operands
    return None if below.builder.type_of(below).is_number else above * below / (below.square() + 1.0)


def _at_least_one(operands: Sequence[Value], node: Node) -> Value:
    return (operands[0].apply("abs") + 1.0).apply(node.op)


_BLUNT: Mapping[str, Guard] = {
    "div": _blunt_quotient,
    "reciprocal": lambda operands, node: operands[0] / (operands[0].square() + 1.0),
    **dict.fromkeys(("log", "log2", "log10", "sqrt", "rsqrt"), _at_least_one),
}


def _shared(rng: Random, graph: VerifiedGraph) -> tuple[VerifiedGraph, str] | None:
    """Mix in a loss with a gradient on every item: the repair for a missing gradient."""
    grammar, builder = grammar_of(graph.contract), Builder(graph.contract)
    piece = choose(rng, UNBOUNDED)(rng, grammar.margin(builder))
    loss = builder.graft(graph)[graph.output]
    k = log_uniform(rng, 0.2, 1.0)
    return builder.finish(loss + k * piece.value), f"added {k:g} of [{piece.words}] so that every item has a gradient"


def _replaced(rng: Random, graph: VerifiedGraph) -> tuple[VerifiedGraph, str]:
    """Replace the whole loss, if it is too large for any addition."""
    grammar, builder = grammar_of(graph.contract), Builder(graph.contract)
    piece = choose(rng, UNBOUNDED)(rng, grammar.margin(builder))
    return builder.finish(piece.value), f"replaced it by [{piece.words}]"


def _attached(rng: Random, graph: VerifiedGraph) -> tuple[VerifiedGraph, str] | None:
    """Remove all gradient stops."""
    builder = Builder(graph.contract)
    values: list[Value] = []
    for node in graph.nodes:
        operands = [values[a] for a in node.args]
        stops = node.op == "detach"
        values.append(
            operands[0] if stops else builder.append(Node(node.op, tuple(o.index for o in operands), node.attrs))
        )
    if not any(n.op == "detach" for n in graph.nodes):
        return None
    return builder.finish(values[graph.output]), "let the gradient through where it was stopped"


def _turned(rng: Random, graph: VerifiedGraph) -> tuple[VerifiedGraph, str] | None:
    """Reverse the preference: exchange chosen and rejected."""
    grammar, builder = grammar_of(graph.contract), Builder(graph.contract)
    if grammar.reversed_inputs is None:
        return None
    output = with_inputs(builder, graph, grammar.reversed_inputs(builder))
    return builder.finish(output), "turned it round, since it pushed the wrong way"


def _opposed(rng: Random, graph: VerifiedGraph) -> tuple[VerifiedGraph, str] | None:
    """Mix the loss with a larger share of one that prefers the chosen answer."""
    grammar, builder = grammar_of(graph.contract), Builder(graph.contract)
    loss = builder.graft(graph)[graph.output]
    w = uniform(rng, 0.05, 0.3)
    piece = choose(rng, UNBOUNDED)(rng, grammar.margin(builder))
    words = f"kept {w:g} of it beside [{piece.words}], which distinguishes the two completions"
    return builder.finish(w * loss + piece.value), words


def _orderless(rng: Random, graph: VerifiedGraph) -> tuple[VerifiedGraph, str] | None:
    """Remove operations that depend on an item's position in the batch."""
    builder = Builder(graph.contract)
    values: list[Value] = []
    touched: list[str] = []
    for node in graph.nodes:
        operands = [values[a] for a in node.args]
        if node.op in ("cumsum", "logcumsumexp", "sort", "flip", "roll"):
            touched.append(node.op)
            values.append(operands[0])
        elif node.op == "select" and node.attrs["dim"] == 0:
            touched.append(node.op)
            values.append(operands[0].apply("mean", dim=0))
        else:
            values.append(builder.append(Node(node.op, tuple(o.index for o in operands), node.attrs)))
    if not touched:
        return None
    return builder.finish(
        values[graph.output]
    ), f"removed {', '.join(sorted(set(touched)))}, which depend on the order of the batch"


def _rounded(rng: Random, graph: VerifiedGraph) -> tuple[VerifiedGraph, str] | None:
    """Separate division and rounding, since torch has no derivative of the combined operation."""
    builder = Builder(graph.contract)
    values: list[Value] = []
    for node, kind in zip(graph.nodes, graph.types, strict=True):
        operands = [values[a] for a in node.args]
        if node.op == "floordiv" and not kind.is_number:
            values.append((operands[0] / operands[1]).apply("floor"))
        else:
            values.append(builder.append(Node(node.op, tuple(o.index for o in operands), node.attrs)))
    return builder.finish(values[graph.output]), "rounded down what was divided"


def _softened(rng: Random, graph: VerifiedGraph) -> tuple[VerifiedGraph, str] | None:
    """Make margins grow more slowly, if no single operation causes the growth of the loss."""
    anatomy = Anatomy(graph)
    uses = [use for i in anatomy.margins for use in anatomy.uses[i]]
    if not uses:
        return None
    s = log_uniform(rng, 2.0, 8.0)
    graph = edited(graph, dict.fromkeys(uses, lambda value: s * (value / s).apply("asinh")))
    return graph, f"made the margin grow as {s:g} asinh(x / {s:g}) does"


_NUMERIC = (_guarded, _softened)
_CURES: Mapping[str, tuple[Mend, ...]] = {
    "SBX301": (_rounded, _orderless, _guarded),
    "SBX304": _NUMERIC,
    "SBX305": _NUMERIC,
    "SBX306": (_attached, _shared),
    "SBX307": (_attached, _shared),
    "SBX308": (_attached, _shared),
    "SBX309": (_opposed,),
    "SBX310": (_turned, _opposed),
    "SBX311": (_orderless,),
    "SBX312": (_shared,),
    "SBX313": (_blunted, *_NUMERIC),
    "SBX329": (_shared,),
}
"""Repairs to try for each rule of the sandbox, the most likely one first."""
