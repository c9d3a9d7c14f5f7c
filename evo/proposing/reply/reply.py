"""Parser of a model's reply: thought, name and source code, or the reason why there are none.

Threat model. The text is hostile: it may have any size and form, and may try to control a terminal, a prompt or a reader.
Covered: bounded work (a fixed number of linear passes), bounded results, and no control characters, ANSI sequences, bidirectional
overrides or lone surrogates in any result. Not covered here but in the sandbox's jail: the content of the code. It is neither
parsed nor executed here.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from evo.proposing.reply.bare_names import qualified
from evo.proposing.reply.code_text import tidied, without_prose_below
from evo.proposing.reply.fences import Document
from evo.proposing.reply.lenient_json import START, read_object
from evo.proposing.reply.line_breaks import restored
from evo.proposing.reply.signatures import fit, without_unused
from fitness.chat.replies.reasoning import without_reasoning
from fitness.chat.text import printable, unquoted
from sandbox.contracts.contract import CONTRACTS, Contract

MAX_REPLY = 256 * 1024
"""Maximum characters of a reply; a longer one is refused."""
MAX_CODE = 32 * 1024
"""Maximum characters of source code; a typical loss has about a thousand."""
MAX_THOUGHT = 2000
MAX_NAME = 60
_MAX_JSON_STARTS = 32
_MAX_LENIENT_STARTS = 8
_MAX_BARE = 8
_UNREADABLE_JSON = (ValueError, RecursionError)


class ReplyFormat(StrEnum):
    """Format that a model is asked to reply in."""

    JSON = "json"
    """One JSON object with thought, name and code, enforced by the endpoint."""
    LINES = "lines"
    """The same with the code as a list of lines, so that no line break can be lost within a string."""
    FENCED = "fenced"
    """Two labelled lines and one fenced code block, for endpoints that cannot enforce JSON."""


class FailureKind(StrEnum):
    """Why a reply holds no candidate."""

    EMPTY = "empty"
    CUT_OFF = "cut_off"
    PROSE_ONLY = "prose_only"
    BROKEN_JSON = "broken_json"
    MISSING_CODE = "missing_code"
    TOO_LONG = "too_long"


@dataclass(frozen=True, slots=True)
class ParsedReply:
    """A parsed proposal: its idea, a display name, and Python source that is not vetted yet."""

    thought: str
    name: str
    code: str


@dataclass(frozen=True, slots=True)
class ParseFailure:
    """A reply without a candidate. `message` and `remedy` contain none of the model's text, so they may go into the next prompt."""

    kind: FailureKind
    message: str
    remedy: str


def parse_reply(text: str, contract: Contract | None = None) -> ParsedReply | ParseFailure:
    """The proposal in `text`, or why there is none. Never raises.

    Parameters that the loss does not use and that are no argument of `contract` are removed from its signature. Functions of torch
    that are called without their module get it.

    Looked for in this order: a JSON object with `code` (alone, in a fence, or within prose), a fenced code block, what is
    nearly JSON, bare code. Of several that define a function, those count whose function takes the arguments of `contract`
    (None: of any known one), since an example or a test is no loss; of these the last, since models correct themselves downwards.
    """
    found = _found(text, contract)
    if isinstance(found, ParsedReply) and contract is not None:
        found = replace(found, code=without_unused(found.code, contract))
    return replace(found, code=qualified(found.code)) if isinstance(found, ParsedReply) else found


def _found(text: str, contract: Contract | None) -> ParsedReply | ParseFailure:
    if len(text) > MAX_REPLY:
        return _too_long("reply", len(text), MAX_REPLY)
    written = without_reasoning(text.replace("\r\n", "\n").replace("\r", "\n"))
    cut_off = written is None
    answer = unquoted((written or "").strip("\ufeff \n\t"))
    if not answer:
        return _CUT_OFF if cut_off else _EMPTY
    objects = _json_objects(answer)
    if found := _from_objects(objects, contract):
        return found
    document = Document.of(answer)
    blocks = [_inner(b.text, contract) for b in document.blocks if b.closed and not b.text.lstrip().startswith("{")]
    if code := _best(blocks, contract):
        return _from_prose(document.prose, code)
    if found := _from_objects(_lenient_objects(answer), contract):
        return found
    if cut_off or any(not block.closed for block in document.blocks):
        return _CUT_OFF
    if objects:
        return _MISSING_IN_JSON
    if not document.blocks and not answer.startswith("{"):
        bare = _bare_codes(answer)
        if code := _best(list(bare), contract):
            return _from_prose(answer[: bare[code]], code)
    return _no_code(answer, fenced=bool(document.blocks))


def _from_objects(
    objects: Sequence[Mapping[str, object]], contract: Contract | None
) -> ParsedReply | ParseFailure | None:
    codes = [_code_of(value, contract) for value in objects]
    code = _best(codes, contract)
    if not code:
        return None
    value = next(value for value, its in zip(objects[::-1], codes[::-1], strict=True) if its == code)
    return _parsed(_text(value, "thought"), _text(value, "name"), code)


