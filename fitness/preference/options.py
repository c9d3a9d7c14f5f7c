"""Options of the preference task, and the subset that a score depends on."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from fitness.chat.options import EndpointOptions
from fitness.task.protocol import TaskOptions

LEAST_PART = 2
"""Fewest pairs in each half of the test pairs (search, held_out)."""

LEAST_TEST_PAIRS = 2 * LEAST_PART

LEAST_COUPLED = 2
"""Fewest pairs of a micro-batch that statistics are taken over: one pair has no variance."""

COLUMNS = ("prompt", "chosen", "rejected", "responses", "preferred", "system", "tools", "chat_template_kwargs")


def _expanded(name: str) -> str:
    """The name with `~` expanded to the home directory, which neither the hub's libraries nor pathlib do."""
    if any("\ud800" <= character <= "\udfff" for character in name):  # from bytes that are not UTF-8
        raise ValueError("expected a name in UTF-8, which the libraries need; rename the file or folder")
    return os.path.expanduser(name)


Name = Annotated[str, AfterValidator(_expanded)]
LocalPath = Annotated[Path, AfterValidator(lambda path: Path(_expanded(str(path))))]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Lora(_Section):
    """A LoRA adapter instead of full fine-tuning."""

    r: int = Field(16, ge=1, description="rank")
    alpha: int = Field(32, ge=1, description="scale: the update is multiplied by alpha / r")
    target_modules: str | tuple[str, ...] = Field(
        "all-linear", description="layers that get an adapter, as peft names them"
    )


class PairEvaluation(_Section):
    """Evaluation on test pairs: whether the policy prefers the chosen completion more than the reference does."""

    by: Literal["accuracy", "margin"] = "accuracy"
    pairs: int = Field(default=256, ge=2, description="test pairs per seed, or all when there are fewer")


class Sampling(_Section):
    """Sampling of answers."""

    prompts: int = Field(64, ge=2, description="test prompts per seed that are answered, or all when there are fewer")
    max_new_tokens: int = Field(256, ge=1, description="longest answer, tokens")
    temperature: float = Field(0.7, gt=0, description="sampling temperature")
    batch: int = Field(16, ge=1, description="prompts answered at a time, per device")


class RewardEvaluation(Sampling):
    """Evaluation by the reward of sampled answers: their mean reward, minus a KL penalty to the reference."""

    kl_weight: float = Field(
        0.0, ge=0, description="price of KL: reward subtracted per nat of KL(policy || reference) per sequence"
    )


class RewardModelEvaluation(RewardEvaluation):
    """Evaluation by a reward model."""

    by: Literal["reward_model"]
    model: Name = Field(description="sequence classification model: hub name or folder")
    revision: str | None = Field(None, description="branch, tag or commit of a model on the hub")
    label: int | None = Field(
        None, ge=0, description="class whose `reward` is the reward; null: the model's one output is the reward"
    )
    reward: Literal["log_probability", "probability"] = Field(
        "log_probability", description="of the class `label`: its log-probability, in nats, or its probability"
    )
    max_length: int = Field(
        2048,
        ge=8,
        description="longest text given to the reward model, tokens, cut on the left; if not set: at most the model's positions",
    )

    @model_validator(mode="after")
    def _of_a_class(self) -> "RewardModelEvaluation":
        if self.reward == "probability" and self.label is None:
            raise ValueError("reward: probability needs label, the class whose probability is the reward")
        return self


class VaderEvaluation(RewardEvaluation):
    """Evaluation by VADER: the sentiment of answers by a word list and rules, in [-1, 1]. Needs vaderSentiment."""

    by: Literal["vader"]


class JudgeEvaluation(EndpointOptions, Sampling):
    """Evaluation by a judge: a language model compares answers to test prompts with an opponent's, in both orders."""

    by: Literal["judge"]
    opponent: Literal["reference", "chosen"] = Field(
        "reference", description="answers to compare with: the untrained model's, or the data's chosen ones"
    )
    max_tokens: int = Field(
        1024, ge=1, description="largest number of tokens in one judgement, including the judge's reasoning"
    )


Evaluation = Annotated[
    PairEvaluation | RewardModelEvaluation | VaderEvaluation | JudgeEvaluation, Field(discriminator="by")
]


