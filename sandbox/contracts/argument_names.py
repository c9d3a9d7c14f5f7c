"""Matching of parameter names to a contract's arguments: exact names first, else names composed of known words.

A name such as `ref_rejected_logps` is split at its underscores. Every word must be known, exactly one completion (chosen or
rejected) must be named, and at most one model. A name without a word for the model belongs to the policy. Names such as
`pi_logratios`, `avg_chosen_logps` (an average is a different quantity) and `labels` match no argument of a preference loss. The
arguments of a classification loss have whole names that are usual for them, such as `outputs` and `labels`.

The initials `pc`, `pr`, `rc`, `rr` (or `pw`, `pl`, `rw`, `rl`) match if all four are there in this order: alone, `rc` may be a
reward. Some words match only beside one that says that the quantity is a log-probability, such as `r` in `logp_r`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from sandbox.contracts.contract import Contract

MODELS: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "policy": frozenset({"policy", "pi", "theta", "actor"}),
        "reference": frozenset({"reference", "ref", "base", "sft", "frozen"}),
    }
)
COMPLETIONS: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "chosen": frozenset(
            {"chosen", "preferred", "winner", "winning", "win", "positive", "pos", "good", "better", "w", "yw", "c"}
        ),
        "rejected": frozenset(
            {"rejected", "reject", "dispreferred", "unpreferred", "loser", "losing", "lose", "negative", "neg", "bad", "worse",
             "l", "yl", "r"}
        ),
    }
)  # fmt: skip
QUANTITY: Final = frozenset(
    {"logps", "logp", "logprobs", "logprob", "log", "probs", "prob", "ps", "p", "lps", "lp", "likelihood", "likelihoods",
     "loglikelihood", "loglikelihoods", "seq", "sequence", "sum", "summed", "total", "model", "y"}
)  # fmt: skip
"""Words that a name may contain and that have no effect on the match."""
LOGARITHMIC: Final = frozenset(
    {"log", "logp", "logps", "logprob", "logprobs", "loglikelihood", "loglikelihoods", "lp", "lps"}
)
BESIDE_LOGARITHMIC: Final = frozenset(
    {
        "c",
        "r",
        "good",
        "bad",
        "better",
        "worse",
        "likelihood",
        "likelihoods",
        "seq",
        "sequence",
        "sum",
        "summed",
        "total",
    }
)
"""Words that match only in a name with a word of LOGARITHMIC."""
INITIALS: Final = (("pc", "pr", "rc", "rr"), ("pw", "pl", "rw", "rl"))
"""Names by initials: policy's chosen and rejected, reference's chosen and rejected."""
USUAL: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "logits": frozenset(
            {"logit", "input", "inputs", "output", "outputs", "pred", "preds", "predictions", "scores", "x", "y_hat", "y_pred"}
        ),
        "targets": frozenset({"target", "label", "labels", "y_true", "gt"}),
    }
)  # fmt: skip
"""Argument of a contract -> other names that are usual for it. `y` is none: helpers are often functions of x and y."""
_PAIR: Final = tuple(f"{model}_{completion}_logps" for model in MODELS for completion in COMPLETIONS)
_KNOWN: Final = QUANTITY.union(*MODELS.values(), *COMPLETIONS.values())


def meaning(name: str, contract: Contract) -> str | None:
    """The contract's tensor that a name matches, or None. A name of the contract matches itself."""
    if any(a.name == name for a in contract.tensors):
        return name
    for argument, usual in USUAL.items():
        if name in usual and any(a.name == argument for a in contract.tensors):
            return argument
    words = set(name.lower().split("_"))
    models = [m for m, known in MODELS.items() if words & known]
    completions = [c for c, known in COMPLETIONS.items() if words & known]
    if not words <= _KNOWN or len(models) > 1 or len(completions) != 1:
        return None
    if words & BESIDE_LOGARITHMIC and not words & LOGARITHMIC:
        return None
    meant = f"{models[0] if models else 'policy'}_{completions[0]}_logps"
    return meant if any(a.name == meant for a in contract.tensors) else None


def by_meaning(names: Iterable[str], contract: Contract) -> dict[str, str]:
    """Contract argument -> name, for the names that match one. Empty if two names match the same argument."""
    names = list(names)
    for initials in INITIALS:
        if [name for name in names if name in initials] == [*initials] and set(_PAIR) <= {
            t.name for t in contract.tensors
        }:
            return dict(zip(_PAIR, initials, strict=True))
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
    """The contract's arguments that a list of this length names: all, all tensors, or the tensors that learn.

    Raises ValueError for any other length.
    """
    tensors = [t.name for t in contract.tensors]
    for names in ([a.name for a in contract.arguments], tensors, [t.name for t in contract.tensors if t.learns]):
        if len(names) == len(arguments):
            return names
    raise ValueError(f"{len(arguments)} names do not fit the contract {contract.name}")


def check_arguments(contract: Contract, arguments: Sequence[str]) -> None:
    """Raises ValueError unless `arguments` is empty or a valid list of a candidate's names for the contract's arguments."""
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
        raise ValueError(f"{wanted}; a name occurs twice")
