"""Request options beside the messages: the reply format of proposals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from evo.proposing.reply.reply import MAX_NAME, MAX_THOUGHT, ReplyFormat
from fitness.chat.endpoint import Endpoint
from fitness.chat.request import Concession, Concessions

_CODE: Mapping[ReplyFormat, Mapping[str, Any]] = {
    ReplyFormat.JSON: {
        "type": "string",
        "description": "the Python source of the one loss function, without a code fence",
    },
    ReplyFormat.LINES: {
        "type": "array",
        "items": {"type": "string"},
        "description": "the Python source of the one loss function, one string per line, without a code fence",
    },
}


def response_format(form: ReplyFormat) -> Mapping[str, Any]:
    """The request option that makes the endpoint enforce a JSON form. Raises KeyError for the fenced form.

    `thought` comes first in the schema so that the model reasons before it writes code.
    """
    schema = {
        "type": "object",
        "properties": {
            "thought": {
                "type": "string",
                "description": f"the hypothesis this loss tests, in two to five sentences, below {MAX_THOUGHT} characters",
            },
            "name": {"type": "string", "description": f"a short snake_case name, below {MAX_NAME} characters"},
            "code": _CODE[form],
        },
        "required": ["thought", "name", "code"],
        "additionalProperties": False,
    }
    return {"type": "json_schema", "json_schema": {"name": "loss_proposal", "strict": True, "schema": schema}}


FORMS = frozenset(
    {"grammar", "json_schema", "guided_json", "guided_grammar", "guided_regex", "guided_choice", "structured_outputs"}
)
"""Fields of llama.cpp, vLLM and SGLang that enforce a form of the reply."""


def without_form(endpoint: Endpoint) -> Endpoint:
    """The endpoint without those fields of `extra_body` that enforce a form, for a reply that holds no loss."""
    return replace(
        endpoint, extra_body={name: value for name, value in endpoint.extra_body.items() if name not in FORMS}
    )


def format_after(conceded: Concessions, wanted: ReplyFormat) -> ReplyFormat:
    """The reply format for an endpoint with these concessions, where `wanted` was configured."""
    return ReplyFormat.FENCED if Concession.RESPONSE_FORMAT in conceded else wanted
