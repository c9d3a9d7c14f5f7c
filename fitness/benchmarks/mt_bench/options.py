"""Options of MT-Bench."""

from typing import Literal

from pydantic import Field

from fitness.preference.options import LocalPath, Name
from fitness.task.protocol import TaskOptions


class Options(TaskOptions):
    """Options of MT-Bench."""

    questions: Name = Field(
        description="questions of two turns: a file in the format of the published question.jsonl, or a data set on the hub"
    )
    references: Name | None = Field(
        None,
        description="reference answers for math, reasoning and coding: a file in the format of the published "
        "reference_answer/gpt-4.jsonl, or a data set on the hub; null: those of the questions",
    )
    mode: Literal["single", "pair", "both"] = Field(
        "single", description="single: each answer gets a grade from 1 to 10; pair: it is compared with the opponent's"
    )
    opponent: str = Field(
        "dpo", description="policy that pairs compare with: the name of a loss, or `reference` for the untrained model"
    )
    templates: LocalPath | None = Field(
        None, description="prompts of the judge, in the format of the published judge_prompts.jsonl; null: evopo's own"
    )

    @property
    def grades(self) -> bool:
        """Whether single answers are graded."""
        return self.mode != "pair"

    @property
    def compares(self) -> bool:
        """Whether answers are compared with the opponent's."""
        return self.mode != "single"
