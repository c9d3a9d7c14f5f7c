"""Prompts of a policy: a conversation as token ids, with the tokenizer's chat template or as plain lines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from transformers import AutoConfig, AutoTokenizer

from fitness.benchmarks.generation.generator import GenerationOptions, Written
from fitness.benchmarks.protocol import BenchmarkError, Question, Sampling
from fitness.preference.pairs.limits import positions

TEMPLATE_REMEDY = (
    "give one with generation.chat_template=FILE.jinja, or set generation.plain=true for a model that knows no chats"
)


class Chats:
    """Tokenizer and limits of the policy in a folder."""

    def __init__(self, folder: Path, options: GenerationOptions) -> None:
        """Loads the tokenizer only. Raises BenchmarkError if it cannot be loaded or has no chat template."""
        self.name = folder.name
        try:
            self.tokenizer: Any = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
            config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        except (OSError, ValueError, KeyError, ImportError) as error:
            text = " ".join(str(error).split())
            raise BenchmarkError(
                f"cannot load the policy in {folder} ({type(error).__name__}: {text[:300]}); give a folder that transformers' "
                "save_pretrained wrote, with a tokenizer"
            ) from None
        self.context = positions(config.to_dict())
        self.plain = options.plain
        if options.chat_template is not None:
            self.tokenizer.chat_template = options.chat_template.read_text("utf-8")
        if not self.plain and not self.tokenizer.chat_template:
            raise BenchmarkError(f"the tokenizer of the policy in {folder} has no chat template: {TEMPLATE_REMEDY}")

    def ids(self, question: Question, answers: Sequence[str]) -> list[int]:
        """Token ids of the conversation up to the turn after `answers`; at least one. Raises BenchmarkError."""
        turns = [{"role": "system", "content": question.system}] if question.system else []
        for number, turn in enumerate(question.turns[: len(answers) + 1]):
            turns.append({"role": "user", "content": turn})
            if number < len(answers):
                turns.append({"role": "assistant", "content": answers[number]})
        if self.plain:
            found = self.tokenizer("\n".join(turn["content"] for turn in turns))["input_ids"]
        else:
            found = self.tokenizer(self._rendered(turns), add_special_tokens=False)["input_ids"]
        first = self.tokenizer.bos_token_id
        return list(found) or [self.tokenizer.eos_token_id if first is None else first]

    def _rendered(self, turns: Sequence[dict[str, str]]) -> str:
        try:
            text: str = self.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        except Exception as error:  # jinja's errors, and whatever a template raises
            said = " ".join(str(error).split())[:200]
            raise BenchmarkError(
                f"the chat template of {self.name} cannot render a question ({type(error).__name__}: {said}): {TEMPLATE_REMEDY}"
            ) from None
        return text

    def cut(self, ids: list[int], longest_answer: int) -> list[int]:
        """`ids` without the beginning that leaves no room for an answer of `longest_answer` tokens. Raises BenchmarkError."""
        if self.context is None:
            return ids
        room = self.context - longest_answer
        if room < 1:
            raise BenchmarkError(
                f"{self.name} has a context of {self.context} tokens, and an answer may have {longest_answer}: set "
                f"generation.max_new_tokens to less than {self.context}, for example {max(1, self.context // 2)}"
            )
        return ids[-room:]


Continue = Callable[[Sequence[list[int]], int], Sequence[tuple[str, int]]]
"""Continues prompts (token ids) with at most so many tokens each: the text of each answer, and its number of tokens."""


def turn_by_turn(
    chats: Chats, questions: Sequence[Question], sampling: Sampling, options: GenerationOptions, continued: Continue
) -> list[Written]:
    """The answers to a batch of questions: all first turns, then all second turns with the first answers before them, and so on."""
    limit = min(sampling.max_new_tokens, options.max_new_tokens or sampling.max_new_tokens)
    answers: list[list[str]] = [[] for _ in questions]
    tokens, cut = [0] * len(questions), [0] * len(questions)
    for turn in range(max(len(question.turns) for question in questions)):
        active = [index for index, question in enumerate(questions) if len(question.turns) > turn]
        whole = [chats.ids(questions[index], answers[index]) for index in active]
        prompts = [chats.cut(ids, limit) for ids in whole]
        for index, ids, prompt, (text, written) in zip(active, whole, prompts, continued(prompts, limit), strict=True):
            answers[index].append(until_stop(text, sampling.stop))
            tokens[index] += written
            cut[index] += len(prompt) < len(ids)
    return [Written(tuple(turns), n, k) for turns, n, k in zip(answers, tokens, cut, strict=True)]


def until_stop(text: str, stops: Sequence[str]) -> str:
    """`text` up to the first of the stop texts, without white space around it."""
    ends = [place for stop in stops if stop and (place := text.find(stop)) >= 0]
    return text[: min(ends)].strip() if ends else text.strip()
