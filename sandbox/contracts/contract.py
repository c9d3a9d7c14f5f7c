"""Contracts: the interface of each kind of loss, and the record of everything that depends on it.

A contract is plain data: the static layer, tracer, verifier, numeric tests, printers and prompts read the same object. This also
works in the jail, where nothing can be imported. Code and files are named by a reference, which is resolved at first use. A new
kind of loss is one more record (see docs/contracts.md).
"""

from __future__ import annotations

import json
import keyword
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from types import MappingProxyType
from typing import Any, Literal

from sandbox.contracts.references import located, require_module

DType = Literal["float", "int", "bool"]

BATCH = "B"
"""Symbol of the number of items in the batch, in shapes and in `size` nodes."""

CLASSES = "C"
"""Symbol of the second size in shapes: the number of classes, or of whatever `Contract.columns` names."""

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


PLUGINS = "evopo.contracts"
"""Entry-point group in which other packages declare their contracts."""


class ContractError(ValueError):
    """A contract that cannot be used. The message names the contract and the faulty part."""


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of the loss. `shape` is None for a Python number, else a tuple of symbols."""

    name: str
    description: str
    shape: tuple[str, ...] | None
    dtype: DType = "float"
    learns: bool = False
    """True if a gradient must flow to it: the policy's log-probabilities, the network's logits."""
    positive: bool = False
    """True for a number that is always above zero: while tracing, `beta > 0` is then True."""
    symbol: str = ""
    """LaTeX symbol in formulas; the name if empty."""

    @property
    def latex(self) -> str:
        """The symbol, or the name as LaTeX."""
        return self.symbol or rf"\mathrm{{{self.name.replace('_', chr(92) + '_')}}}"


@dataclass(frozen=True, slots=True)
class Contract:
    """The interface that a candidate loss must have, and the settings of vetting, search and report for such losses.

    The result is one loss per item, shape (batch,), float32. Candidates are plain functions of `arguments`, or methods
    (`self` first) that read the scalar arguments and the `constants` as attributes of `self`.

    Code is named as "package.module:attribute", files and folders as "package:path". Raises ContractError.
    """

    name: str
    description: str
    """First sentences of the prompt: what the loss is computed from, with units, and what varies from step to step."""
    arguments: tuple[Argument, ...]
    constants: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    swap: tuple[tuple[str, str], ...] = ()
    """Pairs of arguments that are exchanged when chosen and rejected are swapped."""

    columns: str = field(default="classes", kw_only=True)
    """The word for what CLASSES counts."""
    inputs: str = field(kw_only=True)
    """Subclass of `sandbox.numeric.measure.contract_inputs.Inputs`: the ranges of the arguments, and how a point is described."""
    checks: str = field(default="sandbox.numeric.checks.general:run", kw_only=True)
    """The numeric tests: (evaluator, seed) -> (findings, descriptors). The general ones draw from `inputs`."""
    comparison: str = field(default="sandbox.identity.points.comparison:Comparison", kw_only=True)
    """Class that defines the points at which two losses are compared; the general one draws from `inputs`."""
    line: str | None = field(default=None, kw_only=True)
    """Subclass of `sandbox.numeric.measure.lines.Line`, to plot a loss over its margin; without it no shape is plotted."""
    losses: str | None = field(default=None, kw_only=True)
    """Folder with the known losses: NAME.py, and NAME.json with its graph."""
    seeds: tuple[str, ...] = field(default=(), kw_only=True)
    """Seed losses of a population, unless the configuration names others."""
    baseline: str | None = field(default=None, kw_only=True)
    """The baseline for claims; one of `seeds`."""
    grammar: str | None = field(default=None, kw_only=True)
    """`Grammar` of the built-in proposer. Without it only a language model can propose such losses."""
    rules: str | None = field(default=None, kw_only=True)
    """Text for the prompt: the refusal rules that apply to such losses only."""
    facts: str | None = field(default=None, kw_only=True)
    """Text for the prompt: background about such losses."""
    curves: str = field(default="", kw_only=True)
    """Description of the training curves that are recorded."""
    trl: bool = field(default=False, kw_only=True)
    """Whether TRL's DPOTrainer accepts such losses, so that a trainer file can be printed."""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ContractError(f"contract {self.name!r}: name: expected lower-case letters, digits and underscores")
        for part in ("inputs", "checks", "comparison"):
            if not isinstance(reference := getattr(self, part), str):
                raise ContractError(
                    f"contract {self.name!r}: {part}: expected 'package.module:attribute', got {reference!r}"
                )
        names = [a.name for a in self.arguments]
        if unusable := [n for n in names if not (n.isidentifier() and n.isascii()) or keyword.iskeyword(n)]:
            raise ContractError(f"contract {self.name!r}: arguments: {unusable[0]!r} is not a Python identifier")
        if len(set(names)) < len(names):
            raise ContractError(f"contract {self.name!r}: arguments: duplicate name in {', '.join(names)}")
        if wrong := [a.name for a in self.tensors if not a.shape or a.shape[0] != BATCH]:
            raise ContractError(
                f"contract {self.name!r}: arguments: the shape of {wrong[0]} does not begin with BATCH; a loss returns one "
                "number per item of the batch"
            )
        if further := [s for s in self.symbols if s not in (BATCH, CLASSES)]:
            raise ContractError(
                f"contract {self.name!r}: arguments: unknown size {further[0]!r}; shapes use BATCH and, as a second size, CLASSES"
            )
        if not any(a.learns and a.dtype == "float" for a in self.tensors):
            raise ContractError(
                f"contract {self.name!r}: arguments: no float tensor has learns=True, so nothing can be trained"
            )
        if self.baseline is not None and self.baseline not in self.seeds:
            raise ContractError(f"contract {self.name!r}: baseline: {self.baseline!r} is not among the seeds")
        if self.seeds and self.losses is None:
            raise ContractError(
                f"contract {self.name!r}: losses: missing, but the seeds {', '.join(self.seeds)} are known losses"
            )

    def part(self, name: str) -> str:
        """The reference or text of a part. Raises ContractError, which names the part, if the contract lacks it."""
        value = getattr(self, name)
        if not value:
            raise ContractError(f"contract {self.name!r} has no {name}; give its record one (docs/contracts.md)")
        return str(value)

    def require_parts(self) -> None:
        """Raises ContractError if a reference does not resolve. Imports nothing, so that torch is not loaded."""
        for name, check in _REFERENCES.items():
            if (reference := getattr(self, name)) is not None:
                try:
                    check(reference, f"contract {self.name!r}: {name}")
                except ValueError as error:
                    raise ContractError(str(error)) from None

    def to_json(self) -> str:
        """The record as JSON, for another process; `adopt` reads it there."""
        data = {f.name: getattr(self, f.name) for f in fields(self)}
        return json.dumps(data | {"constants": dict(self.constants), "arguments": [asdict(a) for a in self.arguments]})

    @property
    def tensors(self) -> tuple[Argument, ...]:
        """The tensor arguments, in order."""
        return tuple(a for a in self.arguments if a.shape is not None)

    @property
    def scalars(self) -> tuple[Argument, ...]:
        """The Python-number arguments, in order."""
        return tuple(a for a in self.arguments if a.shape is None)

    @property
    def symbols(self) -> tuple[str, ...]:
        """The symbolic sizes in the arguments' shapes, in order of first appearance."""
        return tuple(dict.fromkeys(s for a in self.tensors for s in a.shape or ()))

    def argument(self, name: str) -> Argument:
        """The argument called `name`. Raises KeyError."""
        for a in self.arguments:
            if a.name == name:
                return a
        raise KeyError(name)

    @property
    def signature(self) -> str:
        """The arguments as in a Python function definition, without the parentheses."""
        return ", ".join(a.name for a in self.arguments)


