"""Records: the rows of an archive as frozen dataclasses, with their states and the kinds of events."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Origin(StrEnum):
    """Where a candidate comes from."""

    SEED = "seed"
    PROPOSAL = "proposal"


class Operator(StrEnum):
    """The built-in operators: what a proposal is asked to do with its parents. An archive may contain others."""

    EXPLORE = "explore"
    REFINE = "refine"
    COMBINE = "combine"
    REPAIR = "repair"
    TUNE = "tune"
    SIMPLIFY = "simplify"


STUDIES = frozenset({Operator.TUNE, Operator.SIMPLIFY})
"""The operators that train edited forms of a loss (variants) before they propose one or none; see `evo.proposing.studies`."""

_OPERATOR = re.compile(r"[a-z][a-z0-9_]{0,39}")


def is_operator(name: object) -> bool:
    """Whether `name` is a valid operator name: a lower-case letter, then up to 39 lower-case letters, digits and underscores."""
    return isinstance(name, str) and _OPERATOR.fullmatch(name) is not None


PERSON = "person"
"""Proposer of a loss that a person gave to the run, and author of the events of `evopo pin` and its like."""
INJECT = "inject"
"""Operator of such a loss. It has no parents."""
SUMMARISE = "summarise"
"""Operator of a request for a summary of the results so far, whose reply holds no loss. It has no parents."""
ASIDE = STUDIES | {SUMMARISE}
"""Operators of fixed steps, which no bandit draws, and whose steps may well bring no loss."""


class Role(StrEnum):
    """How a child was made from a parent."""

    EXPLORED_FROM = "explored_from"
    REFINED = "refined"
    COMBINED = "combined"
    REPAIRED = "repaired"


class ProposalState(StrEnum):
    """State of a proposal: requested -> received | failed | lost, and received -> failed if the reply is unusable.

    `lost`: the process ended before a reply was recorded, so the call may have been paid for.
    """

    REQUESTED = "requested"
    RECEIVED = "received"
    FAILED = "failed"
    LOST = "lost"


class EvaluationState(StrEnum):
    """State of an evaluation: queued -> running -> scored | failed. Recovery after a crash sets running back to queued."""

    QUEUED = "queued"
    RUNNING = "running"
    SCORED = "scored"
    FAILED = "failed"


NOT_FINITE = "not_finite"
"""Reason of a training whose fitness was NaN or infinite."""


class EventKind(StrEnum):
    """Kinds of events. The archive appends events about its rows; the engine appends the others.

    An archive of another version may contain further kinds, so `EventRow.kind` is text.
    """

    RUN_CREATED = "run_created"
    PROPOSAL_REQUESTED = "proposal_requested"
    PROPOSAL_RECEIVED = "proposal_received"
    PROPOSAL_FAILED = "proposal_failed"
    PROPOSAL_LOST = "proposal_lost"
    CANDIDATE_ADDED = "candidate_added"
    VERDICT_RECORDED = "verdict_recorded"
    EVALUATION_QUEUED = "evaluation_queued"
    EVALUATION_STARTED = "evaluation_started"
    EVALUATION_SCORED = "evaluation_scored"
    EVALUATION_FAILED = "evaluation_failed"
    EVALUATION_REQUEUED = "evaluation_requeued"
    CHARGED = "charged"
    """A payment to a proposer or judge that belongs to no proposal and no finished evaluation."""

    SESSION_STARTED = "session_started"
    """Start of a session: its configuration and the definition of fitness."""
    SETTINGS_CHANGED = "settings_changed"
    """The run was resumed with other settings: the changed sections."""
    FINAL = "final"
    """Before the final's first training: its rung, fresh seeds, grid and relations (see `analysis.final`)."""
    BASELINES = "baselines"
    """Before the first training of `evo baselines`: rung, betas and seeds."""
    SWEEP = "sweep"
    """Before the first training of a sweep over beta (`evopo evaluate --on imdb`): rung, betas, seeds and sampling seeds."""
    VARIANT_ADDED = "variant_added"
    """An edited form of a candidate was added; the payload of this and the next three has the variant's id."""
    VARIANT_VETTED = "variant_vetted"
    VARIANT_SCORED = "variant_scored"
    VARIANT_FAILED = "variant_failed"
    AUTOPSY = "autopsy"
    """Before the first training of `evopo autopsy`: the candidate, rung and fresh seeds (see `analysis.claims.autopsy`)."""
    EVALUATE = "evaluate"
    """Before the first answer of `evopo evaluate` to a benchmark: its options, the judge and the templates of its prompts."""
    POLICY_ADDED = "policy_added"
    """A policy to judge was trained or read; the payload of this and the next four has the ids of the rows."""
    POLICY_FAILED = "policy_failed"
    """A policy could not be trained with a loss and a seed, for a reason that would occur again."""
    ANSWERED = "answered"
    JUDGE_ASKED = "judge_asked"
    """A request to a judge, before it is sent: what it may cost at most. A later event `charged` names this one in `asked`."""
    JUDGEMENT_ADDED = "judgement_added"
    FINISHED = "finished"
    """The search and the final have ended: the reason."""

    INJECTED = "injected"
    """A person gave a loss to the run: its name, source and hash. The next session that searches takes it as a candidate."""
    PINNED = "pinned"
    """A person asked that a candidate be a parent more often."""
    UNPINNED = "unpinned"
    BANNED = "banned"
    """A person excluded a candidate, or all candidates with a value of a descriptor, from being parents."""
    UNBANNED = "unbanned"
    NOTED = "noted"
    """A person wrote a note on a candidate, or on the run."""


