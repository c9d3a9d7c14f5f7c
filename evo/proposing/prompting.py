"""Prompts for language models: the task, the contract, the parents and their results.

Threat model. Names, thoughts, failures and refused source were written by a model, perhaps one that was told to take over the
next. Covered: they never become template source, they cannot end the quotation or fence that they stand in, they carry no
control characters, and their size is capped. Not covered, because no rendering can: a model may still be persuaded by what it
reads. Whatever it then writes goes through the sandbox like any other reply.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from archive.records import FindingRow
from evo.proposing.bare_source import bare
from evo.proposing.reply.reply import ParsedReply, ReplyFormat
from evo.search.operators import CHAT, OPERATORS, SAMPLE
from fitness.chat.request import Message
from fitness.chat.text import printable
from sandbox.child.allowlist.calls import CALLS
from sandbox.contracts.contract import BATCH, Argument, Contract
from sandbox.contracts.references import located

if TYPE_CHECKING:
    import jinja2

PROMPTS = Path(__file__).parent / "prompts"

MAX_CODE_SHOWN = 6000
"""Maximum characters of a parent's code in a prompt; a graph of 400 operations prints to more."""
MAX_CHAT = 100_000
"""Maximum characters of a chat; beyond it the oldest turns are left out."""


def _nothing() -> Mapping[str, Any]:
    return MappingProxyType({})


PROMPTED = (*(operator.prompt for operator in OPERATORS), CHAT, SAMPLE)
"""Names of the prompts: operators, and the modes `chat` and `sample`."""

for _operator in OPERATORS:
    if not (PROMPTS / f"{_operator.prompt}.j2").is_file():
        raise ValueError(f"operator {_operator.name}: prompt: there is no template {_operator.prompt}.j2 in {PROMPTS}")


@dataclass(frozen=True, slots=True)
class LandmarkView:
    """Another loss by its score alone: a known one, or a leader. `pooled`: the error is that of other losses' seeds."""

    name: str
    fitness: float | None
    standard_error: float | None = None
    seeds: int = 0
    pooled: bool = False


@dataclass(frozen=True, slots=True)
class ParentView:
    """A loss as a template sees it. `code` is printed from the graph, except for a refused loss, which may have none.

    `fitness` is None where there is no score; `failure` then says what went wrong in training, if anything did.
    """

    code: str
    name: str
    thought: str = ""
    fitness: float | None = None
    standard_error: float | None = None
    seeds: int = 0
    pooled: bool = False
    metrics: Mapping[str, float] = field(default_factory=_nothing)
    descriptors: Mapping[str, Any] = field(default_factory=_nothing)
    findings: Sequence[FindingRow] = ()
    failure: str = ""


@dataclass(frozen=True, slots=True)
class TaskView:
    """What the losses are scored on: its name, its metric in words, further words on the setting, beta where it is fixed,
    and the standard deviation of one loss's score from seed to seed where it is known."""

    name: str
    metric: str
    setting: str = ""
    beta: float | None = None
    noise: float | None = None


@dataclass(frozen=True, slots=True)
class ChatTurn:
    """One earlier proposal in chat mode and its outcome: a fitness or a failure."""

    reply: ParsedReply | str
    fitness: float | None = None
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Briefing:
    """All data that a prompt is rendered from."""

    contract: Contract
    task: TaskView
    parents: Sequence[ParentView] = ()
    landmarks: Sequence[LandmarkView] = ()
    wanted: str = ""
    """For explore: a region of the descriptors without a loss, in words."""
    turns: Sequence[ChatTurn] = ()
    """For the chat: all earlier turns, oldest first."""


class _Scored(Protocol):
    fitness: float | None
    standard_error: float | None
    seeds: int
    pooled: bool


def render(prompt: str, briefing: Briefing, reply_format: ReplyFormat = ReplyFormat.JSON) -> list[Message]:
    """The messages that ask for one loss. Raises ValueError for what is not in `PROMPTED`, and where parents are missing."""
    _require_known(prompt)
    if not briefing.parents and prompt != SAMPLE:
        raise ValueError(f"{prompt} needs at least one parent, got none")
    system = Message("system", _fill("system", briefing, reply_format))
    if prompt != CHAT:
        return [system, Message("user", _fill(prompt, briefing, reply_format))]
    return [system, Message("user", _fill("chat_start", briefing, reply_format)), *_chat(briefing, reply_format)]


