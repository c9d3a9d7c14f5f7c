"""Detection of the end of the prompt, in conversations and in texts whose common beginning is the prompt.

A conversation's prompt is the common beginning of chosen and rejected, in whole turns. A text's prompt ends after the last marker
of an answer ("\\n\\nAssistant:", "[/INST]" ...) in the common beginning. Without such a marker it ends at the beginning of a
word, and rows with the same question get the same prompt: the shortest of the prompts with the same beginning.
"""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from fitness.preference.pairs.reading.turns import SPEAKERS, Turn

NO_PROMPT = "no prompt"
NO_ANSWER = "an empty completion"
ANSWERED = "a prompt that holds the answer"
OTHER_PROMPTS = "completions that answer different prompts"
Cut = tuple[list[Turn], list[Turn], list[Turn]]
"""Prompt, chosen and rejected."""

ASKING = {"user", "human", "system", "developer"}
GIVEN = ASKING | {"tool", "function", "ipython", "observation"}
"""Roles of turns that are not written by a language model."""

ASSISTANT = re.compile(
    r"\n\nAssistant:|<\|im_start\|>assistant\n?|<\|start_header_id\|>assistant<\|end_header_id\|>\n*|\[/INST\]"
    r"|<start_of_turn>model\n?|<\|assistant\|>\n?|<[|｜]Assistant[|｜]>|<\|CHATBOT_TOKEN\|>|GPT4 Correct Assistant:"
    r"|### ?(?:Response|Assistant|Answer|Output):\n?|(?<!\w)ASSISTANT:"
)
USER = re.compile(
    r"\n\nHuman:|<\|im_start\|>(?:user|system)|<\|start_header_id\|>(?:user|system)<|\[INST\]|<start_of_turn>user|<\|user\|>"
    r"|<[|｜]User[|｜]>|<\|USER_TOKEN\|>|GPT4 Correct User:|### ?(?:Instruction|Human|User|Input|Question):|(?<!\w)USER:"
)
PLAIN_ASSISTANT = re.compile(r"(?:^|\n)(?:Assistant|AI|Bot|Answer|A|TL;DR):")
"""Markers that may also occur inside an answer, so they are used only if there are no others."""

SENTENCE_END = re.compile(r"[?!][\"')\]]*(?=\s|$)|[a-z]{4}\.(?=\s|$)|\n")
JOINER = "\u200d"
JOINED = f"{JOINER}\ufe0f\U0001f3fb\U0001f3fc\U0001f3fd\U0001f3fe\U0001f3ff"
"""Characters that belong to the character before them; after a joiner the next character does too."""
WORDS_ALIKE = 3
"""Most words that answers to one question may share at their beginning and still count as answers."""


# ---- conversations ---------------------------------------------------------------------------------------------------


def holds_prompt(chosen: Any, rejected: Any) -> bool:
    """Whether both certainly begin with their prompt: with a turn that is not an answer, or with text up to a marker of one."""
    if isinstance(chosen, str) and isinstance(rejected, str):
        return ASSISTANT.search(_common(chosen, rejected)) is not None
    return all(first_role(turns) in ASKING for turns in (chosen, rejected))


def first_role(turns: Any) -> str | None:
    """Role of the first turn of a stored conversation; None for other values."""
    turn = turns[0] if isinstance(turns, list) and turns else None
    if not isinstance(turn, dict):
        return None
    role, speaker = turn.get("role"), turn.get("from")
    said = role if isinstance(role, str) else speaker
    return SPEAKERS.get(said.lower(), said) if isinstance(said, str) else None


def common_turns(chosen: list[Turn], rejected: list[Turn]) -> Cut | str:
    """Two conversations split after their common turns, or the reason why this is not possible."""
    alike = sum(1 for _ in _while_equal(chosen, rejected))
    if alike == min(len(chosen), len(rejected)):
        alike -= 1  # one is a prefix of the other, which continues after the same answer
        if alike < 0 or (shorter := min(chosen, rejected, key=len))[-1]["role"] in GIVEN:
            return NO_ANSWER
        while alike and shorter[alike - 1]["role"] not in GIVEN:
            alike -= 1
    prompt, rest = chosen[:alike], (chosen[alike:], rejected[alike:])
    if any(side[0]["role"] in GIVEN for side in rest) or not _same_questions(*rest):
        return OTHER_PROMPTS
    return (prompt, *rest) if prompt else NO_PROMPT


def after_prompt(prompt: list[Turn], chosen: list[Turn], rejected: list[Turn]) -> Cut | str:
    """Completions without the prompt turns that they repeat, or the reason why they do not form a pair."""
    repeated = [_overlap(prompt, side) for side in (chosen, rejected)]
    if all(repeated):
        before = [prompt[: len(prompt) - count] for count in repeated]
        return common_turns(before[0] + chosen, before[1] + rejected)
    sides = [side[count:] for side, count in zip((chosen, rejected), repeated, strict=True)]
    if not all(sides):
        return NO_ANSWER
    if any(side[0]["role"] in ASKING for side in sides) or not _same_questions(*sides):
        return OTHER_PROMPTS
    if prompt[-1]["role"] not in GIVEN and prompt[-1]["content"] in [side[0]["content"] for side in sides]:
        return ANSWERED
    return prompt, sides[0], sides[1]


def after_text_prompt(prompt: str, chosen: list[Turn], rejected: list[Turn]) -> Cut | str:
    """As `after_prompt`, for a prompt that is the text of a user's turn."""
    if not any(side[0]["role"] in GIVEN for side in (chosen, rejected)):
        return after_prompt([{"role": "user", "content": prompt}], chosen, rejected)
    if any(turn["content"].strip() == prompt.strip() for turn in _while_equal(chosen, rejected)):
        return common_turns(chosen, rejected)
    return OTHER_PROMPTS


