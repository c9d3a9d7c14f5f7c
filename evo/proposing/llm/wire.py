"""Request options beside the messages: the reply format of proposals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evo.proposing.reply.reply import MAX_NAME, MAX_THOUGHT, ReplyFormat
from fitness.chat.request import Concession, Concessions

REPLY_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "thought": {
            "type": "string",
            "description": f"the hypothesis this loss tests, in two to five sentences, below {MAX_THOUGHT} characters",
        },
        "name": {"type": "string", "description": f"a short snake_case name, below {MAX_NAME} characters"},
        "code": {"type": "string", "description": "the Python source of the one loss function, without a code fence"},
    },
    "required": ["thought", "name", "code"],
    "additionalProperties": False,
}
"""JSON schema of a structured reply. `thought` comes first so that the model reasons before it writes code."""

RESPONSE_FORMAT: Mapping[str, Any] = {
    "type": "json_schema",
    "json_schema": {"name": "loss_proposal", "strict": True, "schema": REPLY_SCHEMA},
}


def format_after(conceded: Concessions) -> ReplyFormat:
    """The reply format for an endpoint with these concessions."""
    return ReplyFormat.FENCED if Concession.RESPONSE_FORMAT in conceded else ReplyFormat.JSON