def template_hash(prompt: str, contract: Contract) -> str:
    """SHA-256 of the sources of every template that a prompt may be rendered from, and of the texts that a package's contract
    brings. Raises ValueError as `render` does."""
    _require_known(prompt)
    others = {*PROMPTED} - {prompt}
    templates = sorted(PROMPTS.rglob("*.j2"), key=lambda path: path.name)
    used = [p for p in templates if p.stem.partition("_")[0] not in others]
    texts = [text for text in (contract.rules, contract.facts) if text and not text.startswith(f"{__package__}:")]
    used += [located(text, contract.name) for text in texts]
    digest = hashlib.sha256()
    for path in used:
        source = path.read_bytes()
        digest.update(f"{path.name} {len(source)}\n".encode() + source)
    return digest.hexdigest()


def _require_known(prompt: str) -> None:
    if prompt not in PROMPTED:
        raise ValueError(f"no prompt {prompt!r}: expected one of {', '.join(PROMPTED)}")


def _chat(briefing: Briefing, reply_format: ReplyFormat) -> list[Message]:
    """The turns so far, as the model's messages and ours; where they grow too long, without the oldest."""
    messages: list[Message] = []
    size = 0
    for turn in reversed(briefing.turns):
        said = Message("assistant", _said(turn.reply, reply_format))
        came = Message("user", _environment().get_template("chat_outcome.j2").render(turn=turn).strip())
        size += len(said.content) + len(came.content)
        if size > MAX_CHAT and messages:
            break
        messages += [came, said]
    return messages[::-1]


def _said(reply: ParsedReply | str, reply_format: ReplyFormat) -> str:
    """The model's earlier reply, rewritten in the reply format that is requested now."""
    if isinstance(reply, str):
        return printable(reply, keep="\n\t")[:MAX_CODE_SHOWN] or "(an empty reply)"
    if reply_format is ReplyFormat.JSON:
        return json.dumps({"thought": reply.thought, "name": reply.name, "code": reply.code}, ensure_ascii=False)
    return f"Thought: {reply.thought}\nName: {reply.name}\n\n{_fenced(reply.code)}"


def _fill(template: str, briefing: Briefing, reply_format: ReplyFormat) -> str:
    text = (
        _environment()
        .get_template(f"{template}.j2")
        .render(
            contract=briefing.contract,
            rules=_text_of(briefing.contract, "rules"),
            facts=_text_of(briefing.contract, "facts"),
            task=briefing.task,
            parents=briefing.parents,
            landmarks=briefing.landmarks,
            wanted=briefing.wanted,
            vocabulary=_vocabulary(),
            reply_format=reply_format.value,
        )
    )
    return re.sub(r"\n{3,}", "\n\n", text).strip()


def _text_of(contract: Contract, part: str) -> str:
    """A text that a contract's record supplies for the prompt; empty if it supplies none."""
    reference = getattr(contract, part)
    return located(reference, f"contract {contract.name!r}: {part}").read_text("utf-8").strip() if reference else ""


@cache
def _environment() -> jinja2.Environment:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(PROMPTS),
        undefined=jinja2.StrictUndefined,
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        quoted=_quoted,
        fenced=_fenced,
        numbered=_numbered,
        line=_line,
        figure=_figure,
        figures=_figures,
        fitness=_fitness,
        words=_words,
        finding_line=_finding_line,
        kind_of_argument=_kind_of_argument,
    )
    return environment


# --- Encoders of untrusted text ----------------------------------------------------------------------------------------


def _line(text: str, limit: int = 300) -> str:
    words = " ".join(printable(text[: 4 * limit], keep="\n\r\t").split())
    return words if len(words) <= limit else words[: limit - 1] + "…"


def _quoted(text: str, limit: int = 300) -> str:
    return json.dumps(_line(text, limit), ensure_ascii=False)


def _fenced(code: str) -> str:
    """A code block whose fence is longer than any run of backticks in the code, so that the code cannot end it."""
    shown = printable(code, keep="\n\t").strip("\n")
    if len(shown) > MAX_CODE_SHOWN:
        shown = shown[:MAX_CODE_SHOWN] + "\n# (the rest is left out)"
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", shown)), default=0))
    return f"{fence}python\n{shown}\n{fence}"