def _overlap(prompt: list[Turn], side: list[Turn]) -> int:
    """Number of turns at the end of the prompt with which the side begins."""
    if not side or side[0]["role"] not in GIVEN:
        return 0
    return next(
        (n for n in range(min(len(prompt), len(side)), 0, -1) if len(list(_while_equal(prompt[-n:], side[:n]))) == n), 0
    )


def _while_equal(first: Iterable[Turn], second: Iterable[Turn]) -> Iterable[Turn]:
    for one, other in zip(first, second, strict=False):
        if one != other and not _is_same_question(one, other):
            return
        yield one


def _is_same_question(one: Turn, other: Turn) -> bool:
    """Whether two turns that are not written by a model have the same role and content; other fields are ignored."""
    return one["role"] == other["role"] and one["role"] in GIVEN and one["content"] == other["content"]


def _same_questions(first: list[Turn], second: list[Turn]) -> bool:
    asked = [[turn["content"] for turn in side if turn["role"] in ASKING] for side in (first, second)]
    return all(one == other for one, other in zip(*asked, strict=False))


# ---- texts -----------------------------------------------------------------------------------------------------------


def cuts(pairs: Sequence[tuple[str, str]]) -> list[tuple[int | str, bool]]:
    """Per (chosen, rejected): the end of the prompt or the reason why there is no common prompt, and whether a marker set it."""
    found: list[int | str] = [_marked(chosen, rejected) for chosen, rejected in pairs]
    unmarked = [row for row, cut in enumerate(found) if cut == -1]
    prompts = [_whole_words(*pairs[row]) for row in unmarked]
    for row, prompt in zip(unmarked, _by_question(prompts), strict=True):
        found[row] = len(prompt)
    guessed = set(unmarked)
    return [(cut, row not in guessed) for row, cut in enumerate(found)]


def _common(chosen: str, rejected: str) -> str:
    alike, most = 0, min(len(chosen), len(rejected))
    while alike < most:  # bisection: character by character would take minutes for long texts
        middle = (alike + most + 1) // 2
        if chosen[alike:middle] == rejected[alike:middle]:
            alike = middle
        else:
            most = middle - 1
    return chosen[:alike]


def _marked(chosen: str, rejected: str) -> int | str:
    """The end of the last common marker of an answer; -1 without one."""
    common = _common(chosen, rejected)
    marks = list(ASSISTANT.finditer(common))
    if not marks and all(ASSISTANT.search(side) for side in (chosen, rejected)):
        return OTHER_PROMPTS
    marks = marks or list(PLAIN_ASSISTANT.finditer(common))
    if not marks:
        return -1
    end = marks[-1].end()
    return OTHER_PROMPTS if USER.search(common, end) else end


def _whole_words(chosen: str, rejected: str) -> str:
    """The common beginning up to the end of a whole word, without trailing spaces."""
    common = _common(chosen, rejected)
    if any(_inside_a_word(side, len(common)) for side in (chosen, rejected)):
        common = re.sub(r"(?<!\S)\S+\Z", "", common)  # searched at beginnings of words only: linear time
    return common.rstrip(" \t")


def _inside_a_word(text: str, place: int) -> bool:
    if not 0 < place < len(text):
        return False
    before, after = text[place - 1], text[place]
    if unicodedata.combining(after) or after in JOINED or before == JOINER:
        return True
    # Scripts from this code point on, such as Chinese and Japanese, have no spaces between words.
    if before.isspace() or after.isspace() or max(before, after) >= "\u2e80":
        return False
    return before not in "?!:"


def _by_question(prompts: Sequence[str]) -> list[str]:
    """The prompts, with one prompt per question.

    A prompt that extends a shorter one by whole words becomes the shorter one. Prompts that share a first sentence, followed by a
    few words of an answer, become that sentence.
    """
    first: dict[str, str] = {}
    above: list[str] = []
    for prompt in sorted({prompt for prompt in prompts if prompt}):
        while above and not prompt.startswith(above[-1]):
            above.pop()
        shorter = next((one for one in reversed(above) if _goes_on(prompt, one)), prompt)
        first[prompt] = first.get(shorter, prompt)
        above.append(prompt)
    rows = Counter(first[prompt] for prompt in prompts if prompt)
    sentences: dict[str, list[str]] = defaultdict(list)
    for prompt in rows:
        ends = [end.end() for end in SENTENCE_END.finditer(prompt)]
        if ends and 0 < len(prompt[ends[-1] :].split()) <= WORDS_ALIKE:
            sentences[prompt[: ends[-1]]].append(prompt)
    for sentence, longer in sentences.items():
        # If most rows begin with the sentence, it is a shared instruction and not their question.
        if len(longer) > 1 and sum(rows[prompt] for prompt in longer) <= len(prompts) / 2:
            first |= dict.fromkeys(longer, sentence)

    def shortest(prompt: str) -> str:
        shorter = first.get(prompt, prompt)
        return prompt if shorter == prompt else shortest(shorter)

    return [shortest(prompt) for prompt in prompts]


def _goes_on(longer: str, shorter: str) -> bool:
    """Whether `longer` is `shorter` plus the beginning of an answer: `shorter` is a sentence, or only a few words follow it."""
    if _inside_a_word(longer, len(shorter)):
        return False
    if _is_sentence(shorter):
        return True
    return len(longer[len(shorter) :].split()) <= WORDS_ALIKE and not _is_sentence(longer)


def _is_sentence(text: str) -> bool:
    return any(end.end() == len(text) for end in SENTENCE_END.finditer(text))
