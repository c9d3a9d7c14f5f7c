"""Prompts for language models: the task, the contract, the parents and their results, what was tried.

Threat model. Names, thoughts, failures and refused source were written by a model, perhaps one that was told to take over the
next. Covered: they never become template source, they cannot end the quotation or fence that they stand in, they carry no
control characters, and their size is capped. Not covered, because no rendering can: a model may still be persuaded by what it
reads. Whatever it then writes goes through the sandbox like any other reply.

Here are plain data (`views`), templates and their filters, and the messages. What is shown is selected from the archive elsewhere.
"""

from evo.proposing.prompting.render import MAX_CHAT, render
from evo.proposing.prompting.templates import BUILT_IN, EVERY_PROMPT, PROMPTED, PROMPTS, TemplateFault, Templates, kept
from evo.proposing.prompting.texts import MAX_CODE_SHOWN
from evo.proposing.prompting.views import (
    EVERYTHING,
    Briefing,
    ChatTurn,
    DifferenceView,
    LandmarkView,
    MeasuredView,
    ParentView,
    Switches,
    TaskView,
    TriedView,
)
from evo.proposing.prompting.words import wanted_line

__all__ = [
    "BUILT_IN",
    "EVERYTHING",
    "EVERY_PROMPT",
    "MAX_CHAT",
    "MAX_CODE_SHOWN",
    "PROMPTED",
    "PROMPTS",
    "Briefing",
    "ChatTurn",
    "DifferenceView",
    "LandmarkView",
    "MeasuredView",
    "ParentView",
    "Switches",
    "TaskView",
    "TemplateFault",
    "Templates",
    "TriedView",
    "kept",
    "render",
    "wanted_line",
]