BY_PEOPLE = frozenset({
    EventKind.INJECTED, EventKind.PINNED, EventKind.UNPINNED, EventKind.BANNED, EventKind.UNBANNED, EventKind.NOTED
})  # fmt: skip
"""Kinds of events that a person's command appends, also while no session runs (`analysis.steering` reads them)."""


@dataclass(frozen=True)
class RunRow:
    """The run of an archive. `identity` has the settings that must not change when the run is resumed."""

    name: str
    seed: int
    task: str
    contract: str
    identity: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    version: str = ""
    created_at: str = ""
    """ISO 8601, UTC; set by `Archive.create`."""
    baseline: str | None = None
    """Name of the baseline, a seed loss; None for a run without seed losses."""


@dataclass(frozen=True)
class CandidateRow:
    """A candidate: a seed loss or a proposed loss, as source text."""

    id: int
    proposal_id: int | None
    origin: Origin
    name: str
    thought: str
    source: str
    contract: str
    event_id: int
    created_at: str


@dataclass(frozen=True)
class ParentRow:
    """An edge of the lineage: `parent` is the `position`-th parent (from 0) of `child`."""

    child: int
    parent: int
    role: Role
    position: int


@dataclass(frozen=True)
class ProposalRow:
    """One request for a loss, with its prompt data, reply and cost."""

    id: int
    step: int
    attempt: int
    operator: str
    """One of `Operator`, or the name of an added operator."""
    proposer: str
    model: str | None
    temperature: float | None
    template: str
    references: Mapping[str, Any]
    seen_event: int
    """The newest event when the step chose its parents."""
    state: ProposalState
    reply: str | None
    tokens_in: int | None
    tokens_out: int | None
    usd: float | None
    seconds: float | None
    error: str | None
    requested_event: int
    received_event: int | None
    """The event that recorded the reply, the failure or the lost call."""


@dataclass(frozen=True, slots=True)
class VerdictContents:
    """The packed columns of a verdict. Each call unpacks one, and raises CorruptArchive for other data."""

    graph: Callable[[], str | None]
    fingerprint: Callable[[], Mapping[str, Any] | None]
    descriptors: Callable[[], Mapping[str, Any] | None]
    guarantees: Callable[[], Mapping[str, Any] | None]


