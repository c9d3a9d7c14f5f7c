"""A prompt's messages. What every request of a run repeats comes first, word for word, so that a server's prefix cache serves it.

The system message has the task, the interface, the rules and the reply format; it is the same for all operators and steps. The
user message has what changes: what the run has measured and tried, the parents, and what is wanted of this proposal.
"""

from __future__ import annotations

import json
import re

from archive.records import SUMMARISE
from evo.proposing.prompting.shortening import shortened, shown
from evo.proposing.prompting.templates import BUILT_IN, Templates, require_known
from evo.proposing.prompting.texts import MAX_CODE_SHOWN, fenced
from evo.proposing.prompting.views import Briefing
from evo.proposing.prompting.vocabulary import vocabulary
from evo.proposing.reply.reply import ParsedReply, ReplyFormat
from evo.search.operators import CHAT, SAMPLE
from fitness.chat.request import Message, tokens_bound
from fitness.chat.text import printable

MAX_CHAT = 100_000
"""Maximum characters of a chat; beyond it the oldest turns are left out."""


def render(
    prompt: str,
    briefing: Briefing,
    reply_format: ReplyFormat = ReplyFormat.JSON,
    templates: Templates = BUILT_IN,
    most_tokens: int | None = None,
) -> list[Message]:
    """The messages that ask for one loss, or for a summary.

    `most_tokens`: the prompt is shortened until `tokens_bound` is at most this, or until nothing more can be left out.

    Raises ValueError for what is not in `EVERY_PROMPT`, and where parents are missing; TemplateFault for a template that fails.
    """
    require_known(prompt)
    if not briefing.parents and prompt not in (SAMPLE, SUMMARISE):
        raise ValueError(f"{prompt} needs at least one parent, got none")
    messages: list[Message] = []
    for shorter in shortened(shown(briefing), chat=prompt == CHAT):
        messages = _messages(prompt, shorter, reply_format, templates)
        if most_tokens is None or tokens_bound(messages) <= most_tokens:
            break
    return messages


def _messages(prompt: str, briefing: Briefing, reply_format: ReplyFormat, templates: Templates) -> list[Message]:
    if prompt == SUMMARISE:  # the system message asks for a loss
        return [Message("user", _fill(SUMMARISE, briefing, reply_format, templates))]
    system = Message("system", _fill("system", briefing, reply_format, templates))
    if prompt == CHAT:
        start = Message("user", _fill("chat_start", briefing, reply_format, templates))
        return [system, start, *_chat(briefing, reply_format, templates)]
    parts = [_fill(name, briefing, reply_format, templates) for name in ("shared/context", prompt, "shared/closing")]
    return [system, Message("user", "\n\n".join(filter(None, parts)))]


def _chat(briefing: Briefing, reply_format: ReplyFormat, templates: Templates) -> list[Message]:
    """The turns so far, as the model's messages and ours; where they grow too long, without the oldest."""
    messages: list[Message] = []
    size = 0
    for turn in reversed(briefing.turns):
        said = Message("assistant", _said(turn.reply, reply_format))
        came = Message("user", templates.fill("chat_outcome.j2", {"turn": turn}).strip())
        size += len(said.content) + len(came.content)
        if size > MAX_CHAT and messages:
            break
        messages += [came, said]
    return messages[::-1]


def _said(reply: ParsedReply | str, reply_format: ReplyFormat) -> str:
    """The model's earlier reply, rewritten in the reply format that is requested now."""
    if isinstance(reply, str):
        return printable(reply, keep="\n\t")[:MAX_CODE_SHOWN] or "(an empty reply)"
    if reply_format is ReplyFormat.FENCED:
        return f"Thought: {reply.thought}\nName: {reply.name}\n\n{fenced(reply.code)}"
    code = reply.code.rstrip("\n").split("\n") if reply_format is ReplyFormat.LINES else reply.code
    return json.dumps({"thought": reply.thought, "name": reply.name, "code": code}, ensure_ascii=False)


def _fill(template: str, briefing: Briefing, reply_format: ReplyFormat, templates: Templates) -> str:
    text = templates.fill(
        f"{template}.j2",
        {
            "contract": briefing.contract,
            "rules": templates.text_of(briefing.contract, "rules"),
            "facts": templates.text_of(briefing.contract, "facts"),
            "task": briefing.task,
            "parents": briefing.parents,
            "landmarks": briefing.landmarks,
            "measured": briefing.measured,
            "best": briefing.best,
            "where": briefing.where,
            "tried": briefing.tried,
            "nearby": briefing.nearby,
            "wanted": briefing.wanted,
            "summary": briefing.summary,
            "vocabulary": vocabulary(),
            "reply_format": reply_format.value,
            "example": briefing.example,
            "left_out": briefing.left_out,
        },
    )
    return re.sub(r"\n{3,}", "\n\n", text).strip()
