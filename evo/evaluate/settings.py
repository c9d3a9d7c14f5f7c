"""Settings of an evaluation: the judge, the generation of answers, and the options of each benchmark.

What is trained is configured as for `evopo run`, in keys of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from evo.config.schema import ConfigError, read_keys, set_key
from evo.evaluate.studies.study import STUDIES, Study, study_named
from fitness.benchmarks.generation.generator import GenerationOptions
from fitness.benchmarks.protocol import Benchmark
from fitness.benchmarks.registry import BENCHMARKS, make_benchmark, options_of
from fitness.chat.endpoint import Endpoint
from fitness.chat.options import EndpointOptions
from fitness.task.faults import did_you_mean, faults
from fitness.task.protocol import TaskOptions

NAMES = (*BENCHMARKS, *STUDIES)
"""All benchmarks, those with a judge first."""
SECTIONS = ("judge", "generation", *NAMES)
"""First parts of the keys that are settings of an evaluation; all others configure the training."""


class JudgeOptions(EndpointOptions):
    """The judge: a language model behind an OpenAI-compatible endpoint."""

    max_tokens: int | None = Field(
        None,
        ge=1,
        description="largest number of tokens in one reply, including the judge's reasoning; null: the benchmark's",
    )
    patience_seconds: float = Field(180.0, ge=0, description="longest wait for the end of an outage, seconds")

    def endpoint(self) -> Endpoint:
        """The endpoint with the key of the environment. Raises LLMError."""
        return Endpoint.resolve(
            self.model, base_url=self.base_url, key_variable=self.api_key_env, timeout=self.timeout_seconds,
            prices=self.prices, section="judge",
        )  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """The settings of an evaluation."""

    judge: JudgeOptions | None
    generation: GenerationOptions
    options: Mapping[str, Mapping[str, Any]]
    """Options by benchmark, as given."""

    def judged(self, names: Sequence[str]) -> dict[str, Benchmark]:
        """The benchmarks among `names` that need a judge. Raises BenchmarkError for invalid options."""
        return {name: make_benchmark(name, self.options.get(name, {})) for name in names if name in BENCHMARKS}

    def studies(self, names: Sequence[str]) -> dict[str, tuple[Study, TaskOptions]]:
        """The benchmarks among `names` without a judge, with their options. Raises BenchmarkError for invalid options."""
        found = {}
        for name in names:
            if name in STUDIES:
                study = study_named(name)
                found[name] = (study, options_of(name, study.options, self.options.get(name, {})))
        return found


def parted(file: Path | None, overrides: Sequence[str]) -> tuple[Settings, tuple[str, ...]]:
    """The settings of a YAML file and of `KEY=VALUE` overrides, and the overrides that configure the training.

    Raises ConfigError with one line per fault.
    """
    data = {} if file is None else read_keys(file)
    if unknown := [key for key in data if key not in SECTIONS]:
        raise ConfigError(
            f"unknown section {unknown[0]} in {file}, expected some of {', '.join(SECTIONS)}"
            f"{did_you_mean(str(unknown[0]), SECTIONS)}; what is trained goes into --config"
        )
    rest = []
    for override in overrides:
        if override.partition("=")[0].strip().partition(".")[0] in SECTIONS:
            set_key(data, override)
        else:
            rest.append(override)
    if wrong := [key for key, value in data.items() if not isinstance(value, Mapping)]:
        raise ConfigError(f"{wrong[0]}: expected keys and values, got {str(data[wrong[0]])[:80]!r}")
    judge = _checked(JudgeOptions, data["judge"], "judge") if "judge" in data else None
    generation = _checked(GenerationOptions, data.get("generation", {}), "generation")
    return Settings(judge, generation, {name: data[name] for name in NAMES if name in data}), tuple(rest)


def _checked(model: Any, given: Mapping[str, Any], section: str) -> Any:
    try:
        return model.model_validate(dict(given))
    except ValidationError as error:
        raise ConfigError("\n".join(faults(error, model, section))) from None
