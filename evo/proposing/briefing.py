"""From a request to the messages of its prompt, and the check of templates on examples of such prompts."""

from __future__ import annotations

from functools import cache

from archive.records import FindingRow
from evo.config.prompt_settings import PromptConfig
from evo.config.schema import Config
from evo.proposing.context import Difference, Tried
from evo.proposing.prompting import (
    BUILT_IN,
    EVERY_PROMPT,
    EVERYTHING,
    Briefing,
    ChatTurn,
    DifferenceView,
    LandmarkView,
    MeasuredView,
    ParentView,
    Switches,
    TaskView,
    Templates,
    TriedView,
    render,
    wanted_line,
)
from evo.proposing.reply.reply import ParsedReply, ReplyFormat, summary_in
from evo.proposing.request import Parent, Request, Turn
from fitness.chat.request import Message
from sandbox import known
from sandbox.contracts.contract import PREFERENCE, contract_named
from sandbox.graph.printers import to_python


def messages(
    request: Request,
    form: ReplyFormat,
    templates: Templates = BUILT_IN,
    switches: Switches = EVERYTHING,
    most_tokens: int | None = None,
) -> list[Message]:
    """The prompt of a request. Equal requests give equal prompts. `most_tokens`: a longer prompt is shortened.

    Raises TemplateFault for a template that fails.
    """
    return render(request.template, briefing(request, switches), form, templates, most_tokens)


def prompt_of(request: Request, config: Config, templates: Templates) -> list[Message]:
    """The prompt of a request as a configuration would have it sent, for an endpoint that supports its reply format.

    For a request to the built-in proposer: as the first language model would get it.
    """
    llm = config.endpoints.get(request.proposer) or next(iter(config.endpoints.values()))
    most = None if llm.context_tokens is None else max(0, llm.context_tokens - llm.max_tokens)
    return messages(request, ReplyFormat(llm.reply), templates, switches(config.prompt), most)


def switches(prompt: PromptConfig) -> Switches:
    """The parts that a configuration leaves out."""
    return Switches(prompt.thoughts, prompt.scores, prompt.feedback)


def briefing(request: Request, switches: Switches = EVERYTHING) -> Briefing:
    """All data of a request's prompt."""
    context = request.context
    return Briefing(
        contract=contract_named(request.contract),
        task=TaskView(request.task, request.metric, context.facts),
        parents=[_view(p, request) for p in request.parents],
        landmarks=[_landmark(p, request) for p in request.landmarks],
        measured=MeasuredView(request.noise, context.baseline, context.scaled_margin),
        best=[_tried(loss, context.baseline) for loss in context.best],
        where=context.where,
        tried=[_tried(loss, context.baseline) for loss in context.tried],
        nearby=[_tried(loss, context.baseline) for loss in context.nearby],
        wanted=[wanted_line(name, value) for name, value in request.wanted.items()],
        summary=summary_in(context.summary),
        turns=[_turn(t) for t in request.turns],
        example=_example(request.contract),
        switches=switches,
    )


def checked(templates: Templates) -> Templates:
    """The templates, if each can be rendered with examples of prompts. Raises TemplateFault with file and line."""
    if templates.replaced:
        templates.check_names()
        for prompt in EVERY_PROMPT:
            for form in ReplyFormat:
                for example in _EXAMPLES:
                    render(prompt, example, form, templates)
    return templates


def _view(parent: Parent, request: Request) -> ParentView:
    score, context = parent.score[1] if parent.score else None, request.context
    return ParentView(
        code=parent.code,
        name=parent.name,
        thought=parent.thought,
        fitness=score.mean if score else None,
        standard_error=score.standard_error if score else None,
        seeds=score.seeds if score else 0,
        pooled=score.pooled if score else False,
        difference=_difference(context.differences.get(parent.id), context.baseline),
        metrics=context.metrics.get(parent.id, {}),
        descriptors=parent.descriptors,
        # Line numbers refer to the source. If the code is printed from the graph, they would point to other lines.
        findings=[f for f in parent.findings if parent.graph is None or f.line is None],
        failure="; ".join(f"{e.reason}: {e.detail}" for e in parent.failures),
    )


def _landmark(parent: Parent, request: Request) -> LandmarkView:
    score = parent.score[1] if parent.score else None
    if score is None:
        return LandmarkView(parent.name, None)
    difference = _difference(request.context.differences.get(parent.id), request.context.baseline)
    return LandmarkView(parent.name, score.mean, score.standard_error, score.seeds, score.pooled, difference)


def _difference(found: Difference | None, baseline: str) -> DifferenceView | None:
    return DifferenceView(baseline, found.mean, found.standard_error, found.seeds) if found else None


def _tried(loss: Tried, baseline: str) -> TriedView:
    return TriedView(loss.name, loss.formula, loss.outcome, _difference(loss.difference, baseline))


def _turn(turn: Turn) -> ChatTurn:
    return ChatTurn(turn.reply, turn.fitness, turn.failure)


@cache
def _example(contract: str) -> str:
    """The code of the contract's baseline, to show the form of a reply; empty if the contract has none."""
    baseline = contract_named(contract).baseline
    if baseline is None:
        return ""
    code = to_python(known.graph(baseline), name="my_loss")
    return code[code.index("def ") :]


_FINDING = FindingRow(1, 1, 0, "SBX301", "refuse", "a fault", 1, 0, "x", "a remedy", {"rho": 1.0})
_DIFFERENCE = DifferenceView("dpo", 0.1, 0.05, 2)
_TRIED = TriedView("a_loss", "softplus(-x)", "refused: a fault", _DIFFERENCE)
_PARENT = ParentView(
    "def f(x):\n    return x\n", "a_loss", "A thought.", 0.5, 0.1, 2, False, _DIFFERENCE, {"reward": 1.0}, {"convex": True},
    (_FINDING,), "diverged: a detail",
)  # fmt: skip
_BARE = Briefing(PREFERENCE, TaskView("a_task", "a metric"), (ParentView("def f(x):\n    return x\n", "a_loss"),))
_FULL = Briefing(
    PREFERENCE,
    TaskView("a_task", "a metric", {"model": "a model"}),
    (_PARENT, _PARENT),
    (LandmarkView("dpo", 0.5, 0.1, 2, False, _DIFFERENCE), LandmarkView("ipo", None)),
    MeasuredView(0.1, "dpo", 1.5),
    (_TRIED,),
    ("x = beta * rho",),
    (_TRIED,),
    (_TRIED,),
    ("convex",),
    "A summary.",
    (
        ChatTurn(ParsedReply("A thought.", "a_loss", "def f(x):\n    return x\n"), 0.5),
        ChatTurn("prose", None, "no code"),
    ),
    "def f(x):\n    return x\n",
    left_out=("a part",),
)
_EXAMPLES = (_BARE, _FULL)
