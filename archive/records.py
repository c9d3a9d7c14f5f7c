"""The rows of an archive as frozen, typed records, and the states that they go through."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Origin(StrEnum):
    """Where a candidate comes from."""

    SEED = "seed"
    PROPOSAL = "proposal"


class Operator(StrEnum):
    """What a proposal is asked to do with its parents: the operators that evopo brings. An archive may name others."""

    EXPLORE = "explore"
    REFINE = "refine"
    COMBINE = "combine"
    REPAIR = "repair"


_OPERATOR = re.compile(r"[a-z][a-z0-9_]{0,39}")


def is_operator(name: object) -> bool:
    """Whether an operator may be called so: a lower-case letter, then up to 39 such letters, digits and underscores."""
    return isinstance(name, str) and _OPERATOR.fullmatch(name) is not None


class Role(StrEnum):
    """What a parent was to its child."""

    EXPLORED_FROM = "explored_from"
    REFINED = "refined"
    COMBINED = "combined"
    REPAIRED = "repaired"


class ProposalState(StrEnum):
    """requested -> received | failed | lost, and received -> failed where the reply turned out to be unusable.

    `lost`: requested, and then the process died before a reply was recorded, so it may have been paid for.
    """

    REQUESTED = "requested"
    RECEIVED = "received"
    FAILED = "failed"
    LOST = "lost"


class EvaluationState(StrEnum):
    """queued -> running -> scored | failed; recovery after a crash takes running back to queued."""

    QUEUED = "queued"
    RUNNING = "running"
    SCORED = "scored"
    FAILED = "failed"


class EventKind(StrEnum):
    """All kinds of events. The archive appends those of its rows itself; the engine appends those of a run's course.

    An archive of another version may hold further kinds, which is why a row of event has its kind as text.
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
    """Something was paid to a proposer or a judge that has no row of its own."""

    SESSION_STARTED = "session_started"
    """Begins each session: its configuration and what fitness is made of."""
    SETTINGS_CHANGED = "settings_changed"
    """A run was resumed with other settings: the sections that changed."""
    FINAL = "final"
    """Before the final's first training: its rung, fresh seeds, grid and relations (see `analysis.final`)."""
    BASELINES = "baselines"
    """Before the first training of `evo baselines`: rung, betas and seeds."""
    FINISHED = "finished"
    """The search is over and the final measured: the reason."""


@dataclass(frozen=True)
class RunRow:
    """The one run that an archive holds. `identity` is what may not change when the run is resumed."""

    name: str
    seed: int
    task: str
    contract: str
    identity: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    version: str = ""
    created_at: str = ""
    """ISO 8601, UTC; filled in by `Archive.create`."""
    baseline: str | None = None
    """Name of the seed loss that every claim is made against; None for a run without seed losses."""


@dataclass(frozen=True)
class CandidateRow:
    """One proposed or given loss, as source text."""

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
    """An edge of the lineage: `child` came from `parent`, the `position`-th of its parents."""

    child: int
    parent: int
    role: Role
    position: int


@dataclass(frozen=True)
class ProposalRow:
    """One request for a loss, with what it was told, what it answered and what it cost."""

    id: int
    step: int
    attempt: int
    operator: str
    """One of `Operator`, or the name of one that was added to the search which made the archive."""
    proposer: str
    model: str | None
    temperature: float | None
    template: str
    references: Mapping[str, Any]
    seen_event: int
    """The last event that the step could see when it chose its references."""
    state: ProposalState
    reply: str | None
    tokens_in: int | None
    tokens_out: int | None
    usd: float | None
    seconds: float | None
    error: str | None
    requested_event: int
    received_event: int | None
    """The event that recorded the reply, the failure or the loss."""


@dataclass(frozen=True)
class VerdictRow:
    """What the sandbox said of a candidate; `graph` is JSON text, to be verified again before it is used."""

    candidate_id: int
    status: str
    """`accepted`, `refused` or `partial`, as the sandbox said it (`sandbox.verdicts.verdict.VerdictStatus`)."""
    duplicate_of: int | None
    duplicate_kind: str | None
    graph: str | None
    hash: str | None
    fingerprint: Mapping[str, Any] | None
    descriptors: Mapping[str, Any] | None
    entry: str | None
    guarantees: Mapping[str, Any] | None
    milliseconds: float | None
    event_id: int
    largest_difference: float | None = None
    """Of a duplicate that its fingerprint showed: the largest difference between the two losses' gradients on fresh probes, as a
    share of their size. None where it was not recorded."""

    @property
    def is_new(self) -> bool:
        """Whether no earlier candidate is the same loss."""
        return self.duplicate_of is None

    @property
    def shown_by(self) -> str:
        """What showed that a duplicate is one, in words."""
        seen = self.largest_difference
        within = (
            "" if seen is None else f": the policy's gradients differ by at most {max(seen, 1e-15):.1g} of their size"
        )
        return f"its {self.duplicate_kind or 'function'}{within}"