@dataclass(frozen=True)
class VerdictRow:
    """The verdict of a candidate. Its large parts are unpacked when they are asked for, and not kept."""

    candidate_id: int
    status: str
    """`accepted`, `refused` or `partial` (`sandbox.verdicts.verdict.VerdictStatus`)."""
    duplicate_of: int | None
    duplicate_kind: str | None
    hash: str | None
    entry: str | None
    milliseconds: float | None
    event_id: int
    contents: VerdictContents = field(repr=False, compare=False)
    largest_difference: float | None = None
    """For a duplicate found by fingerprint: the largest difference of the two losses' gradients on fresh test inputs, relative to
    their size. None where it was not recorded."""

    @property
    def graph(self) -> str | None:
        """JSON text of the graph; verify it before use. None without a graph. Raises CorruptArchive."""
        return self.contents.graph()

    @property
    def fingerprint(self) -> Mapping[str, Any] | None:
        """The fingerprint as JSON; None without one. Raises CorruptArchive."""
        return self.contents.fingerprint()

    @property
    def descriptors(self) -> Mapping[str, Any] | None:
        """The measured descriptors; None without any. Raises CorruptArchive."""
        return self.contents.descriptors()

    @property
    def guarantees(self) -> Mapping[str, Any] | None:
        """For each guarantee of the jail, the layer that supplied it. Raises CorruptArchive."""
        return self.contents.guarantees()

    @property
    def is_new(self) -> bool:
        """Whether it is not a duplicate of an earlier candidate."""
        return self.duplicate_of is None

    @property
    def shown_by(self) -> str:
        """How the duplicate was found, in words."""
        seen = self.largest_difference
        within = (
            "" if seen is None else f": the policy's gradients differ by at most {max(seen, 1e-15):.1g} of their size"
        )
        return f"its {self.duplicate_kind or 'function'}{within}"


@dataclass(frozen=True)
class FindingRow:
    """One finding of the sandbox: the `position`-th (from 0) of a candidate's verdict."""

    id: int
    candidate_id: int
    position: int
    rule: str
    severity: str
    """`refuse` or `note` (`sandbox.verdicts.verdict.Severity`)."""
    message: str
    line: int | None
    column_number: int | None
    excerpt: str | None
    remedy: str | None
    counterexample: Any


@dataclass(frozen=True)
class Items:
    """Fitness of one training per test item; the mean of `values` is the fitness.

    `groups` has a name per item, for example of its prompt: items of one group are not independent. A test item has the same
    group in all trainings that measure it.
    """

    values: tuple[float, ...]
    groups: tuple[str, ...]


Curves = Mapping[str, Sequence[tuple[float, float]]]
"""Training curves by name (loss, margin, kl): (optimiser step, value), at most 50 points each."""


@dataclass(frozen=True)
class Usage:
    """Tokens and USD of one call or evaluation; `usd` is None if the price is unknown."""

    tokens_in: int
    tokens_out: int
    usd: float | None = None


@dataclass(frozen=True)
class EvaluationRow:
    """One training with one seed. None for `beta` or `learning_rate` means the task's own value.

    `fitness` is a finite number if the state is `scored`, otherwise None.
    """

    id: int
    candidate_id: int
    task: str
    rung: str
    seed: int
    beta: float | None
    learning_rate: float | None
    state: EvaluationState
    fitness: float | None
    metrics: Mapping[str, float]
    seconds: float | None
    tokens: int | None
    attempts: int
    """Number of times it was started."""
    reason: str | None
    detail: str | None
    queued_event: int
    finished_event: int | None
    items: Items | None = None
    judged: Usage | None = None


@dataclass(frozen=True)
class EventRow:
    """An event. Ids increase with time, and a row is never changed or removed."""

    id: int
    at: str
    kind: str
    candidate_id: int | None
    proposal_id: int | None
    evaluation_id: int | None
    payload: Any


@dataclass(frozen=True)
class Progress:
    """Numbers of rows that tell how far a run is, counted from indexes: reading them takes as long for a long run."""

    candidates: int
    unvetted: int
    refused: int
    duplicates: int
    requests: int
    unanswered: int
    """Number of requests without a reply, a failure or a loss."""
    trainings: int
    unfinished: int
    failed: int
    last_event: int

    @property
    def accepted(self) -> int:
        """Number of vetted candidates that are neither refused nor duplicates."""
        return self.candidates - self.unvetted - self.refused - self.duplicates