PREFERENCE = Contract(
    name="preference",
    description=(
        "A preference loss over pairs of completions. Each log-probability is summed over the completion's tokens, in nats, "
        "in float32. The batch size varies from step to step."
    ),
    arguments=(
        Argument(
            "policy_chosen_logps",
            "log-probability of the chosen completion under the policy, nats",
            (BATCH,),
            learns=True,
            symbol=r"\ell^{\pi}_{w}",
        ),
        Argument(
            "policy_rejected_logps",
            "log-probability of the rejected completion under the policy, nats",
            (BATCH,),
            learns=True,
            symbol=r"\ell^{\pi}_{l}",
        ),
        Argument(
            "reference_chosen_logps",
            "log-probability of the chosen completion under the frozen reference, nats",
            (BATCH,),
            symbol=r"\ell^{\mathrm{ref}}_{w}",
        ),
        Argument(
            "reference_rejected_logps",
            "log-probability of the rejected completion under the frozen reference, nats",
            (BATCH,),
            symbol=r"\ell^{\mathrm{ref}}_{l}",
        ),
        Argument(
            "beta",
            "strength of the tie to the reference, a positive Python float, typically 0.01 to 1",
            None,
            positive=True,
            symbol=r"\beta",
        ),
    ),
    constants=MappingProxyType({"label_smoothing": 0.0}),
    swap=(
        ("policy_chosen_logps", "policy_rejected_logps"),
        ("reference_chosen_logps", "reference_rejected_logps"),
    ),
    inputs="sandbox.numeric.measure.pairs:Pairs",
    checks="sandbox.numeric.checks.preference:run",
    comparison="sandbox.identity.points.pairs:PairComparison",
    line="sandbox.numeric.measure.lines:PairLine",
    losses="sandbox.known:preference",
    seeds=("dpo", "slic", "ipo", "kto_pair"),
    baseline="dpo",
    grammar="evo.proposing.genetic.grammars.preference:PREFERENCE_GRAMMAR",
    rules="evo.proposing:prompts/contracts/rules_preference.j2",
    facts="evo.proposing:prompts/contracts/facts_preference.j2",
    curves=(
        "margin: mean log-ratio margin of the batch, without beta, in nats; kl_estimate: mean of log reference - log policy over "
        "its completions, in nats per sequence"
    ),
    trl=True,
)

