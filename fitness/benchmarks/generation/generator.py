"""The interface of generators, and their options."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal, Protocol

from pydantic import Field

from fitness.benchmarks.protocol import Question, Sampling
from fitness.preference.options import LocalPath
from fitness.task.protocol import TaskOptions


class GenerationOptions(TaskOptions):
    """How saved policies answer."""

    engine: Literal["transformers", "vllm"] = Field(
        "transformers",
        description="transformers: on a CPU or one GPU; vllm: on GPUs, many times faster (pip install 'evopo[vllm]')",
    )
    batch: int = Field(16, ge=1, description="questions answered at a time; vllm wants hundreds")
    max_new_tokens: int | None = Field(
        None,
        ge=1,
        description="longest answer to one turn, tokens, if the benchmark allows more; null: the benchmark's",
    )
    chat_template: LocalPath | None = Field(None, description="Jinja file; null: the tokenizer's own")
    plain: bool = Field(
        False,
        description="give the turns as plain text, a line each, without a chat template: for models that know no chats",
    )
    device: Literal["auto", "cpu", "gpu"] = Field(
        "auto", description="device of transformers; auto: a GPU if there is one"
    )


@dataclass(frozen=True)
class Written:
    """A policy's answers to one question, one per turn."""

    turns: tuple[str, ...]
    tokens: int
    """Generated tokens of all turns."""
    cut: int = 0
    """Turns whose prompt was longer than the policy's context and lost its beginning."""


class Generator(Protocol):
    """A loaded policy that answers."""

    def write(self, questions: Sequence[Question], sampling: Sampling, seed: int) -> list[Written]:
        """The answers to a batch of questions. Equal batches, samplings and seeds give equal answers on one machine.

        Raises BenchmarkError if the batch does not fit into memory, or the answers not into the policy's context.
        """

    def close(self) -> None:
        """Free its memory."""


def faults(options: GenerationOptions) -> list[str]:
    """What prevents generation and can be known before, one line each with its remedy."""
    found = []
    if options.engine == "vllm" and find_spec("vllm") is None:
        found.append("generation.engine=vllm needs vllm, which is not installed here; run: pip install 'evopo[vllm]'")
    if options.plain and options.chat_template is not None:
        found.append("generation.plain gives no chat template to the turns: leave out generation.chat_template")
    if options.chat_template is not None and not options.chat_template.is_file():
        found.append(f"generation.chat_template: there is no file {options.chat_template}")
    return found
