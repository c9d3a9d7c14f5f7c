"""Check of one pair by the rules in `rules`: renders and tokenises the pair, and reports what is wrong with it."""

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from transformers import PreTrainedTokenizerBase

from fitness.preference.options import Options
from fitness.preference.pairs.tokens import (
    NotRendered,
    Row,
    Tokens,
    is_conversation,
    pair_tokens,
    rendered,
    shared_length,
)

SAID_IN = ("content", "reasoning_content", "reasoning", "thinking", "tool_calls")
"""Fields of a turn that hold content; its other fields are metadata."""
CALLS = ("tool_calls", "function_call")
READ_ROLES = ("system", "developer", "user")
"""Roles of prompt turns whose text every template should show unchanged."""

LEAST_REPEATED = 20
"""Least length of a prompt, in characters, for which a single completion that begins with it counts as repeating it."""


class PairCheck:
    """Tokenises pairs and applies the rules to them."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        options: Options,
        *,
        vocabulary: int | None = None,
        stops: frozenset[int] = frozenset(),
    ) -> None:
        """`vocabulary` is the number of tokens that the model has an embedding for, `stops` are its stop tokens."""
        self.tokenizer, self.options = tokenizer, options
        self.vocabulary, self.stops = vocabulary, stops
        added = {id for id, token in tokenizer.added_tokens_decoder.items() if token.special}
        self._special = frozenset(tokenizer.all_special_ids) | added
        unknown = tokenizer.unk_token_id  # some vocabularies reuse another special token here: then nothing is unknown
        others = (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id)
        self._unknown = None if unknown in others else unknown
        self._ends = self._special - {self._unknown} - ({tokenizer.bos_token_id} - {tokenizer.eos_token_id})
        written = sorted({self.text([id]).strip() for id in self._special - {unknown}} - {""}, key=len, reverse=True)
        self._written = re.compile("|".join(map(re.escape, written)) or r"(?!)")
        self._blank: dict[int, bool] = {}

    def __call__(self, row: Row) -> tuple[Tokens, dict[str, str]]:
        """The tokens of a pair (empty if the template fails), and an example by the name of each rule that applies."""
        try:
            tokens = pair_tokens(row, self.tokenizer).with_prompt_cut(self.options.max_prompt_length)
            if left_out := self._left_out(row, tokens):
                return tokens, {left_out: ""}
            found = dict(self._of_tokens(tokens))
            found |= self._of_conversation(row, tokens) if is_conversation(row) else self._of_text(tokens)
        except NotRendered as error:
            return Tokens([], [], [], []), {"not rendered": str(error)}
        if repeated := _repeats_prompt(row):
            found[repeated] = _asked(row["prompt"])
        return tokens, found

    def text(self, ids: Sequence[int]) -> str:
        """The text of tokens, special tokens included."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False))

    def kept_apart(self, tokens: Tokens) -> str:
        """A digest of what may not be in two parts: the rendered prompt, or the pair in either order (fitness.split_by).

        "" if it may: if it has unknown tokens, or if the prompt, which is all that is compared, is blank.
        """
        asked = tokens.asked
        if self.options.split_by == "pair":
            whole = [asked, *sorted([tokens.chosen, tokens.rejected])]
        else:
            whole = [] if self._is_blank(asked) else [asked]
        if not whole or any(self._unknown in part for part in whole):
            return ""
        return hashlib.sha256(json.dumps(whole if len(whole) > 1 else asked).encode()).hexdigest()[:16]

    def _left_out(self, row: Row, tokens: Tokens) -> str | None:
        """The rule by which a pair is left out, if any."""
        longest = self.options.max_length
        if not self.options.max_prompt_length and len(tokens.prompt) >= longest:
            return "too long"
        cut = tokens.within(longest)
        if not all(_says_something(row[side]) for side in ("chosen", "rejected")):
            return "blank"
        if any(map(self._is_blank, cut)):
            return (
                "hidden"
                if is_conversation(row) and any(map(self._is_blank, (tokens.chosen, tokens.rejected)))
                else "blank"
            )
        if tokens.chosen == tokens.rejected:
            return "equal unknown" if self._unknown in tokens.chosen else "equal"
        return "equal when cut" if cut[0] == cut[1] else None

    def _of_tokens(self, tokens: Tokens) -> Iterator[tuple[str, str]]:
        cut = tokens.within(self.options.max_length)
        highest = max(map(max, filter(None, (tokens.prompt, *cut))))
        if self.vocabulary is not None and highest >= self.vocabulary:
            yield (
                "beyond the embedding",
                f"token {highest} is {self.text([highest])!r}, the embedding has {self.vocabulary}",
            )
        both = [*cut[0], *cut[1]]
        if self._unknown is not None and 2 * both.count(self._unknown) > len(both):
            yield "unknown", self.text(tokens.chosen)
        beginning = self.tokenizer.bos_token_id
        if beginning is not None and [*tokens.prompt, *tokens.chosen][:2] == [beginning, beginning]:
            yield "two beginnings", self.text([*tokens.prompt, *tokens.chosen][:12])
        for side, kept in zip((tokens.chosen, tokens.rejected), cut, strict=True):
            if len(kept) < len(side):
                yield "cut", self.text(kept[-8:])
            else:
                yield from self._of_end(side)

    def _of_end(self, completion: Sequence[int]) -> Iterator[tuple[str, str]]:
        """Rules that apply to the end of a completion that is not cut."""
        ends = []
        for token in reversed(completion):
            if token in self._ends:
                ends.append(token)
            elif not self._is_blank([token]):
                break
        shown = self.text(completion[-8:])
        if not ends:
            yield "no end", shown
        elif len(set(ends)) < len(ends):
            yield "two ends", shown
        elif self.stops and not self.stops & set(ends):
            yield "does not stop", shown

    def _of_text(self, tokens: Tokens) -> dict[str, str]:
        # If only special tokens are lost, they are the end that the tokenizer adds to a text.
        found = {} if self._special.issuperset(tokens.lost) else {"merged": self.text(tokens.lost)}
        for side in (tokens.chosen, tokens.rejected):
            inside = next((id for id in side[:-1] if id in self._special and id != self._unknown), None)
            if inside is not None and not self._is_blank(side[side.index(inside) :]):
                found["special text"] = self.text([inside])
        return found

    def _of_conversation(self, row: Row, tokens: Tokens) -> dict[str, str]:
        found = {}
        asked = rendered(row, "prompt", self.tokenizer, add_generation_prompt=True)
        whole, other = (rendered(row, side, self.tokenizer) for side in ("chosen", "rejected"))
        shared = shared_length(asked, whole, other)
        if tokens.lost and shared == len(asked):
            found["merged"] = self.text(tokens.lost)
        elif tokens.lost:
            bare = rendered(row, "prompt", self.tokenizer)
            proper = len(asked[: shared_length(asked, bare)].rstrip())
            found["other prompt" if shared < proper else "other generation prompt"] = asked[shared:]
        answer = _content(row["chosen"][0]).strip()
        before = whole[shared:].split(answer, 1)[0] if answer and answer in whole[shared:] else ""
        if before.strip() and "other prompt" not in found:
            found["header"] = before
        hidden = [
            turn for turn in row["prompt"] if turn.get("role") in READ_ROLES and _content(turn).strip() not in whole
        ]
        if hidden:
            found["turn not shown"] = f"{hidden[0]['role']}: {_content(hidden[0])}"
        if (last := _content(row["chosen"][-1]).strip()) not in whole:
            found["answer not shown"] = last
        if (calls := self._calls_not_shown(row, whole, other)) is not None:
            found["calls not shown"] = calls
        if (
            row.get("tools")
            and rendered(row, "prompt", self.tokenizer, add_generation_prompt=True, tools=None) == asked
        ):
            found["tools not shown"] = str(row["tools"])
        turns = [turn for side in ("prompt", "chosen", "rejected") for turn in row[side]]
        parts = (str(turn["content"]) for turn in turns if isinstance(turn.get("content"), list) and turn["content"])
        if written := next((text for text in parts if text in whole or text in other), None):
            found["parts as text"] = written
        texts = map(_content, turns)
        if special := next(filter(None, map(self._written.search, texts)), None):
            found["special text"] = special[0]
        return found

    def _calls_not_shown(self, row: Row, whole: str, other: str) -> str | None:
        """The first tool call, if the template renders the same text without tool calls."""
        calls = (turn.get(part) for side in ("prompt", "chosen", "rejected") for turn in row[side] for part in CALLS)
        if (first := next(filter(None, calls), None)) is None:
            return None
        bare = _without_calls(row)
        try:
            is_same = [rendered(bare, side, self.tokenizer) for side in ("chosen", "rejected")] == [whole, other]
        except NotRendered:
            return None
        return str(first) if is_same else None

    def _is_blank(self, ids: Sequence[int]) -> bool:
        """Whether the tokens hold no text: only whitespace and special tokens."""
        return all(
            self._blank[id] if id in self._blank else self._blank.setdefault(id, self._no_text(id)) for id in ids
        )

    def _no_text(self, id: int) -> bool:
        return id != self._unknown and (id in self._special or not self.text([id]).strip())