def _best(codes: Sequence[str], contract: Contract | None) -> str:
    """The last of the best matches with the contract among the codes that define a function; empty if none does."""
    codes = [code for code in codes if _DEF.search(code)]
    codes = [code for code in codes if not _STUB.search(code[-_LONGEST_STUB:])] or codes
    contracts = CONTRACTS.values() if contract is None else (contract,)
    fits = [max(fit(code, each) for each in contracts) if len(codes) > 1 else 0 for code in codes]
    return next((code for code, fits_by in zip(codes[::-1], fits[::-1], strict=True) if fits_by == max(fits)), "")


def _bare_codes(answer: str) -> dict[str, int]:
    """Code in prose without a fence, with its start position."""
    found: dict[str, int] = {}
    position = 0
    for _ in range(_MAX_BARE):
        line = _CODE_LINE.search(answer, position)
        if line is None:
            break
        code = without_prose_below(tidied(answer[line.start() :]))
        found[code] = line.start()
        position = max(line.end(), line.start() + len(code))
    return found


def _inner(block: str, contract: Contract | None) -> str:
    """A block's source; if the block is itself Markdown, the source of a block in it."""
    code = tidied(block)
    if not code.lstrip().startswith(("```", "~~~")):
        return code
    return tidied(_best([inner.text for inner in Document.of(code).blocks], contract)) or code


_WHOLE_FUNCTION = "give the code of one whole function, from `def` on"
_EMPTY = ParseFailure(
    FailureKind.EMPTY,
    "the reply is empty",
    f"{_WHOLE_FUNCTION}; a model that reasons may need a higher llm.max_tokens to come to its reply",
)
_CUT_OFF = ParseFailure(
    FailureKind.CUT_OFF,
    "the reply ends before its code does",
    "write a shorter thought and shorter code; if it happens often, raise llm.max_tokens",
)

_MISSING_IN_JSON = ParseFailure(
    FailureKind.MISSING_CODE,
    "the JSON object has no function under `code`",
    "put the whole function, from `def` on, into `code` as one string",
)


def _too_long(what: str, size: int, limit: int) -> ParseFailure:
    message = f"the {what} has {size} characters, at most {limit} are read"
    return ParseFailure(FailureKind.TOO_LONG, message, "a loss is about fifteen lines")


def _no_code(answer: str, *, fenced: bool) -> ParseFailure:
    if answer.startswith("{"):
        where = _json_error(answer)
        if where is None:
            return _CUT_OFF
        message = f"the reply is not valid JSON ({where})"
        return ParseFailure(FailureKind.BROKEN_JSON, message, "escape quotes and line breaks within the code")
    if fenced:
        message = "no code block of the reply defines a function"
        return ParseFailure(FailureKind.MISSING_CODE, message, _WHOLE_FUNCTION)
    return ParseFailure(FailureKind.PROSE_ONLY, "the reply is prose without a function", _WHOLE_FUNCTION)


# --- JSON ------------------------------------------------------------------------------------------------------------

_DECODER = json.JSONDecoder(strict=False)  # models write raw line breaks into JSON strings
_OBJECT_START = re.compile(r'\{\s*"')
_CURLY_QUOTES = re.compile(r"\{\s*[“”]")
_PLAIN_QUOTES = {ord("“"): '"', ord("”"): '"'}


def _json_objects(answer: str) -> list[Mapping[str, object]]:
    """The JSON objects in `answer`, in order. At most `_MAX_JSON_STARTS` possible starts are tried."""
    objects: list[Mapping[str, object]] = []
    position = 0
    for _ in range(_MAX_JSON_STARTS):
        start = _OBJECT_START.search(answer, position)
        if start is None:
            break
        try:
            value, position = _DECODER.raw_decode(answer, start.start())
        except _UNREADABLE_JSON:
            position = start.end()
            continue
        objects.append(value)
    return objects


def _lenient_objects(answer: str) -> list[Mapping[str, object]]:
    """The objects in `answer` that are nearly valid JSON, in order."""
    objects: list[Mapping[str, object]] = []
    position = 0
    if _CURLY_QUOTES.search(answer):
        answer = answer.translate(_PLAIN_QUOTES)
    for _ in range(_MAX_LENIENT_STARTS):
        start = START.search(answer, position)
        if start is None:
            break
        position = start.end()
        if value := read_object(answer, start.start()):
            objects.append(value)
    return objects


def _text(value: Mapping[str, object], key: str) -> str:
    found = value.get(key)
    return found if isinstance(found, str) else ""


