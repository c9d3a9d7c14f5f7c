"""What a model thought before its answer, where a server leaves that in the answer's text.

Servers with a parser for the model at hand hand the two over apart (`reasoning_content`, `reasoning`, `thinking`). Without one the
model's own marks come through, and the first of them may be missing, because the chat template put it into the prompt.
"""

import json
import re

_NAME = r"(?:seed:)?(?:think|thinking|thought|thoughts|reasoning|reflection|scratchpad|analysis)"
_STARTS = rf"<{_NAME}>|\[THINK\]|◁think▷|<\|START_THINKING\|>|<\|begin_of_thought\|>|<\|channel>thought\b"
_ENDS = rf"</{_NAME}>|\[/THINK\]|◁/think▷|<\|END_THINKING\|>|<\|end_of_thought\|>|<channel\|>"
_END = re.compile(_ENDS, re.IGNORECASE)
_MARK = re.compile(rf"(?P<start>{_STARTS})|(?P<end>{_ENDS})", re.IGNORECASE)
_CHANNEL = re.compile(r"<\|channel\|>([^<]*)(?:<\|constrain\|>[^<]*)?<\|message\|>")
"""Of OpenAI's open models: analysis, commentary (to=... calls a tool) or final."""
_OVER = re.compile(r"<\|(?:end|return|call|start)\|>")
_MESSAGE_END = re.compile(r"(?:<\|(?:end|return|im_end|eot_id|eom_id|endoftext)\|>|<end_of_turn>|</s>)\s*\Z")
_BARE_FINAL = "assistantfinal"
"""The same marks where a server dropped what stands in brackets: analysisThe user wants ... assistantfinal{...}"""
_BARE_ANALYSIS = re.compile(r"\s*analysis(?=[A-Z])")


def without_reasoning(text: str) -> str | None:
    """The answer alone: drafts within the reasoning are none. None where the reasoning does not come to its end.

    What stands before an end without a start is reasoning as well. Of several pieces of answer the last that is not blank counts.
    Every pass is linear.
    """
    text = _MESSAGE_END.sub("", text)
    if _is_object(text):  # what its strings say is part of the answer
        return text
    if _CHANNEL.search(text) or text.lstrip().startswith("<|channel|>"):
        return _final_channel(text)
    if _BARE_ANALYSIS.match(text):
        _, found, answer = text.rpartition(_BARE_FINAL)
        return answer if found else None
    if (first := _MARK.search(text)) is None or (text[: first.start()].strip() and not _END.search(text)):
        return text  # an answer that speaks of a mark
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
    """Whether this is one JSON object and nothing else."""
    if not text.lstrip().startswith("{"):
        return False
    try:
        return isinstance(json.loads(text, strict=False), dict)
    except (ValueError, RecursionError):
        return False


def _final_channel(text: str) -> str | None:
    opened = list(_CHANNEL.finditer(text))
    for wanted in ("final", "to="):  # a call of a tool that does not exist holds the answer as well
        for mark in reversed(opened):
            if wanted in mark[1]:
                return _OVER.split(text[mark.end() :], maxsplit=1)[0]
    return None