class Options(TaskOptions):
    """Options of the preference task."""

    model: Name = Field(description="causal language model: hub name or folder")
    model_revision: str | None = Field(None, description="branch, tag or commit of a model on the hub")
    chat_template: LocalPath | None = Field(None, description="Jinja file; null: the tokenizer's own")
    empty_system_turn: bool = Field(
        False, description="render a conversation without a system turn as if it began with an empty one"
    )
    data: Name = Field(
        description="preference data: hub name, .jsonl, .json, .parquet or .arrow file, folder of such files or of save_to_disk"
    )
    data_subset: str | None = Field(None, description="configuration of a data set that has several")
    data_revision: str | None = Field(None, description="branch, tag or commit of a data set on the hub")
    columns: dict[str, str | None] | None = Field(
        None,
        description="the data's column names if they differ, e.g. {prompt: question, system: system}; a name that is null is "
        "not read; `responses` and `preferred` name two responses and the number of the chosen one",
    )
    train_split: str = Field("train", description="split to train on")
    test_split: str | None = Field(None, description="split to test on; null: `test_fraction` of the training split")
    test_fraction: float = Field(
        0.1, gt=0, lt=1, description="fraction of the training split kept for tests if there is no test split"
    )
    split_by: Literal["prompt", "pair"] = Field(
        "prompt",
        description="prompt: no prompt is in two parts (train, search, held_out); pair: no pair is, for prompts of a few words "
        "that many pairs share",
    )
    train_pool: int | None = Field(None, ge=2, description="training pairs that seeds draw from; null: all")
    test_pool: int | None = Field(
        None, ge=4, description="test pairs, half for the search and half for the rung held_out; null: all"
    )

    pairs: int = Field(2048, ge=2, description="training pairs per seed, drawn from the training split")
    epochs: int = Field(1, ge=1, description="passes over the pairs at the rungs full and held_out")
    short_steps: int = Field(20, ge=1, description="optimiser steps at the rung short, if full has more")
    batch_size: int = Field(32, ge=1, description="pairs per optimiser step, over all devices")
    micro_batch: int | None = Field(
        None,
        ge=1,
        description="pairs per device at a time, a divisor of batch_size and pairs; null: no gradient accumulation",
    )
    statistics: Literal["step", "micro_batch"] = Field(
        "step",
        description="pairs that a loss which uses its whole batch gets at a time: all of an optimiser step, or those of one "
        "micro_batch on one device, as in TRL; micro_batch is then part of what decides the fitness",
    )
    learning_rate: float = Field(5e-6, gt=0, description="peak learning rate; cosine to zero")
    warmup: float = Field(0.1, ge=0, lt=1, description="fraction of the steps that warm up")
    optimizer: str = Field(
        "adamw_torch", description="as transformers names it, e.g. adamw_torch_fused, paged_adamw_8bit"
    )
    max_grad_norm: float = Field(1.0, gt=0, description="gradients are clipped to this norm")
    beta: float = Field(0.1, gt=0, description="beta of the preference loss, per nat")
    max_length: int = Field(1024, ge=8, description="longest prompt plus completion, tokens; the end is cut")
    max_prompt_length: int | None = Field(None, ge=1, description="longest prompt, tokens; the beginning is cut")

    lora: Lora | None = Field(None, description="train an adapter; null: train all weights")
    quantization: Literal["4bit", "8bit"] | None = Field(
        None, description="quantisation of the frozen weights (QLoRA); needs lora and a GPU"
    )
    precision: Literal["auto", "float32", "bfloat16", "bfloat16_weights"] = Field(
        "auto",
        description="bfloat16: computation in bfloat16, trained weights in float32; bfloat16_weights: both in bfloat16; "
        "auto: bfloat16 on a GPU that has it (compute capability 8.0 or higher), else float32",
    )
    gradient_checkpointing: bool = Field(False, description="recompute activations: less memory, about a third slower")
    attention: str | None = Field(None, description="attention kernel as transformers names it, e.g. flash_attention_2")
    device: Literal["auto", "cpu", "gpu"] = Field("auto", description="gpu: refuse to run without a GPU")

    evaluation: Evaluation = Field(default=PairEvaluation(), description="how a trained policy is scored")
    held_out_evaluation: Evaluation | None = Field(
        None, description="evaluation at the rung held_out; null: the same as in the search"
    )

    sampling_seeds: int = Field(
        1,
        ge=1,
        le=64,
        description="answers to each test prompt, each with a sampling seed of its own, in an evaluation by reward_model or vader",
    )

    checkpoint_steps: int | None = Field(
        None,
        ge=1,
        description="optimiser steps between checkpoints, from which a killed training continues; null: no checkpoints",
    )
    cache: LocalPath | None = Field(None, description="folder of caches and checkpoints; null: ~/.cache/evopo")
    seconds_per_step: float = Field(
        2.0, gt=0, description="estimated time of a step, for budgets and time limits; measure yours"
    )
    evaluation_seconds: float = Field(
        30.0, ge=0, description="estimated time to measure one trained policy, per sampling seed"
    )

    @field_validator("evaluation", "held_out_evaluation", mode="before")
    @classmethod
    def _by_accuracy(cls, value: Any) -> Any:
        """Set `by` to its default if it is left out."""
        return {"by": "accuracy", **value} if isinstance(value, Mapping) else value

    @field_validator("columns")
    @classmethod
    def _named(cls, columns: dict[str, str | None] | None) -> dict[str, str | None] | None:
        """Check the names; the columns of the two completions cannot be null."""
        for name, column in (columns or {}).items():
            if name not in COLUMNS:
                raise ValueError(f"unknown name {name!r}: expected {', '.join(COLUMNS)}")
            if name in ("chosen", "rejected", "responses", "preferred") and column is None:
                raise ValueError(f"{name} cannot be null: name the column that holds it")
        named = (columns or {}).keys()
        if {"responses", "preferred"} & named and {"chosen", "rejected"} & named:
            raise ValueError("expected names of chosen and rejected, or of responses and preferred, not of both")
        return columns

    @model_validator(mode="after")
    def _consistent(self) -> "Options":
        if self.quantization and not self.lora:
            raise ValueError("fitness.quantization needs fitness.lora: quantised weights cannot be trained")
        if self.micro_batch and self.batch_size % self.micro_batch:
            raise ValueError(
                f"fitness.batch_size {self.batch_size} is not a multiple of fitness.micro_batch {self.micro_batch}"
            )
        if self.micro_batch and self.pairs % self.micro_batch:
            # All micro-batches of a step weigh the same, so a smaller last one would change the training.
            raise ValueError(f"fitness.pairs {self.pairs} is not a multiple of fitness.micro_batch {self.micro_batch}")
        if self.statistics == "micro_batch" and (self.micro_batch or 1) < LEAST_COUPLED:
            raise ValueError(
                "fitness.statistics micro_batch needs fitness.micro_batch, the number of pairs that a statistic is taken over: "
                f"expected {LEAST_COUPLED} or more, got {self.micro_batch}"
            )
        if self.batch_size > self.pairs:
            raise ValueError(
                f"fitness.batch_size must be at most fitness.pairs, got {self.batch_size} and {self.pairs}"
            )
        if self.train_pool and self.train_pool < self.pairs:
            raise ValueError(
                f"fitness.train_pool must be at least fitness.pairs, got {self.train_pool} and {self.pairs}"
            )
        if self.max_prompt_length and self.max_prompt_length >= self.max_length:
            raise ValueError(
                "fitness.max_prompt_length must be less than fitness.max_length, or no token of the completion is left"
            )
        for evaluation in evaluations(self):
            if isinstance(evaluation, Sampling) and evaluation.max_new_tokens >= self.max_length:
                raise ValueError(
                    "max_new_tokens of an evaluation must be less than fitness.max_length, or no token of the prompt is left"
                )
        if self.sampling_seeds > 1 and not any(isinstance(e, RewardEvaluation) for e in evaluations(self)):
            raise ValueError("fitness.sampling_seeds above 1 needs an evaluation by reward_model or vader")
        return self

    @property
    def full_steps(self) -> int:
        """Optimiser steps of the whole training."""
        return self.epochs * -(-self.pairs // self.batch_size)

    @property
    def cache_folder(self) -> Path:
        """Folder of reference log-probabilities and checkpoints. It begins with `~` if there is no home directory."""
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
        return self.cache or Path(os.path.expanduser(Path(base, "evopo")))


# Options that affect where and how fast a score is computed. They change the score by rounding at most; micro_batch does with
# `statistics: step` only.
INCIDENTAL = {
    "micro_batch", "gradient_checkpointing", "attention", "device", "checkpoint_steps", "cache", "seconds_per_step",
    "evaluation_seconds",
}  # fmt: skip
LATER_DEFAULTS: Mapping[str, Any] = {"split_by": "prompt", "sampling_seeds": 1, "empty_system_turn": False}
INCIDENTAL_TO_JUDGES = {"max_tokens", "usd_per_million_in", "usd_per_million_out"}


def essential(options: Options) -> dict[str, Any]:
    """The options that a score depends on, as plain data; they identify a run and its checkpoints."""
    by_step = options.statistics == "step"
    kept = options.model_dump(mode="json", exclude=INCIDENTAL if by_step else INCIDENTAL - {"micro_batch"})
    # Defaults of later options are left out: they keep the identity of runs that are older.
    if by_step:
        del kept["statistics"]
    for key in ("evaluation", "held_out_evaluation"):
        for name in INCIDENTAL_TO_JUDGES if (kept[key] or {}).get("by") == "judge" else ():
            del kept[key][name]
        if (kept[key] or {}).get("reward") == "log_probability":
            del kept[key]["reward"]
    if not kept["columns"]:
        del kept["columns"]
    for key, default in LATER_DEFAULTS.items():
        if kept[key] == default:
            del kept[key]
    return kept


def evaluations(options: Options) -> list[PairEvaluation | RewardModelEvaluation | VaderEvaluation | JudgeEvaluation]:
    """The evaluations of the search and of the rung held_out, if set."""
    return [e for e in (options.evaluation, options.held_out_evaluation) if e is not None]


def named(options: Options) -> dict[str, str]:
    """Models, data and files that the options name, each a local path or a name on the hub, by option key."""
    named = {"model": options.model, "data": options.data}
    if options.chat_template is not None:
        named["chat_template"] = str(options.chat_template)
    for key in ("evaluation", "held_out_evaluation"):
        evaluation = getattr(options, key)
        if isinstance(evaluation, RewardModelEvaluation):
            named[f"{key}.model"] = evaluation.model
    return named
