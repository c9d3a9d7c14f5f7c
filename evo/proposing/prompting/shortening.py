"""What a prompt leaves out: parts that are switched off, and parts of a prompt that is too long for the model.

The order in which parts are left out of a long prompt (docs/llm.md): other losses of a similar shape and the least informative
half of what was tried, the rest of what was tried, the run's best losses, the summary, the thoughts, the scores of the known
losses, the parents after the first. In a chat: the older half of the turns, repeatedly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from evo.proposing.prompting.views import UNMEASURED, Briefing, ChatTurn, ParentView


def shown(briefing: Briefing) -> Briefing:
    """The briefing without the parts that its switches leave out."""
    switches = briefing.switches
    parents = [_parent(parent, briefing) for parent in briefing.parents]
    found = replace(briefing, parents=parents)
    if not switches.scores:
        turns = [replace(turn, fitness=None) for turn in found.turns]
        tried, nearby = ([replace(loss, difference=None) for loss in group] for group in (found.tried, found.nearby))
        found = replace(
            found, landmarks=(), measured=UNMEASURED, best=(), turns=turns, tried=tried, nearby=nearby, summary=""
        )
    if not switches.feedback:
        found = replace(
            found, tried=(), nearby=(), summary="", turns=[replace(turn, failure="") for turn in found.turns]
        )
    if not switches.thoughts:
        found = replace(found, turns=[_without_thought(turn) for turn in found.turns])
    return found


def shortened(briefing: Briefing, *, chat: bool) -> Iterator[Briefing]:
    """The briefing, then the same with less and less, each naming what it leaves out. The last one cannot be shortened."""
    yield briefing
    for leave_out in _TURNS if chat else _PARTS:
        while (part := leave_out(briefing))[1]:
            shorter, words = part
            briefing = replace(shorter, left_out=tuple(dict.fromkeys((*briefing.left_out, words))))
            yield briefing


def _parent(parent: ParentView, briefing: Briefing) -> ParentView:
    switches = briefing.switches
    if not switches.thoughts:
        parent = replace(parent, thought="")
    if not switches.scores:
        parent = replace(parent, fitness=None, difference=None, metrics={}, shows_score=False)
    if not switches.feedback:
        parent = replace(parent, findings=(), failure="", shows_score=False)
    return parent


def _without_thought(turn: ChatTurn) -> ChatTurn:
    return turn if isinstance(turn.reply, str) else replace(turn, reply=replace(turn.reply, thought=""))


# --- What a long prompt leaves out: each function gives the rest and words for what is gone, "" if nothing was there --------

_Part = Callable[[Briefing], tuple[Briefing, str]]


def _nearby(briefing: Briefing) -> tuple[Briefing, str]:
    keep = len(briefing.tried) // 2 if briefing.nearby else len(briefing.tried)
    words = "losses of a similar shape and half of what was tried" if briefing.nearby else ""
    return replace(briefing, nearby=(), tried=briefing.tried[:keep]), words


def _tried(briefing: Briefing) -> tuple[Briefing, str]:
    return replace(briefing, tried=()), "what was tried" if briefing.tried else ""


def _best(briefing: Briefing) -> tuple[Briefing, str]:
    return replace(briefing, best=()), "the run's best losses" if briefing.best else ""


def _summary(briefing: Briefing) -> tuple[Briefing, str]:
    return replace(briefing, summary=""), "the summary of the results" if briefing.summary else ""


def _thoughts(briefing: Briefing) -> tuple[Briefing, str]:
    there = any(parent.thought for parent in briefing.parents)
    parents = [replace(parent, thought="") for parent in briefing.parents]
    return replace(briefing, parents=parents), "the authors' thoughts" if there else ""


def _landmarks(briefing: Briefing) -> tuple[Briefing, str]:
    return replace(briefing, landmarks=()), "the scores of the known losses" if briefing.landmarks else ""


def _parents(briefing: Briefing) -> tuple[Briefing, str]:
    return replace(briefing, parents=briefing.parents[:1]), "parents after the first" if briefing.parents[1:] else ""


def _turns(briefing: Briefing) -> tuple[Briefing, str]:
    keep = len(briefing.turns) // 2
    return replace(
        briefing, turns=briefing.turns[len(briefing.turns) - keep :]
    ), "the oldest turns" if briefing.turns else ""


_PARTS: tuple[_Part, ...] = (_nearby, _tried, _best, _summary, _thoughts, _landmarks, _parents)
_TURNS: tuple[_Part, ...] = (_turns, _thoughts, _parents)