def _says_something(completion: Any) -> bool:
    if isinstance(completion, str):
        return bool(completion.strip())
    said = (turn.get(part) for turn in completion for part in SAID_IN)
    return any(part.strip() if isinstance(part, str) else part for part in said)


def _repeats_prompt(row: Row) -> str | None:
    """The rule on repeated prompts that applies, if any.

    "prompt repeated": the common beginning of chosen and rejected contains the prompt or its last turn. "prompt in one": one of
    them begins with it.
    """
    again = _asked(row["prompt"]).strip()
    chosen, rejected = _all_said(row["chosen"]), _all_said(row["rejected"])
    if again and again in chosen[: shared_length(chosen, rejected)]:
        return "prompt repeated"
    # A short prompt may be the beginning of a normal answer.
    is_long = len(again) >= LEAST_REPEATED
    return "prompt in one" if is_long and any(side.lstrip().startswith(again) for side in (chosen, rejected)) else None


def _asked(prompt: Any) -> str:
    return prompt if isinstance(prompt, str) else "".join(map(_content, prompt[-1:]))


def _all_said(completion: Any) -> str:
    return completion if isinstance(completion, str) else "\n".join(map(_content, completion))


def _without_calls(row: Row) -> Row:
    return {
        **row,
        **{
            side: [{part: held for part, held in turn.items() if part not in CALLS} for turn in row[side]]
            for side in ("prompt", "chosen", "rejected")
        },
    }


def _content(turn: Any) -> str:
    content = turn.get("content")
    return content if isinstance(content, str) else ""
