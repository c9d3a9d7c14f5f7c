"""Configuration of a campaign: one frozen, validated object. Unknown keys and wrong types are errors that name the key."""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from archive.disk.files import read_bounded
from archive.errors import UnsafeFile
from evo.config.budget_settings import BudgetConfig
from evo.config.old_keys import given_twice, key_of_today, with_keys_of_today
from evo.config.prompt_settings import PromptConfig
from evo.config.proposer_settings import OPENAI, LLMConfig, ProposerConfig, with_unique_names
from evo.config.study_settings import SimplifySettings, TuneSettings
from evo.config.yaml_values import LONGEST, YAMLFault, load_yaml
from fitness.schedule.settings import LadderSettings
from fitness.task import TaskError, task_names, task_options
from fitness.task.faults import did_you_mean, faults
from fitness.task.from_file import TaskFile
from fitness.task.protocol import OPTIONS
from fitness.task.registry import directory_name, is_task
from sandbox.verdicts.rules import RULES
from sandbox.verdicts.verdict import Severity


class ConfigError(Exception):
    """The configuration cannot be used. The message names the keys."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SearchConfig(_Frozen):
    """Settings of operator and parent selection."""

    mode: Literal["population", "chat", "sample"] = Field(
        "population",
        description="population: new losses are made from earlier ones that selection chooses; chat: one growing conversation, as "
        "in DiscoPOP; sample: every proposal is made without any earlier loss (best of N), the reference for the other two",
    )
    islands: int = Field(
        2,
        ge=1,
        le=64,
        description="sub-populations, from which most parents are drawn; 1: all candidates are in one population",
    )
    migration_every: int | None = Field(
        12,
        ge=1,
        description="new candidates between two migrations of each island's best to the next island; null: no migration; no effect "
        "with one island",
    )
    grid: bool = Field(
        True,
        description="whether some parents are drawn from a grid that keeps the best loss of each shape, "
        "and parents of one proposal, and targets of explore, are chosen by their cells",
    )
    elites: bool = Field(True, description="whether some parents are drawn from the best few candidates of all islands")
    use_penalty: bool = Field(
        True, description="whether a candidate becomes a less likely parent with each of its children"
    )
    bandit: bool = Field(
        True,
        description="whether operators, proposers, temperatures and kinds of changes whose proposals did well are chosen more "
        "often; false: fixed weights",
    )
    thompson: bool = Field(
        True,
        description="whether parents are chosen by fitness values drawn from their posterior distributions (Thompson sampling); "
        "false: by the means",
    )
    shrinkage: bool = Field(
        True,
        description="whether a fitness is shrunk towards the mean of the population according to its standard error before parents "
        "are chosen; false: fitness as measured",
    )
    reversals: bool = Field(
        True,
        description="whether the opposite of a weight per item is tried at once after a loss with that weight scored clearly lower "
        "than the baseline; built-in proposer only",
    )
    tune: TuneSettings = TuneSettings()
    simplify: SimplifySettings = SimplifySettings()
    in_flight: int | None = Field(
        None,
        ge=1,
        description="proposals in progress at once, and so requests; null: the number of workers plus one for each endpoint, and "
        "as many more (up to four for each worker) as the measured times of replies and trainings need to keep the workers busy; 1 "
        "for a server that answers one request at a time",
    )
    give_up_after: int | None = Field(
        50,
        ge=1,
        description="proposals in a row without a new accepted loss (duplicates, refused, no loss in the reply) that end the "
        "session with an error; null: never",
    )

    @property
    def chat(self) -> bool:
        """Whether the mode is `chat`."""
        return self.mode == "chat"

    @property
    def sample(self) -> bool:
        """Whether the mode is `sample`."""
        return self.mode == "sample"


class Config(_Frozen):
    """Configuration of a campaign. `task`, `fitness` and `seed` identify a run and may not change when it is resumed."""

    name: str = Field(
        "embedded",
        description="part of the name of the run directory; if not set, for tasks other than sentiment: the task's name",
    )
    seed: int = Field(0, ge=0, lt=2**31, description="determines every random choice of the search")
    task: str = Field(
        "sentiment",
        description="what a candidate is scored on: sentiment, preference, classification, a task of an installed package "
        "(`evopo tasks` lists them), or one in a file, path/to/my_task.py:MyTask",
    )
    fitness: Mapping[str, Any] = Field(default_factory=dict, description="the task's own options")
    seeds: tuple[str, ...] | None = Field(
        None, description="known losses that start the population; null: the task's usual ones"
    )
    baseline: str | None = Field(
        None,
        description="the seed loss that claims are made against and that the final tunes; null: dpo or cross_entropy if seeds "
        "has it, else the first; cannot change once a run has begun",
    )
    proposer: Literal["auto", "builtin", "openai", "mixed"] = Field(
        "auto",
        description="builtin: genetic programming; openai: the language models of llm or proposers; mixed: both; auto: openai if "
        "llm.base_url, llm.model or proposers is set, else builtin",
    )
    refuse_notes: tuple[str, ...] = Field(
        (),
        description="codes of notes of the sandbox for which this run refuses a proposal, e.g. [SBX327]; seed losses are exempt; "
        "[] accepts all that the sandbox accepts",
    )
    llm: LLMConfig = LLMConfig()
    proposers: tuple[ProposerConfig, ...] | None = Field(
        None,
        min_length=1,
        description="several language models, each a record with a name and the keys of llm (docs/llm.md); null: the one of llm",
    )
    prompt: PromptConfig = PromptConfig()
    budget: BudgetConfig = BudgetConfig()
    search: SearchConfig = SearchConfig()
    ladder: LadderSettings = LadderSettings()
    workers: int | None = Field(
        None, ge=1, description="training processes; null: one per GPU, else one per core up to four"
    )
    threads: int = Field(
        1, ge=1, description="CPU threads per training process; more than one helps only for real models"
    )
    launcher: tuple[str, ...] = Field(
        (), description="command that runs a worker, e.g. [accelerate, launch, --num_processes, '4']"
    )
    pictures: bool = Field(True, description="whether the report at the end of a run has pictures (a few seconds)")
    timeout_seconds: float | None = Field(
        None,
        gt=0,
        description="longest training with one seed, seconds; null: 20 times the rung's estimate, 2 minutes at least",
    )

    @property
    def asks_a_model(self) -> bool:
        """Whether language models propose. Only the configuration decides: an API key in the environment alone causes no cost."""
        named = self.llm.named or self.proposers is not None
        return self.proposer in (OPENAI, "mixed") or (self.proposer == "auto" and named)

    @property
    def endpoints(self) -> Mapping[str, LLMConfig]:
        """The language models by name, in order; those that may be asked if `asks_a_model`."""
        return {p.name: p for p in self.proposers} if self.proposers else {OPENAI: self.llm}

    @property
    def asks_the_builtin(self) -> bool:
        """Whether the built-in proposer is among those that selection chooses from."""
        return self.proposer == "mixed" or not self.asks_a_model

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if self.proposers is not None and self.llm.named:
            raise ValueError("llm and proposers are both set; put the model of llm into proposers, or remove proposers")
        return self

    @field_validator("proposers")
    @classmethod
    def _names(cls, value: tuple[ProposerConfig, ...] | None) -> tuple[ProposerConfig, ...] | None:
        return None if value is None else tuple(with_unique_names(value))

    @model_validator(mode="before")
    @classmethod
    def _named(cls, data: Any) -> Any:
        """By default, name a run after its task, so that it has another directory than the embedded campaign."""
        task = data.get("task", "sentiment") if isinstance(data, Mapping) else None
        if task == "sentiment" or not isinstance(task, str):
            return data
        name = directory_name(task)
        return {"name": name, **data} if name else data

    @field_validator("name")
    @classmethod
    def _plain_name(cls, value: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", value):
            raise ValueError("expected letters, digits and any of _.- after the first, 64 characters at most")
        return value

    @field_validator("task")
    @classmethod
    def _known_task(cls, value: str) -> str:
        if not is_task(value):
            raise ValueError(
                f"unknown task, expected one of {', '.join(task_names())}, or a file, path/to/my_task.py:MyTask, got {value!r}"
                f"{did_you_mean(value, task_names())}"
            )
        return value

    @field_validator("refuse_notes")
    @classmethod
    def _notes(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        # A rule that always refuses is allowed here: it may have been a note when the file was written.
        notes = [rule.code for rule in RULES.values() if rule.severity is Severity.NOTE]
        unknown = [code for code in value if code not in RULES]
        if unknown:
            raise ValueError(
                f"{unknown[0]!r} is no rule of the sandbox, expected some of {', '.join(notes)}{did_you_mean(unknown[0], notes)}"
            )
        return value


def load_config(
    path: Path | None,
    overrides: Iterable[str] = (),
    *,
    seed: int | None = None,
    recorded: Mapping[str, Any] = MappingProxyType({}),
) -> Config:
    """The configuration of a YAML file, or `recorded`, then `KEY=VALUE` overrides (dotted keys, YAML values), then `seed`.

    The path of a task in a file is relative to the YAML file that names it, or, in an override, to the current directory. Raises
    ConfigError with one line per fault.
    """
    data = with_keys_of_today(copy.deepcopy(dict(recorded)))
    if path is not None:
        data = read_keys(path)
        _place_task(data, path.parent)
        _place_templates(data, path.parent)
    for override in overrides:
        set_key(data, override)
    if seed is not None:
        data["seed"] = seed
    _place_task(data, Path())
    _place_templates(data, Path())
    return parse_config(data)


def _place_task(data: dict[str, Any], folder: Path) -> None:
    """Make the path of a task in a file absolute, from `folder`, so that workers and a resumed run find it."""
    task = data.get("task")
    if isinstance(task, str) and (file := TaskFile.of(task)):
        data["task"] = str(file.within(folder))


def _place_templates(data: dict[str, Any], folder: Path) -> None:
    """Make the folder of templates absolute, from `folder`, so that a resumed run finds it."""
    prompt = data.get("prompt")
    if isinstance(prompt, dict) and isinstance(given := prompt.get("templates"), str):
        prompt["templates"] = os.path.abspath(folder / os.path.expanduser(given))


def parse_config(data: Mapping[str, Any]) -> Config:
    """Validate a configuration. Keys may have the names of earlier versions.

    Raises ConfigError with the key, the given value and the expected one for each fault.
    """
    if isinstance(data, Mapping) and (twice := given_twice(data)):
        raise ConfigError("\n".join(twice))
    try:
        return Config.model_validate(with_keys_of_today(data) if isinstance(data, Mapping) else data)
    except ValidationError as error:
        task = data.get("task", Config.model_fields["task"].default) if isinstance(data, Mapping) else None
        raise ConfigError("\n".join(faults(error, Config, others=_options_of(task)))) from None


def _options_of(task: object) -> dict[str, type[BaseModel]]:
    """The options that a misplaced key may belong to. No file is executed for this: the configuration may be from an archive."""
    if not isinstance(task, str) or TaskFile.of(task):
        return {}
    try:
        return {OPTIONS: task_options(task)}
    except TaskError:
        return {}


def read_keys(path: Path) -> dict[str, Any]:
    """The keys and values of a YAML file. It may be a link, since the user named it."""
    try:
        loaded = load_yaml(read_bounded(Path(os.path.realpath(path)), LONGEST), str(path))
    except FileNotFoundError:
        raise ConfigError(f"no such configuration file: {path}") from None
    except UnsafeFile as error:
        raise ConfigError(f"cannot use the configuration file: {error}") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read the configuration file {path}: {error}") from None
    except YAMLFault as error:
        raise ConfigError(f"{path} is no configuration: {error}") from None
    if not isinstance(loaded, dict | None):
        raise ConfigError(f"{path} must hold keys and values, such as `seed: 1`; it holds a list or a single value")
    return with_keys_of_today(loaded or {})


def set_key(data: dict[str, Any], override: str) -> None:
    """Sets the key of `KEY=VALUE` (a dotted key, a YAML value) in `data`. Raises ConfigError."""
    key, separator, text = override.partition("=")
    if not separator or not key.strip():
        raise ConfigError(f"--set needs KEY=VALUE, got {override!r}")
    try:
        value = load_yaml(text)
    except YAMLFault:
        value = text
    *path, last = key_of_today(key.strip()).split(".")
    place = data
    for part in path:
        inner = place.setdefault(part, {})
        if part == "proposers" and isinstance(inner, list):  # a record is named by its name
            inner = {one.get("name"): one for one in inner if isinstance(one, dict)}
        if not isinstance(inner, dict):
            raise ConfigError(f"--set {override}: {part} is a value, not a section")
        place = inner
    if path == ["proposers"]:
        raise ConfigError(f"--set {override}: write proposers.NAME.KEY=VALUE, or proposers=[...]")
    place[last] = value
