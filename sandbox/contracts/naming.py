"""Which argument of a contract a parameter's name stands for: the contract's own names first, else names made of known words.

A name such as `ref_rejected_logps` is cut at its underscores. Every word must be known, exactly one must say which completion it
is, and no two may contradict each other; a name without a word for the model is the policy's. `pi_logratios`, `avg_chosen_logps`
(an average is another quantity) and `labels` stand for nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from sandbox.contracts.contract import Contract

MODELS: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "policy": frozenset({"policy", "pi", "theta", "actor"}),
        "reference": frozenset({"reference", "ref"}),
    }
)
COMPLETIONS: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "chosen": frozenset({"chosen", "preferred", "winner", "win", "positive", "pos", "w", "yw"}),
        "rejected": frozenset({"rejected", "dispreferred", "loser", "lose", "negative", "neg", "l", "yl"}),
    }
)
QUANTITY: Final = frozenset(
    {"logps", "logp", "logprobs", "logprob", "log", "probs", "prob", "ps", "p", "lps", "lp", "model", "y"}
)
"""Words that may stand in a name and decide nothing."""
_KNOWN: Final = QUANTITY.union(*MODELS.values(), *COMPLETIONS.values())


def meaning(name: str, contract: Contract) -> str | None:
    """The contract's tensor that a name stands for, or None. Names of the contract stand for themselves."""
    if any(a.name == name for a in contract.tensors):
        return name
    words = set(name.lower().split("_"))
    models = [m for m, known in MODELS.items() if words & known]
    completions = [c for c, known in COMPLETIONS.items() if words & known]
    if not words <= _KNOWN or len(models) > 1 or len(completions) != 1:
        return None
    meant = f"{models[0] if models else 'policy'}_{completions[0]}_logps"
    return meant if any(a.name == meant for a in contract.tensors) else None


def by_meaning(names: Iterable[str], contract: Contract) -> dict[str, str]:
    """Contract argument -> name, for the names that stand for one; nothing where two names stand for the same."""
    found: dict[str, str] = {}
    for name in names:
        meant = meaning(name, contract)
        if meant is None:
            continue
        if meant in found:
            return {}
        found[meant] = name
    return found


def order_of(contract: Contract, arguments: Sequence[str]) -> list[str]:
    """The contract's arguments that so many names stand for: all, all tensors, or the tensors that learn."""
    tensors = [t.name for t in contract.tensors]
    for names in ([a.name for a in contract.arguments], tensors, [t.name for t in contract.tensors if t.learns]):
        if len(names) == len(arguments):
            return names
    raise ValueError(f"{len(arguments)} names do not fit the contract {contract.name}")


def check_arguments(contract: Contract, arguments: Sequence[str]) -> None:
    """Raises ValueError unless `arguments` may name the arguments of the contract in a candidate."""
    if not arguments:
        return
    counts = sorted({len(contract.arguments), len(contract.tensors), sum(t.learns for t in contract.tensors)})
    wanted = f"expected {', '.join(map(str, counts[:-1]))} or {counts[-1]} names, in the order {contract.signature}"
    if len(arguments) not in counts:
        raise ValueError(f"{wanted}; got {len(arguments)}")
    for name in arguments:
        if not (name.isascii() and name.isidentifier() and len(name) <= 64):
            raise ValueError(f"{wanted}; {name[:40]!r} is not a name")
    if len(set(arguments)) < len(arguments):
        raise ValueError(f"{wanted}; one name stands there twice")
