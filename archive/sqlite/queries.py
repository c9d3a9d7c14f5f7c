"""Queries of the reader. `:at` is the newest event that is seen; rows that were recorded later do not exist."""

from archive.records import EventKind
from archive.sqlite.packed import pack

NOW = 2**63 - 1
"""Event bound of a reader without a limit."""

_STATE = f"""
       CASE WHEN e.finished_event <= :at OR :at = {NOW} THEN e.state ELSE
           (SELECT v.kind FROM event AS v WHERE v.evaluation_id = e.id AND v.id <= :at ORDER BY v.id DESC LIMIT 1)
       END AS state"""

EVALUATIONS = f"""
SELECT e.id, e.candidate_id, e.task, e.rung, e.seed, e.beta, e.learning_rate, e.fitness, e.metrics,
       e.seconds, e.tokens, e.reason, e.detail, e.items, e.tokens_in, e.tokens_out, e.usd,
       e.queued_event, CASE WHEN e.finished_event <= :at THEN e.finished_event END AS finished_event,{_STATE},
       CASE WHEN e.finished_event <= :at OR :at = {NOW} THEN e.attempts ELSE
           (SELECT count(*) FROM event AS v WHERE v.evaluation_id = e.id AND v.id <= :at
            AND v.kind = '{EventKind.EVALUATION_STARTED}')
       END AS attempts
FROM evaluation AS e WHERE e.queued_event <= :at"""

VERDICTS = "SELECT * FROM verdict WHERE event_id <= :at"

PROPOSALS = """
SELECT p.id, p.step, p.attempt, p.operator, p.proposer, p.model, p.temperature, p.template, p."references", p.seen_event,
       p.reply, p.tokens_in, p.tokens_out, p.usd, p.seconds, p.error, p.requested_event, p.received_event,
       (SELECT v.kind FROM event AS v WHERE v.proposal_id = p.id AND v.candidate_id IS NULL AND v.id <= :at
        ORDER BY v.id DESC LIMIT 1) AS kind
FROM proposal AS p WHERE p.requested_event <= :at"""

STATUSES = """
SELECT status, count(*) AS candidates FROM (
    SELECT CASE WHEN v.candidate_id IS NULL THEN 'unvetted' WHEN v.status = 'refused' THEN 'refused'
                WHEN v.duplicate_of IS NOT NULL THEN 'duplicate' WHEN max(e.state = 'scored') THEN 'scored'
                WHEN min(e.state = 'failed') THEN 'failed' ELSE 'accepted' END AS status
    FROM candidate AS c LEFT JOIN verdict AS v ON v.candidate_id = c.id
    LEFT JOIN evaluation AS e ON e.candidate_id = c.id AND e.task = :task GROUP BY c.id
) GROUP BY status"""

RUNGS = """
SELECT rung FROM evaluation WHERE task = :task AND queued_event <= :at GROUP BY rung ORDER BY min(queued_event)"""

BRIEF = """
SELECT c.id, c.name, c.origin, v.status FROM candidate AS c LEFT JOIN verdict AS v
ON v.candidate_id = c.id AND v.event_id <= :at WHERE c.event_id <= :at"""

SCORES_DOWN = """
SELECT id, candidate_id, beta, learning_rate, fitness FROM evaluation
WHERE task = :task AND rung = :rung AND fitness IS NOT NULL AND (fitness, id) < (:fitness, :id) AND finished_event <= :at
ORDER BY fitness DESC, id DESC LIMIT :page"""

ARM = """
SELECT id, candidate_id, task, rung, seed, beta, learning_rate, state, fitness, seconds FROM evaluation
WHERE candidate_id = :id AND task = :task AND rung = :rung AND beta IS :beta AND learning_rate IS :rate
AND finished_event <= :at ORDER BY id"""

ARM_SCORES = """
SELECT fitness FROM evaluation
WHERE candidate_id = :id AND task = :task AND rung = :rung AND beta IS :beta AND learning_rate IS :rate
AND finished_event <= :at"""

COUNTS = """
SELECT (SELECT count(*) FROM candidate) AS candidates,
       (SELECT count(*) FROM candidate) - (SELECT count(*) FROM verdict) AS unvetted,
       (SELECT count(*) FROM verdict WHERE status = 'refused') AS refused,
       (SELECT count(*) FROM verdict WHERE duplicate_of IS NOT NULL) AS duplicates,
       (SELECT count(*) FROM proposal) AS requests,
       (SELECT count(*) FROM proposal WHERE received_event IS NULL) AS unanswered,
       (SELECT count(*) FROM evaluation) AS trainings,
       (SELECT count(*) FROM evaluation WHERE finished_event IS NULL) AS unfinished,
       (SELECT count(*) FROM evaluation WHERE reason IS NOT NULL) AS failed,
       (SELECT coalesce(max(id), 0) FROM event) AS last_event"""

LINKS = """
SELECT p.child, p.parent FROM parent AS p JOIN candidate AS c ON c.id = p.child AND c.event_id <= :at"""

