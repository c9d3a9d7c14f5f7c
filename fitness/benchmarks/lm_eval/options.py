"""Options of lm-eval."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from fitness.task.protocol import TaskOptions

LocalPath = Annotated[Path, AfterValidator(lambda path: Path(os.path.expanduser(path)))]
TaskName = Annotated[str, Field(pattern=r"^[^\s,*?\[\]]+$")]


class LmEvalOptions(TaskOptions):
    """Which tasks lm-eval measures, and how."""

    tasks: tuple[TaskName, ...] = Field(
        min_length=1, description="tasks or groups as lm-eval names them, e.g. [hellaswag, arc_easy, gsm8k]"
    )
    limit: int | None = Field(None, ge=1, description="first items of each task; null: all")
    num_fewshot: int | None = Field(None, ge=0, description="examples before each item; null: the task's own number")
    batch_size: int = Field(8, ge=1, description="items at a time")
    device: str | None = Field(None, description="as lm-eval names it, e.g. cuda:0 or cpu; null: a GPU if there is one")
    chat_template: bool = Field(False, description="render each item with the policy's chat template")
    include_path: LocalPath | None = Field(None, description="folder with further tasks, as YAML files of lm-eval")
    python: LocalPath | None = Field(
        None, description="python executable of the environment that has lm-eval; null: evopo's own"
    )
    timeout_seconds: float = Field(43_200, gt=0, description="longest time for all tasks on one policy, seconds")
