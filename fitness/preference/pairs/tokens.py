"""Tokens of a preference pair, as TRL's DPOTrainer makes them, and their truncation.

TRL tokenises inside a trainer, which needs a model. This module needs only a tokenizer, so pairs can be checked before anything
is loaded. A test compares the tokens with TRL's.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

TEMPLATE_ERRORS = (TemplateError, TypeError, ValueError, LookupError, AttributeError)
"""Exceptions that rendering a conversation may raise: a template is a program."""

Row = Mapping[str, Any]
"""A raw pair: `prompt`, `chosen` and `rejected`, all strings or all conversations; perhaps `tools`, `chat_template_kwargs`."""


class NotRendered(Exception):
    """A chat template failed on a conversation; the message is the template's."""


@dataclass(frozen=True)
class Tokens:
    """Token ids of a pair. Training uses `prompt + chosen` and `prompt + rejected`, each up to `max_length`."""

    prompt: list[int]
    chosen: list[int]
    rejected: list[int]
    lost: list[int]
    """The end of the prompt that is rendered differently when a completion follows; in neither sequence."""
    before: list[int] = field(default_factory=list)
    """The beginning of the prompt that was cut off; in neither sequence."""

    @property
    def asked(self) -> list[int]:
        """The whole rendered prompt."""
        return [*self.before, *self.prompt, *self.lost]

    def with_prompt_cut(self, longest: int | None) -> "Tokens":
        """The same pair with only the last `longest` tokens of the prompt."""
        if not longest:
            return self
        return replace(self, prompt=self.prompt[-longest:], before=self.prompt[:-longest])

    def within(self, max_length: int) -> tuple[list[int], list[int]]:
        """The parts of both completions that fit in sequences of at most `max_length` tokens."""
        room = max(0, max_length - len(self.prompt))
        return self.chosen[:room], self.rejected[:room]


def pair_tokens(row: Row, tokenizer: PreTrainedTokenizerBase) -> Tokens:
    """The tokens of one pair, uncut. Raises NotRendered."""
    if is_conversation(row):
        prompt = _rendered_ids(row, "prompt", tokenizer, add_generation_prompt=True)
        chosen, rejected = (_rendered_ids(row, side, tokenizer) for side in ("chosen", "rejected"))
    else:
        prompt = _ids(row["prompt"], tokenizer)
        chosen, rejected = (_ids(row["prompt"] + _ended(row[s], tokenizer), tokenizer) for s in ("chosen", "rejected"))
    # A template or a tokenizer may render a prompt alone differently from a prompt before a completion.
    shared = shared_length(prompt, chosen, rejected)
    return Tokens(prompt[:shared], chosen[shared:], rejected[shared:], prompt[shared:])


def is_conversation(row: Row) -> bool:
    """Whether a pair consists of conversations, which a chat template renders."""
    return isinstance(row["chosen"], list)


def rendered(row: Row, side: str, tokenizer: PreTrainedTokenizerBase, **changes: Any) -> str:
    """The rendered text of a conversation's prompt, or of prompt and completion. Raises NotRendered."""
    return str(_applied(row, side, tokenizer, tokenize=False, **changes))


def shared_length(*sequences: Sequence[Any]) -> int:
    """Length of the common prefix of all sequences."""
    first, *others = sequences
    for length, items in enumerate(zip(first, *others, strict=False)):
        if any(item != items[0] for item in items[1:]):
            return length
    return min(map(len, sequences))


def _rendered_ids(row: Row, side: str, tokenizer: PreTrainedTokenizerBase, **changes: Any) -> list[int]:
    return list(_applied(row, side, tokenizer, tokenize=True, return_dict=True, **changes)["input_ids"])


def _applied(row: Row, side: str, tokenizer: PreTrainedTokenizerBase, **changes: Any) -> Any:
    turns = list(row["prompt"]) if side == "prompt" else [*row["prompt"], *row[side]]
    try:
        return tokenizer.apply_chat_template(turns, **_settings(row) | changes)
    except TEMPLATE_ERRORS as error:
        raise NotRendered(f"{type(error).__name__}: {error}") from error


def _settings(row: Row) -> dict[str, Any]:
    tools = row.get("tools")
    return {"tools": json.loads(tools) if isinstance(tools, str) else tools, **(row.get("chat_template_kwargs") or {})}


def _ids(text: str, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    return list(tokenizer(text=text)["input_ids"])


def _ended(completion: str, tokenizer: PreTrainedTokenizerBase) -> str:
    end = str(tokenizer.eos_token)
    return completion if completion.endswith(end) else completion + end