EDGES = """
SELECT p.child, p.parent, p.role, min(p.position) AS position
FROM parent AS p JOIN candidate AS c ON c.id = p.child AND c.event_id <= :at GROUP BY p.child, p.parent"""

BARE_VERDICTS = """
SELECT candidate_id, status, duplicate_of, duplicate_kind, graph, hash, fingerprint, descriptors, entry, NULL AS guarantees,
       milliseconds, '{}' AS details, event_id FROM verdict WHERE event_id <= :at"""
BARE_PROPOSALS = PROPOSALS.replace("p.reply", f"CASE WHEN p.reply IS NOT NULL THEN x'{pack('').hex()}' END AS reply")
BARE_EVALUATIONS = EVALUATIONS.replace("e.metrics", "'{}' AS metrics").replace("e.items", "NULL AS items")

NODES = f"""
SELECT c.id AS candidate_id, c.name, c.origin, p.id AS proposal_id, p.step, p.operator, p.proposer, p.model, p."references",
       v.candidate_id AS vetted, v.status, v.duplicate_of, v.hash, v.fingerprint, v.descriptors,
       e.id AS evaluation_id, e.rung, e.seed, e.beta, e.learning_rate, e.fitness,{_STATE}
FROM candidate AS c
LEFT JOIN proposal AS p ON p.id = c.proposal_id AND p.requested_event <= :at
LEFT JOIN verdict AS v ON v.candidate_id = c.id AND v.event_id <= :at
LEFT JOIN evaluation AS e ON e.candidate_id = c.id AND e.task = :task AND e.queued_event <= :at
WHERE c.event_id <= :at"""

ANCESTRY = """
WITH RECURSIVE above (child, parent, role, position) AS (
    SELECT child, parent, role, position FROM parent WHERE child = :id
    UNION
    SELECT p.child, p.parent, p.role, p.position FROM above AS a JOIN parent AS p ON p.child = a.parent
    ORDER BY 1 DESC, 4
)
SELECT * FROM above LIMIT :most"""

TEXT = """
SELECT t.content, t.base, b.content AS model, b.base AS beneath
FROM text AS t LEFT JOIN text AS b ON b.id = t.base WHERE t.id = :id"""

VARIANTS = "SELECT * FROM variant WHERE event_id <= :at AND :candidate IN (0, candidate_id)"
VARIANT_EVALUATIONS = """
SELECT e.* FROM variant_evaluation AS e JOIN variant AS v ON v.id = e.variant_id
WHERE e.event_id <= :at AND :candidate IN (0, v.candidate_id)"""

POLICIES = "SELECT * FROM policy WHERE event_id <= :at ORDER BY id"
ANSWERS = "SELECT * FROM answer WHERE event_id <= :at AND :benchmark IN ('', benchmark) ORDER BY id"
JUDGEMENTS = "SELECT * FROM judgement WHERE event_id <= :at AND :benchmark IN ('', benchmark) ORDER BY id"

_TOLD_BY_ROWS = (
    EventKind.PROPOSAL_RECEIVED, EventKind.PROPOSAL_LOST, EventKind.VERDICT_RECORDED, EventKind.EVALUATION_QUEUED,
    EventKind.EVALUATION_STARTED, EventKind.EVALUATION_SCORED, EventKind.EVALUATION_FAILED, EventKind.VARIANT_ADDED,
    EventKind.VARIANT_VETTED, EventKind.POLICY_ADDED, EventKind.ANSWERED, EventKind.JUDGE_ASKED, EventKind.JUDGEMENT_ADDED,
)  # fmt: skip
_TOLD_IF_BARE = (EventKind.PROPOSAL_REQUESTED, EventKind.CANDIDATE_ADDED)
TELLING = f"""
SELECT * FROM event WHERE id <= :at AND kind NOT IN ({", ".join(f"'{kind}'" for kind in _TOLD_BY_ROWS)})
AND NOT (kind IN ({", ".join(f"'{kind}'" for kind in _TOLD_IF_BARE)}) AND payload = '{{}}')"""

_REFERENCES = (
    ("evaluation", "candidate_id", "candidate"),
    ("finding", "candidate_id", "candidate"),
    ("variant", "candidate_id", "candidate"),
    ("parent", "child", "candidate"),
    ("parent", "parent", "candidate"),
    ("verdict", "candidate_id", "candidate"),
    ("verdict", "duplicate_of", "candidate"),
    ("candidate", "proposal_id", "proposal"),
    ("proposal", "requested_event", "event"),
    ("answer", "policy_id", "policy"),
)
DANGLING = (
    " UNION ALL ".join(
        f"SELECT '{holder}' AS holder, '{missing}' AS missing, {column} AS id FROM {holder} "
        f"WHERE {column} IS NOT NULL AND {column} NOT IN (SELECT id FROM {missing})"
        for holder, column, missing in _REFERENCES
    )
    + " LIMIT 1"
)