def _code_of(value: Mapping[str, object], contract: Contract | None) -> str:
    """The value of `code` in an object, else the only text in it that defines a function."""
    codes = [_source(found, contract) for key, found in value.items() if key.strip().lower() == "code"]
    if not any(codes):
        others = [found for key, found in value.items() if key.strip().lower() not in ("thought", "name")]
        codes = [code for found in others if _DEF.search(code := _source(found, contract))]
    return codes[-1] if len(codes) == 1 else ""


def _source(found: object, contract: Contract | None) -> str:
    """Source code from a text or a list of lines, with or without a fence. Lost line breaks are restored."""
    if isinstance(found, Mapping):
        found = next((text for text in found.values() if isinstance(text, str) and _DEF.search(text)), None)
    if isinstance(found, list):
        found = "\n".join(line.rstrip("\n") for line in found if isinstance(line, str))
    if not isinstance(found, str):
        return ""
    code = tidied(found)
    code = tidied(_best([block.text for block in Document.of(code).blocks], contract)) or code
    return restored(code) or code


def _json_error(answer: str) -> str | None:
    """Message with the position of the first JSON error in `answer`; None if the text is only incomplete."""
    try:
        _DECODER.raw_decode(answer)
    except json.JSONDecodeError as error:
        if error.pos >= len(answer) or error.msg.startswith("Unterminated string"):
            return None
        return f"line {error.lineno}, column {error.colno}"
    except _UNREADABLE_JSON:
        return "nested too deeply"
    return "not an object of thought, name and code"


# --- Fences and prose ------------------------------------------------------------------------------------------------

_DEF = re.compile(r"^[ \t]*def[ \t]+([A-Za-z_]\w{0,199})[ \t]*\(", re.MULTILINE)
_STUB = re.compile(r":[ \t]*(?:#[^\n]*)?(?:\n\s*#[^\n]*)*\n\s*(?:\.\.\.|pass)[ \t]*(?:#[^\n]*)?\s*\Z")
"""A function without a body, written as a placeholder."""
_LONGEST_STUB = 600
_CLASS = re.compile(r"^class[ \t]+([A-Za-z_]\w{0,199})[ \t]*[(:]", re.MULTILINE)
_CODE_LINE = re.compile(rf"{_DEF.pattern}|^(?:import|from)[ \t]+[A-Za-z_]|{_CLASS.pattern}", re.MULTILINE)
_LABEL = re.compile(r"^[\s*_#>-]{0,8}(thought|name)[\s*_]{0,8}:[\s*_]{0,8}(.*)$", re.IGNORECASE)


def _from_prose(prose: str, code: str) -> ParsedReply | ParseFailure:
    """A proposal from `code` and the prose around it: labelled parts of the prose, else all of it as the thought."""
    parts: dict[str, list[str]] = {"": []}
    current = ""
    for line in prose.split("\n"):
        label = _LABEL.match(line)
        if label:
            current, line = label[1].lower(), label[2]
        parts.setdefault(current, []).append(line)
        if current == "name":
            current = ""
    return _parsed("\n".join(parts.get("thought", parts[""])), " ".join(parts.get("name", ())), code)


def _parsed(thought: str, name: str, code: str) -> ParsedReply | ParseFailure:
    source = printable(code, keep="\n\t").strip("\n") + "\n"
    if len(source) > MAX_CODE:
        return _too_long("code", len(source), MAX_CODE)
    function = _DEF.search(source)
    named = _CLASS.search(source) or function
    if function is None or named is None:
        return ParseFailure(FailureKind.MISSING_CODE, "the code defines no function", _WHOLE_FUNCTION)
    return ParsedReply(clean_thought(thought), clean_name(name) or clean_name(named[1]) or "unnamed", source)


# --- Display text ----------------------------------------------------------------------------------------------------

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_+\-. ]+")


def clean_thought(text: str) -> str:
    """A model's idea as display text: printable, single spaces, at most `MAX_THOUGHT` characters."""
    words = " ".join(printable(text[: 4 * MAX_THOUGHT], keep="\n\r\t").split())
    return words if len(words) <= MAX_THOUGHT else words[: MAX_THOUGHT - 1].rstrip() + "…"


def summary_in(reply: str) -> str:
    """The summary in a reply that holds no loss, as display text; empty if there is none."""
    return clean_thought(without_reasoning(reply) or "")


def clean_name(text: str) -> str:
    """A model's name for its loss as display text: ASCII letters, digits and `_ + - .`, at most `MAX_NAME` characters.

    Greek letters are spelled out (β-DPO becomes beta-DPO); empty where nothing is left.
    """
    spelled = "".join(_spell(c) for c in unicodedata.normalize("NFKC", printable(text[: 8 * MAX_NAME])))
    words = " ".join(_NOT_IN_NAMES.sub(" ", spelled).split())
    return words[:MAX_NAME].strip(" .-+")


def _spell(character: str) -> str:
    name = unicodedata.name(character, "")
    greek = name.startswith("GREEK ") and " LETTER " in name and " WITH " not in name
    return name.rsplit(" ", 1)[-1].lower() if greek else character
