"""Refine operator: a loss with one change."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from random import Random

from evo.proposing.genetic.builder import Builder, Value, log_uniform, rounded, uniform
from evo.proposing.genetic.explore import explore
from evo.proposing.genetic.grammars.grammar import grammar_of
from evo.proposing.genetic.proposal import GeneticProposal, Parent, named, stem
from evo.proposing.genetic.structure import (
    Anatomy,
    Use,
    edited,
    exchanged,
    replaced_by_operand,
    size_with_operand,
    with_inputs,
)
from evo.proposing.genetic.turn import GATES, opposite, turned
from sandbox.graph.loss_graph import VerifiedGraph, verify
from sandbox.graph.nodes import GraphError, Node
from sandbox.graph.operations import OPERATIONS, relatives

Change = tuple[VerifiedGraph, str, str]
"""The changed graph, what was done in words with its numbers, and a tag for the name."""
Mutation = Callable[[Random, VerifiedGraph], Change | None]

_OPPOSITE = 0.9
"""How often the opposite of a weight that did harm is tried, where there is one."""

LARGE = 90
"""Number of operations above which a loss is simplified first; published losses have 5 to 35. A lower limit makes a search cheaper,
and seems to make its leader worse on the default world (docs/notes/search-parts.md)."""

_TUNABLE = {(o.name, attr): span for o in OPERATIONS.values() for attr, span in o.genetic.tunable.items()}
"""Attributes that are numbers of the loss, and the range a refinement keeps them in."""

_RELATIVES = relatives(OPERATIONS)
"""Groups of operations that can replace each other."""


def refine(rng: Random, contract: str, parents: Sequence[Parent], rules: Collection[str] = ()) -> GeneticProposal:
    """The first of `parents` with one change: a number, an operation, a temperature, a margin, a smoothing, a small extra term, a
    weight per item, or where its gradient stops. If a weight made an earlier child worse, perhaps the opposite weight. If no change
    applies, a new loss."""
    parent = parents[0]
    if rng.random() < _OPPOSITE and (proposal := opposite(rng, parent)):
        return proposal
    first = [_simplify] if parent.graph.operations > LARGE else []
    for mutation in first + _order(rng, contract):
        change = _attempt(mutation, rng, parent.graph)
        if change is not None:
            graph, words, tag = change
            return GeneticProposal(graph, named(stem(parent.name), tag), f"From {parent.name}: {words}.")
    # A grammar without terms and weights offers no change of a loss without constants.
    return explore(rng, contract, parents)


def _order(rng: Random, contract: str) -> list[Mutation]:
    """All mutations in random order: a weighted draw without replacement."""
    more: dict[Mutation, float] = {_weight: grammar_of(contract).weighing}
    chances = {mutation: rng.random() ** (1.0 / (weight * more.get(mutation, 1.0))) for weight, mutation in _MUTATIONS}
    return sorted(chances, key=lambda mutation: -chances[mutation])


def _attempt(mutation: Mutation, rng: Random, graph: VerifiedGraph) -> Change | None:
    """The result of `mutation`; None if it does not apply, changes nothing or removes the gradient."""
    try:
        change = mutation(rng, graph)
    except GraphError:
        return None
    if change is None or change[0].nodes == graph.nodes or not Anatomy(change[0]).pulled >= Anatomy(graph).pulled:
        return None
    return change


def _constant(rng: Random, graph: VerifiedGraph) -> Change | None:
    uses = tunable_uses(graph)
    if not uses:
        return None
    use = rng.choice(uses)
    old = constant_at(graph, use)
    new = _near(rng, old)
    reader = graph.nodes[use.node].op
    words = f"changed the constant {old:g} of the operation {reader} to {new:g}"
    return edited(graph, {use: lambda value: value.builder.const(new)}), words, "tuned"


def tunable_uses(graph: VerifiedGraph) -> list[Use]:
    """The uses of constants that matter: not those that only scale or shift the whole loss, and no exponents."""
    outer = spine(graph)
    return [
        use
        for i, readers in Anatomy(graph).uses.items()
        if _is_tunable(graph, i)
        for use in readers
        if use.node not in outer and not _is_complement(graph, use) and not _is_exponent(graph, use)
    ]


def constant_at(graph: VerifiedGraph, use: Use) -> float:
    """The constant that is used there."""
    return float(graph.nodes[graph.nodes[use.node].args[use.position]].attrs["value"])


def _is_tunable(graph: VerifiedGraph, index: int) -> bool:
    node = graph.nodes[index]
    if node.op != "const" or isinstance(node.attrs["value"], bool):
        return False
    return 1e-3 <= abs(node.attrs["value"]) <= 50 and float(node.attrs["value"]) != -1.0


def spine(graph: VerifiedGraph) -> set[int]:
    """Nodes that only scale the whole loss by a number or add a number: with Adam, training is the same without them."""
    found, at = set(), graph.output
    while (node := graph.nodes[at]).op in ("mul", "div", "neg", "add", "sub"):
        rest = [a for a in node.args if not graph.types[a].is_number]
        if len(rest) != 1:
            break
        found.add(at)
        at = rest[0]
    return found


def _is_complement(graph: VerifiedGraph, use: Use) -> bool:
    """Whether the operand is the 1 of 1 - gate: with another number the expression would be no mixture."""
    reader = graph.nodes[use.node]
    if reader.op != "sub" or use.position != 0 or graph.nodes[reader.args[0]].attrs.get("value") != 1:
        return False
    gate = graph.nodes[reader.args[1]]
    while gate.op == "detach":
        gate = graph.nodes[gate.args[0]]
    return gate.op in ("sigmoid", "exp", "hardsigmoid")


def _is_exponent(graph: VerifiedGraph, use: Use) -> bool:
    """Whether the operand is an exponent: a fractional power of a negative value is NaN."""
    return graph.nodes[use.node].op == "pow" and use.position == 1


def _near(rng: Random, old: float) -> float:
    """Another number of the same sign, 1.2 to 2.2 times as large or as small: smaller changes cannot be told from noise."""
    factor = log_uniform(rng, 1.2, 2.2)
    return rounded(old * factor if rng.random() < 0.5 else old / factor)


def _attribute(rng: Random, graph: VerifiedGraph) -> Change | None:
    found = [
        (i, name, span) for i, node in enumerate(graph.nodes) for (op, name), span in _TUNABLE.items() if node.op == op
    ]
    if not found:
        return None
    i, name, (low, high) = rng.choice(found)
    node = graph.nodes[i]
    old = float(node.attrs[name])
    new = min(high, max(low, _near(rng, old) if old else log_uniform(rng, low, high)))
    words = f"changed {name} of the operation {node.op} from {old:g} to {new:g}"
    attrs = {**node.attrs, name: new}
    changed = exchanged(graph, i, lambda operands: operands[0].builder.op(node.op, *operands, **attrs))
    return verify(changed), words, "tuned"


def _relative(rng: Random, graph: VerifiedGraph) -> Change | None:
    found = [i for i, node in enumerate(graph.nodes) if node.op in _RELATIVES]
    if not found:
        return None
    i = rng.choice(found)
    node = graph.nodes[i]
    new = rng.choice(_RELATIVES[node.op])
    # Attributes carry over where both operations have them: the axis of a mean is the axis of the median.
    kept = {k: v for k, v in node.attrs.items() if k in OPERATIONS[new].attrs and k not in ("beta", "delta", "alpha")}
    words = f"replaced {node.op} by {new}"
    return (
        verify(exchanged(graph, i, lambda operands: operands[0].builder.op(new, *operands, **kept))),
        words,
        new.split("_")[0],
    )


def _margin_uses(rng: Random, graph: VerifiedGraph) -> tuple[list[Use], int, bool] | None:
    """Uses of one margin of the loss (all of them or just one), its sign, and whether beta is in it already."""
    anatomy = Anatomy(graph)
    if not anatomy.margins:
        return None
    i = rng.choice(sorted(anatomy.margins))
    uses = anatomy.uses[i]
    if not uses:
        return None
    if rng.random() < 0.4:
        uses = [rng.choice(uses)]
    return uses, anatomy.margins[i], "beta" in anatomy.reads[i]


def _temperature(rng: Random, graph: VerifiedGraph) -> Change | None:
    factor = _factor(rng)
    found = _margin_uses(rng, graph)
    if found is None:
        grammar, builder = grammar_of(graph.contract), Builder(graph.contract)
        if grammar.tempered_inputs is None:
            return None
        output = with_inputs(builder, graph, grammar.tempered_inputs(builder, factor))
        return builder.finish(output), f"multiplied {grammar.margin_words.split(' ')[0]} by {factor:g}", "warm"
    words = f"multiplied {_where(graph, found[0])} by {factor:g}"
    return edited(graph, dict.fromkeys(found[0], lambda value: factor * value)), words, "warm"


def _factor(rng: Random) -> float:
    """A temperature clearly other than 1."""
    factor = log_uniform(rng, 1.1, 2.2)
    return factor if rng.random() < 0.6 else rounded(1.0 / factor)


def _where(graph: VerifiedGraph, uses: Sequence[Use]) -> str:
    readers = sorted({graph.nodes[u.node].op for u in uses})
    return f"the margin in {', '.join(readers)}"


def _shift(rng: Random, graph: VerifiedGraph) -> Change | None:
    found = _margin_uses(rng, graph)
    if found is None:
        return None
    uses, sign, scaled = found
    m = uniform(rng, 0.05, 0.8) * (1 if rng.random() < 0.8 else -1)

    def moved(value: Value) -> Value:
        distance = sign * m if scaled else (sign * m) / value.builder.input("beta")
        return value - distance

    words = f"required {abs(m):g} {'more' if m > 0 else 'less'} of {_where(graph, uses)}"
    return edited(graph, dict.fromkeys(uses, moved)), words, "margin"


def _squash(rng: Random, graph: VerifiedGraph) -> Change | None:
    found = _margin_uses(rng, graph)
    if found is None or not found[2]:
        return None
    s = log_uniform(rng, 1.0, 6.0)
    words = f"made {_where(graph, found[0])} grow as {s:g} asinh(x / {s:g}) does"
    return edited(graph, dict.fromkeys(found[0], lambda value: s * (value / s).apply("asinh"))), words, "squash"


def _centre(rng: Random, graph: VerifiedGraph) -> Change | None:
    found = _margin_uses(rng, graph)
    if found is None:
        return None
    a = uniform(rng, 0.1, 0.8)
    words = f"subtracted {a:g} times its batch mean from {_where(graph, found[0])}"
    change = edited(graph, dict.fromkeys(found[0], lambda value: value - a * value.apply("mean").detach()))
    return change, words, "centred"


def _margin(rng: Random, graph: VerifiedGraph) -> Change | None:
    """Put another form of the margin, with other weights of the inputs or scaled by the batch, in the place of one."""
    found, grammar, builder = _margin_uses(rng, graph), grammar_of(graph.contract), Builder(graph.contract)
    if found is None or not found[2] or not grammar.margins:
        return None
    uses, sign, _ = found
    other = grammar.draw(rng, grammar.margins, builder)
    if not other.words:  # x itself is what most losses have there already
        other = grammar.draw(rng, grammar.margins, builder)
    form = builder.finish(other.value)

    def put(value: Value) -> Value:
        new = value.builder.graft(form)[form.output]
        return new if sign > 0 else -new

    words = other.words or "with x itself"
    return edited(graph, dict.fromkeys(uses, put)), f"wrote {_where(graph, uses)} {words}", "margin"


def _smooth(rng: Random, graph: VerifiedGraph) -> Change | None:
    grammar, builder = grammar_of(graph.contract), Builder(graph.contract)
    if grammar.smoothed is None:
        return None
    value, words = grammar.smoothed(rng, builder, lambda inputs: with_inputs(builder, graph, inputs))
    return builder.finish(value), words, "smooth"


def _term(rng: Random, graph: VerifiedGraph) -> Change | None:
    grammar, builder = grammar_of(graph.contract), Builder(graph.contract)
    if not grammar.terms:
        return None
    term = grammar.draw(rng, grammar.terms, builder)
    loss = builder.graft(graph)[graph.output]
    return builder.finish(loss + term.value), f"added {term.words}", term.tag


def _weight(rng: Random, graph: VerifiedGraph) -> Change | None:
    grammar, builder = grammar_of(graph.contract), Builder(graph.contract)
    if not grammar.weights:
        return None
    weight = grammar.draw(rng, grammar.weights, builder)
    loss = builder.graft(graph)[graph.output]
    return builder.finish(weight.value * loss), f"weighted each item by {weight.words}", weight.tag


def _turn(rng: Random, graph: VerifiedGraph) -> Change | None:
    found = turned(rng, graph)
    return None if found is None else (verify(found[0]), found[1], "turned")


def _gradient(rng: Random, graph: VerifiedGraph) -> Change | None:
    """Stop the gradient of a factor of a product. The reverse often ruins a loss: it is then also lowered by closing the gate."""
    anatomy = Anatomy(graph)
    uses = [
        Use(i, k)
        for i, node in enumerate(graph.nodes)
        if node.op == "mul"
        for k, a in enumerate(node.args)
        if _is_gate(anatomy, a)
    ]
    if not uses:
        return None
    return edited(graph, {rng.choice(uses): Value.detach}), "stopped the gradient of a gate", "stopped"


def _simplify(rng: Random, graph: VerifiedGraph) -> Change | None:
    """Drop one side of a sum, a mixture or a choice. This limits the growth of losses."""
    found, sides, pulled = [], _sides(graph), Anatomy(graph).pulled
    for use in rng.sample(sides, min(len(sides), 8)):
        operations, still = size_with_operand(graph, use)
        if operations < graph.operations and still >= pulled:
            found.append((use, graph.operations - operations))
    if not found:
        return None
    use = rng.choices([use for use, _ in found], [saved for _, saved in found])[0]
    change = replaced_by_operand(graph, use)
    words = f"kept one operand of its {graph.nodes[use.node].op} ({graph.operations} to {change.operations} operations)"
    return verify(change), words, "simpler"


def _sides(graph: VerifiedGraph) -> list[Use]:
    """Operands that could stand for the whole of the operation that reads them: those that read the same inputs. A term that does
    not see the labels, for example, does not train a model alone."""
    anatomy, whole = Anatomy(graph), graph.types[graph.output]
    return [
        Use(i, k)
        for i, node in enumerate(graph.nodes)
        if node.op in ("add", "maximum", "minimum", "logaddexp", "where", "mul")
        and graph.types[i] == whole
        and i not in anatomy.margins
        for k, a in enumerate(node.args)
        if graph.types[a] == whole and a not in anatomy.margins and anatomy.reads[a] == anatomy.reads[i]
        if _may_stay(anatomy, node, k)
    ]


def _may_stay(anatomy: Anatomy, node: Node, position: int) -> bool:
    """Whether an operand is a loss of its own. Of a product, only a weight may go: a weight alone may push the wrong way. Of a sum,
    only the smaller side may go, which is often a term that does not train a model alone."""
    own, other = node.args[position], node.args[1 - position]
    if node.op == "mul":
        return is_weight(anatomy, other)
    return node.op != "add" or anatomy.sizes[own] >= anatomy.sizes[other]


def simplified(rng: Random, graph: VerifiedGraph, most: int) -> VerifiedGraph:
    """`graph` with sides dropped until it takes at most `most` operations, as far as that goes."""
    while graph.operations > most:
        change = _attempt(_simplify, rng, graph)
        if change is None:
            break
        graph = change[0]
    return graph


def is_weight(anatomy: Anatomy, index: int) -> bool:
    """Whether it is a factor without a gradient, or a gate."""
    steady = anatomy.graph.nodes[index].op == "detach" or not anatomy.learns[index]
    return steady or _is_gate(anatomy, index)


def _is_gate(anatomy: Anatomy, index: int) -> bool:
    """A sigmoid or 1 less one: a weight rather than the loss itself."""
    nodes = anatomy.graph.nodes
    node = nodes[index]
    if node.op == "sub" and nodes[node.args[0]].op == "const":
        node = nodes[node.args[1]]
    return node.op in GATES


_MUTATIONS: tuple[tuple[float, Mutation], ...] = (
    (2.0, _constant),
    (1.0, _attribute),
    (1.0, _relative),
    (2.5, _temperature),
    (1.5, _shift),
    (0.6, _squash),
    (0.3, _centre),
    (2.5, _margin),
    (2.0, _smooth),
    (2.5, _term),
    (1.2, _weight),
    (0.8, _turn),
    (0.4, _gradient),
    (0.5, _simplify),
)