@dataclass(frozen=True)
class FindingRow:
    """One remark of the sandbox on a candidate; the `position`-th of its verdict."""

    id: int
    candidate_id: int
    position: int
    rule: str
    severity: str
    """`refuse` or `note`, as the sandbox said it (`sandbox.verdicts.verdict.Severity`)."""
    message: str
    line: int | None
    column_number: int | None
    excerpt: str | None
    remedy: str | None
    counterexample: Any


@dataclass(frozen=True)
class Items:
    """The fitness of one training item by item, in units of the fitness; their mean is the fitness.

    `groups` names the prompt (or the like) that each item belongs to: items of one group are not independent. Two
    trainings that judged the same test item gave it the same group, whatever their seeds.
    """

    values: tuple[float, ...]
    groups: tuple[str, ...]


Curves = Mapping[str, Sequence[tuple[float, float]]]
"""What was watched while a loss was trained, by name (loss, margin, kl): (optimiser step, value), at most 50 points each."""


@dataclass(frozen=True)
class Usage:
    """What a judge behind an endpoint was paid for one evaluation; `usd` is None where its price is unknown."""

    tokens_in: int
    tokens_out: int
    usd: float | None = None


@dataclass(frozen=True)
class EvaluationRow:
    """One training with one seed; None for `beta` or `learning_rate` means the task's own.

    `fitness` is finite if and only if it is scored.
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
    """How often it was started."""
    reason: str | None
    detail: str | None
    queued_event: int
    finished_event: int | None
    items: Items | None = None
    judged: Usage | None = None


@dataclass(frozen=True)
class EventRow:
    """Something that was recorded; ids grow by time, and a row is never changed or removed."""

    id: int
    at: str
    kind: str
    candidate_id: int | None
    proposal_id: int | None
    evaluation_id: int | None
    payload: Any


@dataclass(frozen=True)
class Standing:
    """Where a candidate stands at a rung of a task (with a beta and learning rate): derived from its evaluations, never stored.

    `mean` is over the seeds that were scored, None where there are none; `standard_error` (of the mean, from the sample
    standard deviation) is None below two seeds. Units are those of the task's metric.
    """

    candidate_id: int
    name: str
    origin: Origin
    status: str | None
    """That of its verdict; None before it has been vetted."""
    task: str
    rung: str
    beta: float | None
    learning_rate: float | None
    n: int
    mean: float | None
    standard_error: float | None
    fitnesses: tuple[float, ...]
    seeds: tuple[int, ...]
    """The seeds that were scored, in the order of `fitnesses`."""
    failed: int
    """How many seeds failed."""
    seconds: float
    """Training time of all its finished seeds."""


@dataclass(frozen=True)
class Spending:
    """What a run cost so far. `unpriced` replies came without a price, `possibly_paid` requests were lost.

    Tokens and USD are what was told, and for `at_most` of the requests the most that they may have cost.
    """

    proposals: int
    """Requests, of which a step may need several."""
    tokens_in: int
    tokens_out: int
    usd: float
    seconds: float
    unpriced: int
    possibly_paid: int
    evaluations: int
    """Finished evaluations, scored or failed."""
    evaluation_seconds: float
    evaluation_tokens: int
    """Seen in training, not paid for."""
    judge_tokens_in: int = 0
    judge_tokens_out: int = 0
    judge_usd: float = 0.0
    judge_unpriced: int = 0
    """Charges of judges without a price."""
    judge_possibly_paid: int = 0
    """Trainings that were cut off, whose judge may have been paid for nothing."""
    steps: int = 0
    """Proposals that count: their request was answered, whatever the answer was."""
    at_most: int = 0
    """Requests that were or may have been answered, and did not tell what they cost."""


@dataclass(frozen=True)
class Recovery:
    """What `Archive.recover` found after a crash, as ids, and what it did about it."""

    requeued: Sequence[int]
    """Evaluations that were running, and are queued again."""
    lost: Sequence[int]
    """Proposals that were requested and whose reply never came: possibly paid for. Now `lost`."""
    unread: Sequence[int]
    """Proposals whose reply was received and no candidate made of it yet; left as they are."""
    unvetted: Sequence[int]
    """Candidates without a verdict yet; left as they are."""

    def __bool__(self) -> bool:
        """Whether there was anything to do or to take up again."""
        return bool(self.requeued or self.lost or self.unread or self.unvetted)
