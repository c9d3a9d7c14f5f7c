"""Branches on beta: the candidate is traced once per path through them, and the results are joined with `where`.

A condition on a number of the contract (`beta > 0.5`), or on whether the batch has one item, is known only in training. While
tracing, each run assumes one outcome, and a later run the other one. Every run executes the module again, so that no run sees
values of another one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from sandbox.child.protocol import Refusal, SourceSpan
from sandbox.child.source_locations import here
from sandbox.child.trace.symbols import Recorder, SymNumber, SymTensor
from sandbox.contracts.contract import BATCH
from sandbox.graph.types import Dim, Type

MAX_BRANCH_PATHS: Final = 8
"""Maximum number of paths through a candidate's branches on beta: three successive branches, or an if-elif chain of seven cases."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A comparison that involves beta, for use in branches only. `index` is its node, a boolean tensor without axes."""

    index: int
    paths: BranchPaths

    def __bool__(self) -> bool:
        return self.paths.decide(self.index)


class BranchPaths:
    """Depth-first search over the paths through one candidate's branches on beta."""

    def __init__(self) -> None:
        self._decisions: list[tuple[int, bool]] = []
        self._passed = 0
        self._runs = 0
        self.asked: dict[tuple[Any, ...], int] = {}
        """The node of each comparison, so that one that is written or evaluated twice counts once."""
        self.joined: SourceSpan | None = None
        """The location of the first branch on beta, or None."""

    def decide(self, index: int) -> bool:
        """The outcome of a condition in this run, equal at each evaluation. Raises Refusal beyond MAX_BRANCH_PATHS."""
        for known, outcome in self._decisions[: self._passed]:
            if known == index:
                return outcome
        if self._passed == len(self._decisions):
            if len(self._decisions) >= MAX_BRANCH_PATHS:
                raise Refusal("SBX248", (MAX_BRANCH_PATHS,))
            self._decisions.append((index, True))
            self.joined = self.joined or here()
        self._passed += 1
        return self._decisions[self._passed - 1][1]

    def explore(self, recorder: Recorder, run: Callable[[], SymTensor]) -> SymTensor:
        """The results of `run` on all paths, joined. Raises Refusal beyond MAX_BRANCH_PATHS."""
        leaves: list[_Leaf] = []
        while True:
            self._passed = 0
            self._runs += 1
            if self._runs > MAX_BRANCH_PATHS:
                raise Refusal("SBX248", (MAX_BRANCH_PATHS,))
            if self._runs == 2:
                recorder.repeat()
            result = run()
            leaves.append((tuple(self._decisions), result))
            while self._decisions and not self._decisions[-1][1]:
                self._decisions.pop()
            if not self._decisions:
                wrong = [leaf for _, leaf in leaves if leaf.type != _LOSS]
                return wrong[0] if wrong else _joined(recorder, leaves, 0)
            self._decisions[-1] = (self._decisions[-1][0], False)


_LOSS: Final = Type("float", (Dim.of(BATCH),))
"""The type of a loss. A path with a result of another type is returned alone, so that the verifier reports it."""
_Leaf = tuple[tuple[tuple[int, bool], ...], SymTensor]
"""The decisions of one run, and its result."""


def _joined(recorder: Recorder, leaves: list[_Leaf], depth: int) -> SymTensor:
    """where(condition, yes, no) over the tree of decisions."""
    if len(leaves) == 1:
        return leaves[0][1]
    yes, no = ([leaf for leaf in leaves if leaf[0][depth][1] is outcome] for outcome in (True, False))
    first, second = _joined(recorder, yes, depth + 1), _joined(recorder, no, depth + 1)
    if first.index == second.index:
        return first
    index = leaves[0][0][depth][0]
    condition = SymTensor(index, recorder.types[index])
    joined: SymTensor = recorder.add("where", (condition, first, second))
    return joined


def compared(recorder: Recorder, paths: BranchPaths, op: str, a: Any, b: Any) -> bool | Condition:
    """a op b for numbers of which at least one is symbolic.

    Raises Refusal if it depends on the batch size, other than on whether there is one item: a spread of one item is undefined.
    """
    known = _by_contract(recorder, op, a, b)
    if known is not None:
        recorder.note("SBX260")
        return known
    for value in (a, b):
        if (
            isinstance(value, SymNumber)
            and _reads_a_size(recorder, value.index)
            and not _asks_for_one(recorder, op, a, b)
        ):
            raise Refusal("SBX201")
    key = (op, *((type(v), v.index if isinstance(v, SymNumber) else v) for v in (a, b)))
    if key not in paths.asked:
        tensors = [recorder.add("tensor", (v,)) if isinstance(v, SymNumber) else v for v in (a, b)]
        paths.asked[key] = recorder.add(op, tensors).index
    return Condition(paths.asked[key], paths)


_TURNED: Final = {"lt": "gt", "le": "ge", "gt": "lt", "ge": "le", "eq": "eq", "ne": "ne"}


def _by_contract(recorder: Recorder, op: str, a: Any, b: Any) -> bool | None:
    """The outcome if it is equal for every batch, else None: beta is above zero, and every size is at least one."""
    if not isinstance(a, SymNumber):
        a, b, op = b, a, _TURNED[op]
    if isinstance(b, SymNumber):
        return None
    node = recorder.nodes[a.index]
    if node.op == "input" and recorder.contract.argument(node.attrs["name"]).positive:
        below = b <= 0
    elif node.op == "size":
        below = b < 1
        if b == 1 and op in ("ge", "lt"):
            return op == "ge"
    else:
        return None
    return op in ("gt", "ge", "ne") if below else None


def _asks_for_one(recorder: Recorder, op: str, a: Any, b: Any) -> bool:
    """Whether the comparison asks if a size is one, as in `len(x) > 1`. Sizes are at least one."""
    if not isinstance(a, SymNumber):
        a, b, op = b, a, _TURNED[op]
    if isinstance(b, SymNumber) or recorder.nodes[a.index].op != "size":
        return False
    return bool(b == 2 if op in ("ge", "lt") else b == 1 and op in ("gt", "le", "eq", "ne"))


def _reads_a_size(recorder: Recorder, index: int) -> bool:
    seen: set[int] = set()
    waiting = [index]
    while waiting:
        at = waiting.pop()
        if at not in seen:
            seen.add(at)
            waiting += recorder.nodes[at].args
    return any(recorder.nodes[i].op == "size" for i in seen)
