"""Settings of the prompts: what a language model is shown. They are the section `prompt` of a configuration."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class PromptConfig(BaseModel):
    """What the prompts of a language model show. The built-in proposer uses none of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    top_k: int = Field(
        5, ge=0, le=50, description="the run's best losses that are shown as formulas with their results; 0 for none"
    )
    thoughts: bool = Field(True, description="whether the authors' thoughts on shown losses are included")
    scores: bool = Field(
        True,
        description="whether fitness, differences to the baseline and metrics are included; without them top_k is 0",
    )
    feedback: bool = Field(
        True,
        description="whether findings of the sandbox, failures, and what was tried already are included",
    )
    summary_every: int | None = Field(
        None,
        ge=2,
        le=1000,
        description="every so many steps a language model is asked for a summary of the results so far, in place of a loss; later "
        "prompts show the latest; in the mode population; null: no summaries",
    )
    templates: str | None = Field(
        None,
        description="folder with templates of your own, each under the name of the one that it replaces (docs/llm.md); relative "
        "to the configuration file",
    )