CLASSIFICATION = Contract(
    name="classification",
    description="A classification loss over unnormalised scores. Labels may be noisy. The batch size varies from step to step.",
    arguments=(
        Argument("logits", "unnormalised scores of the classes", (BATCH, CLASSES), learns=True, symbol="z"),
        Argument("targets", "index of the labelled class, int64 in [0, classes)", (BATCH,), dtype="int", symbol="y"),
    ),
    inputs="sandbox.numeric.measure.scores:Scores",
    checks="sandbox.numeric.checks.classification:run",
    comparison="sandbox.identity.points.scores:ScoreComparison",
    line="sandbox.numeric.measure.lines:ScoreLine",
    losses="sandbox.known:classification",
    seeds=("cross_entropy", "label_smoothing", "focal", "mse"),
    baseline="cross_entropy",
    grammar="evo.proposing.genetic.grammars.classification:CLASSIFICATION_GRAMMAR",
    rules="evo.proposing:prompts/contracts/rules_classification.j2",
    facts="evo.proposing:prompts/contracts/facts_classification.j2",
    curves="margin: mean of the label's logit less the highest other one",
)

_REFERENCES = {
    **dict.fromkeys(("inputs", "checks", "comparison", "line", "grammar"), require_module),
    **dict.fromkeys(("losses", "rules", "facts"), located),
}
"""The check of each reference in a record; none of them imports anything."""

BUILT_IN: tuple[Contract, ...] = (PREFERENCE, CLASSIFICATION)

