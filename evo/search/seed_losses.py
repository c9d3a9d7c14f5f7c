"""The seed losses of a run and its baseline, the seed loss that claims are made against."""

from __future__ import annotations

from collections.abc import Sequence

from evo.config.schema import Config, ConfigError
from fitness.task import TaskInfo
from fitness.task.faults import did_you_mean
from sandbox import known
from sandbox.contracts.contract import contract_named


def seed_losses(config: Config, info: TaskInfo) -> tuple[str, ...]:
    """Names of the seed losses. Raises ConfigError if one is not a known loss."""
    names = config.seeds if config.seeds is not None else contract_named(info.contract).seeds
    available = known.names(info.contract)
    unknown = [name for name in names if not known.is_known(name, info.contract)]
    if unknown:
        raise ConfigError(
            f"seeds: no known loss {unknown[0]!r}; known: {', '.join(available)}{did_you_mean(unknown[0], available)}"
        )
    return names


def require_seed_losses(config: Config, info: TaskInfo) -> None:
    """Raise ConfigError if a new run would have no seed loss, or names one by a name that two published versions share.

    A search starts from seed losses, and its fitness is a difference to one of them, the baseline.
    """
    names = seed_losses(config, info)
    if shared := next(filter(None, map(known.two_versions, names)), ""):
        raise ConfigError(f"seeds: {shared}")
    if not names:
        usual = contract_named(info.contract).seeds
        remedy = f"omit seeds to use the default ones ({', '.join(usual)})"
        if not usual:
            known_ones = ", ".join(known.names(info.contract)) or f"none yet: add some to the contract {info.contract}"
            remedy = f"name some of the known ones ({known_ones})"
        raise ConfigError(
            "seeds: expected at least one known loss, got []: a search starts from them, and claims are made against one; "
            + remedy
        )


def choose_baseline(losses: Sequence[str], contract: str, wanted: str | None = None) -> str | None:
    """The baseline: `wanted` if given, else the contract's usual baseline if it is in `losses`, else the first of `losses`.

    None without any losses. A search calls this once, when the run is created; after that the run's archive names the baseline.
    """
    usual = contract_named(contract).baseline
    return wanted or (usual if usual in losses else next(iter(losses), None))


def baseline_of_new_run(config: Config, info: TaskInfo) -> str | None:
    """The baseline of a configuration. Raises ConfigError if it is not one of the seed losses."""
    names = seed_losses(config, info)
    if config.baseline is not None and config.baseline not in names:
        raise ConfigError(
            f"baseline: {config.baseline!r} is not a seed loss of this run, expected one of {', '.join(names) or 'none'}; "
            f"add it to seeds{did_you_mean(config.baseline, names)}"
        )
    return choose_baseline(names, info.contract, config.baseline)