def _numbered(code: str) -> str:
    """Refused source with the line numbers that findings refer to, without comments and texts (`bare`)."""
    lines = bare(printable(code, keep="\n\t").rstrip("\n")).split("\n")
    return "\n".join(f"{number:3d} | {line}" for number, line in enumerate(lines, 1))


# --- Figures and words -----------------------------------------------------------------------------------------------


def _figure(value: object, digits: int = 4) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return str(value)
    if not isinstance(value, float):
        return _line(str(value), 80)
    if math.isnan(value):
        return "not a number"
    return f"{value:.{digits}g}" if math.isfinite(value) else f"{'-' if value < 0 else ''}infinity"


def _figures(values: Mapping[str, Any]) -> str:
    return "; ".join(
        f"{_line(str(name), 60).replace('_', ' ')} {_figure(value)}" for name, value in list(values.items())[:24]
    )


def _fitness(scored: _Scored) -> str:
    """Mean and standard error with the digits that the error justifies, and the number of seeds."""
    mean, error = scored.fitness, scored.standard_error
    if mean is None:
        return "not scored"
    seeds = "1 seed" if scored.seeds == 1 else f"{scored.seeds} seeds"
    if error is None or not (math.isfinite(error) and math.isfinite(mean)) or error <= 0:
        return f"{_figure(float(mean))} ({seeds}, standard error unknown)"
    digits = min(8, max(0, 1 - math.floor(math.log10(error))))
    basis = "standard error as that of the other losses' seeds" if scored.pooled else "standard error"
    return f"{mean:.{digits}f} ± {error:.{digits}f} ({basis}; {seeds})"


def _words(descriptors: Mapping[str, Any]) -> str:
    """Descriptors of a loss's shape in words; nested ones are named by both names."""
    parts: list[str] = []
    for name, value in descriptors.items():
        title = _line(str(name), 60).replace("_", " ")
        if value is None:
            continue
        if isinstance(value, Mapping):
            parts.append(f"{title}: {_figures(value)}")
        elif isinstance(value, Sequence) and not isinstance(value, str):
            parts.append(f"{title}: {', '.join(_figure(v) for v in value[:6]) or 'none'}")
        else:
            parts.append(f"{title}: {_figure(value)}")
    return "; ".join(parts[:24])


def _finding_line(finding: FindingRow) -> str:
    place = f" (line {finding.line})" if finding.line is not None else ""
    said = f"{_line(finding.rule, 20)}{place}: {_line(finding.message)}"
    if excerpt := bare(finding.excerpt or "", begins=False):
        said += f"; at {_quoted(excerpt, 120)}"
    if finding.counterexample and isinstance(finding.counterexample, Mapping):
        said += f"; for example {_figures(finding.counterexample)}"
    return f"{said}. {_line(finding.remedy)}" if finding.remedy else said


def _kind_of_argument(argument: Argument, contract: Contract) -> str:
    if argument.shape is None:
        return "a Python number, the same for all items; it may change between runs, so do not rely on its value"
    sizes = ["batch" if symbol == BATCH else contract.columns for symbol in argument.shape]
    shape = f"({sizes[0]},)" if len(sizes) == 1 else f"({', '.join(sizes)})"
    kind = {"float": "float32", "int": "int64", "bool": "bool"}[argument.dtype]
    learning = (
        "; the gradient flows here" if argument.learns else "; a constant to the gradient" if kind == "float32" else ""
    )
    return f"{kind} tensor of shape {shape}{learning}"


_MODULES = {"torch.": "torch.", "torch.nn.functional.": "F.", "math.": "math."}
_NOT_ADVISED = frozenset({"unsupported_type", "is_tensor", "is_floating_point", "finfo", "count", "rank"})
"""Lowerings that the sandbox understands but that no loss needs."""


@cache
def _vocabulary() -> Mapping[str, tuple[str, ...]]:
    """What source may call, by the prefix that it is called with; of several names for one thing the first."""
    named: dict[str, dict[str, str]] = {prefix: {} for prefix in _MODULES.values()}
    for call in CALLS:
        module, _, name = call.path.rpartition(".")
        prefix = _MODULES.get(module + ".")
        if prefix and call.lowering not in _NOT_ADVISED:
            named[prefix].setdefault(call.lowering, name)
    return {prefix: tuple(sorted(names.values())) for prefix, names in named.items()}
