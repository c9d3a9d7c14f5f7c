"""Refine operator: a loss with one change."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from evo.proposing.genetic.builder import Builder, Value, log_uniform, rounded, uniform
from evo.proposing.genetic.explore import explore
from evo.proposing.genetic.grammars.grammar import grammar_of
from evo.proposing.genetic.proposal import NO_HINTS, GeneticProposal, Hints, Parent, named, stem
from evo.proposing.genetic.simplification import Change, Mutation, attempt, is_gate, simplified, simplify
from evo.proposing.genetic.structure import Anatomy, Use, edited, exchanged, with_inputs
from evo.proposing.genetic.turn import opposite, turned
from sandbox.graph.loss_graph import VerifiedGraph, verify
from sandbox.graph.operations import OPERATIONS, relatives

WEIGHT = "weight"
"""The kind of change that gives a loss a weight per item."""

LARGE = 90
"""Number of operations above which a loss is simplified first; published losses have 5 to 35. A lower limit makes a search cheaper,
and seems to make its leader worse on the default world (docs/notes/search-parts.md)."""

_TUNABLE = {(o.name, attr): span for o in OPERATIONS.values() for attr, span in o.genetic.tunable.items()}
"""Attributes that are numbers of the loss, and the range a refinement keeps them in."""

_RELATIVES = relatives(OPERATIONS)
"""Groups of operations that can replace each other."""


def refine(rng: Random, contract: str, parents: Sequence[Parent], hints: Hints = NO_HINTS) -> GeneticProposal:
    """The first of `parents` with one change: a number, an operation, a temperature, a margin, a smoothing, a small extra term, a
    weight per item, or where its gradient stops. If a weight made an earlier child worse, the opposite weight. If no change
    applies, a new loss."""
    parent = parents[0]
    if proposal := opposite(rng, parent):
        return proposal
    whole = simplified(rng, parent.graph, LARGE)
    done = f"simplified it to {whole.operations} operations and " if whole is not parent.graph else ""
    for kind, mutation in _order(rng, contract, hints):
        change = attempt(mutation, rng, whole)
        if change is not None:
            graph, words, tag = change
            return GeneticProposal(graph, named(stem(parent.name), tag), f"From {parent.name}: {done}{words}.", kind)
    # A grammar without terms and weights offers no change of a loss without constants.
    return explore(rng, contract, parents)


def _order(rng: Random, contract: str, hints: Hints) -> list[tuple[str, Mutation]]:
    """All mutations in random order: a weighted draw without replacement."""
    more = {WEIGHT: grammar_of(contract).weighing}
    chances = [
        (rng.random() ** (1.0 / (weight * more.get(kind, 1.0) * hints.factor(kind))), kind, mutation)
        for weight, kind, mutation in _MUTATIONS
    ]
    return [(kind, mutation) for _, kind, mutation in sorted(chances, key=lambda entry: -entry[0])]


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
        if is_gate(anatomy, a)
    ]
    if not uses:
        return None
    return edited(graph, {rng.choice(uses): Value.detach}), "stopped the gradient of a gate", "stopped"


_MUTATIONS: tuple[tuple[float, str, Mutation], ...] = (
    (2.0, "constant", _constant),
    (1.0, "attribute", _attribute),
    (1.0, "operation", _relative),
    (2.5, "temperature", _temperature),
    (1.5, "shift", _shift),
    (0.6, "squash", _squash),
    (0.3, "centre", _centre),
    (2.5, "margin", _margin),
    (2.0, "smoothing", _smooth),
    (2.5, "term", _term),
    (1.2, WEIGHT, _weight),
    (0.8, "turn", _turn),
    (0.4, "gradient", _gradient),
    (0.5, "simplification", simplify),
)

KINDS = tuple(kind for _, kind, _ in _MUTATIONS)
