"""Removal of a model's reasoning from the text of its answer.

A server that has a parser for the model returns the reasoning separately (`reasoning_content`, `reasoning`, `thinking`). Without
one, the model's own markers are in the text. The first marker may be missing, because the chat template put it in the prompt.
"""

import json
import re

_NAME = r"(?:seed:)?(?:think|thinking|thought|thoughts|reasoning|reflection|scratchpad|analysis)"
_STARTS = rf"<{_NAME}>|\[THINK\]|◁think▷|<\|START_THINKING\|>|<\|begin_of_thought\|>|<\|channel>thought\b"
_ENDS = rf"</{_NAME}>|\[/THINK\]|◁/think▷|<\|END_THINKING\|>|<\|end_of_thought\|>|<channel\|>"
_END = re.compile(_ENDS, re.IGNORECASE)
_MARK = re.compile(rf"(?P<start>{_STARTS})|(?P<end>{_ENDS})", re.IGNORECASE)
_CHANNEL = re.compile(r"<\|channel\|>([^<]*)(?:<\|constrain\|>[^<]*)?<\|message\|>")
"""Channel marker of OpenAI's open models: analysis, commentary (to=... calls a tool) or final."""
_OVER = re.compile(r"<\|(?:end|return|call|start)\|>")
_MESSAGE_END = re.compile(r"(?:<\|(?:end|return|im_end|eot_id|eom_id|endoftext)\|>|<end_of_turn>|</s>)\s*\Z")
_BARE_FINAL = "assistantfinal"
"""The same markers from a server that removes text in angle brackets: analysisThe user wants ... assistantfinal{...}"""
_BARE_ANALYSIS = re.compile(r"\s*analysis(?=[A-Z])")


def without_reasoning(text: str) -> str | None:
    """The answer without the reasoning; drafts inside the reasoning do not count. None if the reasoning does not end.

    Text before an end marker without a start marker is reasoning too. Of several answers the last that is not blank counts. The
    time is linear in the length of the text.
    """
    text = _MESSAGE_END.sub("", text)
    if _is_object(text):  # markers inside its strings are part of the answer
        return text
    if _CHANNEL.search(text) or text.lstrip().startswith("<|channel|>"):
        return _final_channel(text)
    if _BARE_ANALYSIS.match(text):
        _, found, answer = text.rpartition(_BARE_FINAL)
        return answer if found else None
    if (first := _MARK.search(text)) is None or (text[: first.start()].strip() and not _END.search(text)):
        return text  # the answer only mentions a marker
    pieces, begin, thinking = [""], 0, False
    for mark in _MARK.finditer(text):
        if mark.lastgroup == "end":
            pieces = pieces if thinking else [""]
            begin, thinking = mark.end(), False
        elif not thinking:
            pieces.append(text[begin : mark.start()])
            thinking = True
    if not thinking:
        pieces.append(text[begin:])
    answer = next((piece for piece in reversed(pieces) if piece.strip()), "")
    return answer if answer or not thinking else None


def _is_object(text: str) -> bool:
    """Whether the text is one JSON object and nothing else."""
    if not text.lstrip().startswith("{"):
        return False
    try:
        return isinstance(json.loads(text, strict=False), dict)
    except (ValueError, RecursionError):
        return False


def _final_channel(text: str) -> str | None:
    opened = list(_CHANNEL.finditer(text))
    for wanted in ("final", "to="):  # a call of a tool that does not exist can hold the answer too
        for mark in reversed(opened):
            if wanted in mark[1]:
                return _OVER.split(text[mark.end() :], maxsplit=1)[0]
    return None