_REGISTERED: dict[str, Contract] = {contract.name: contract for contract in BUILT_IN}

CONTRACTS: Mapping[str, Contract] = MappingProxyType(_REGISTERED)
"""The contracts registered in this process, by name. Verification of a graph looks nowhere else."""


def register(contract: Contract) -> Contract:
    """Register a contract in this process and return it. Registering an equal record again changes nothing.

    Raises ContractError if a reference does not resolve, or another contract has the same name.
    """
    known = _REGISTERED.get(contract.name)
    if known is not None and known != contract:
        raise ContractError(f"contract {contract.name!r}: name: another contract has this name; choose a different one")
    contract.require_parts()
    return _REGISTERED.setdefault(contract.name, contract)


def adopt(text: str) -> Contract:
    """Register and return a contract that a trusted process sent as `Contract.to_json`. Imports nothing.

    Returns the registered object if it is equal, so that whatever was computed for that object remains valid.
    """
    data: dict[str, Any] = json.loads(text)
    data |= {
        "arguments": tuple(
            Argument(**a | {"shape": None if a["shape"] is None else tuple(a["shape"])}) for a in data["arguments"]
        ),
        "constants": MappingProxyType(data["constants"]),
        "swap": tuple((a, b) for a, b in data["swap"]),
        "seeds": tuple(data["seeds"]),
    }
    contract = Contract(**data)
    if contract != _REGISTERED.get(contract.name):
        _REGISTERED[contract.name] = contract
    return _REGISTERED[contract.name]


def contract_named(name: str) -> Contract:
    """The contract called `name`: a registered one, or else one of an installed package.

    Raises ValueError for an unknown name (the message lists the known ones), and ContractError for a package's contract that
    cannot be used.
    """
    if name not in _REGISTERED:
        _register_plugin(name)
    try:
        return _REGISTERED[name]
    except KeyError:
        raise ValueError(f"unknown contract {name!r}: expected one of {', '.join(contract_names())}") from None


def contract_names() -> tuple[str, ...]:
    """The names of all contracts: the registered ones, and those of installed packages. Imports no package."""
    from sandbox.contracts.entry_points import plugins

    return tuple(dict.fromkeys((*_REGISTERED, *(plugin.name for plugin in plugins(PLUGINS)))))


def listed_contracts() -> list[tuple[str, str, str]]:
    """(name, origin, description or error) of every contract. Imports the packages that declare contracts."""
    from sandbox.contracts.entry_points import plugins

    rows = [(contract.name, "built in", contract.description.partition(". ")[0].rstrip(".")) for contract in BUILT_IN]
    ours = {contract.name for contract in BUILT_IN}
    for plugin in plugins(PLUGINS):
        try:
            if plugin.name in ours:
                raise ContractError(
                    "has the name of a built-in contract, which takes precedence: rename its entry point"
                )
            what = contract_named(plugin.name).description.partition(". ")[0].rstrip(".")
        except ValueError as error:
            what = f"cannot be used: {error}"
        rows.append((plugin.name, plugin.package, what))
    return rows


def _register_plugin(name: str) -> None:
    """Register the contract of an installed package, if one declares it. Raises ContractError, which names the package."""
    # imported here, since the jail has every contract registered and must not load this module
    from sandbox.contracts.entry_points import PluginError, plugin_named

    try:
        plugin = plugin_named(PLUGINS, name)
        offered = plugin.load() if plugin else None
    except PluginError as error:
        raise ContractError(str(error)) from error
    if plugin is None:
        return
    if not isinstance(offered, Contract) or offered.name != name:
        came = f"one named {offered.name!r}" if isinstance(offered, Contract) else type(offered).__name__
        raise ContractError(f"{plugin}: expected a Contract named {name!r}, got {came}")
    try:
        register(offered)
    except ContractError as error:
        raise ContractError(f"{plugin}: {error}") from None
