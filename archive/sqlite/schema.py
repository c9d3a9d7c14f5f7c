"""Schema of an archive: the SQL of each version's tables, indexes and views.

It is SQL and not calls of sqlite-utils, because the archive relies on CHECK constraints and deferred foreign keys, and because
`.schema` in the sqlite3 shell shows the comments. SQL of a released version never changes: a change is a new migration.
"""

import re

APPLICATION_ID = 0x45564F50
"""`PRAGMA application_id` of an archive: "EVOP" in ASCII."""

TABLES = ("run", "candidate", "parent", "proposal", "verdict", "finding", "evaluation", "event")
"""Tables of the first version, which every archive has."""
LATER_TABLES = ("text", "variant", "variant_evaluation", "policy", "answer", "judgement")
"""Tables that later migrations added."""
MIGRATIONS_TABLE = "_sqlite_migrations"
"""Table in which sqlite-utils records what was applied."""
MIGRATION_SET = "evopo.archive"
MIGRATION_NAMES = (
    "m001_first_release",
    "m002_baseline_prompts_items_curves",
    "m003_operators_by_name",
    "m004_packed",
    "m005_variants",
    "m006_judgements",
)
"""The functions of `archive.sqlite.migrations`, in order."""

TABLES_1 = (
    """
CREATE TABLE run (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    name TEXT NOT NULL,
    seed INTEGER NOT NULL,
    task TEXT NOT NULL,
    contract TEXT NOT NULL,
    identity TEXT NOT NULL,  -- JSON: what may not change on resuming
    config TEXT NOT NULL,    -- JSON: the resolved configuration
    created_at TEXT NOT NULL,
    version TEXT NOT NULL    -- of evopo
)""",
    # A row of `event` is written before the row that it is about, so its foreign keys are deferred.
    """
CREATE TABLE event (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at TEXT NOT NULL,        -- ISO 8601, UTC
    kind TEXT NOT NULL,
    candidate_id INTEGER REFERENCES candidate(id) DEFERRABLE INITIALLY DEFERRED,
    proposal_id INTEGER REFERENCES proposal(id) DEFERRABLE INITIALLY DEFERRED,
    evaluation_id INTEGER REFERENCES evaluation(id) DEFERRABLE INITIALLY DEFERRED,
    payload TEXT NOT NULL    -- JSON
)""",
    """
CREATE TABLE proposal (
    id INTEGER PRIMARY KEY,
    step INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    operator TEXT NOT NULL CHECK (operator IN ('explore', 'refine', 'combine', 'repair')),
    proposer TEXT NOT NULL,
    model TEXT,
    temperature REAL,
    template TEXT NOT NULL,      -- hash of the prompt template
    "references" TEXT NOT NULL,  -- JSON: what the template was filled with
    seen_event INTEGER NOT NULL, -- the last event the step could see; 0: none
    state TEXT NOT NULL CHECK (state IN ('requested', 'received', 'failed', 'lost')),
    reply BLOB,                  -- zlib
    tokens_in INTEGER,
    tokens_out INTEGER,
    usd REAL,
    seconds REAL,
    error TEXT,
    requested_event INTEGER NOT NULL REFERENCES event(id),
    received_event INTEGER REFERENCES event(id),
    UNIQUE (step, attempt),
    CHECK ((state = 'requested') = (received_event IS NULL)),
    CHECK (state <> 'received' OR reply IS NOT NULL)
)""",
    """
CREATE TABLE candidate (
    id INTEGER PRIMARY KEY,
    proposal_id INTEGER UNIQUE REFERENCES proposal(id),
    origin TEXT NOT NULL CHECK (origin IN ('seed', 'proposal')),
    name TEXT NOT NULL,
    thought TEXT NOT NULL,
    source TEXT NOT NULL,
    contract TEXT NOT NULL,
    event_id INTEGER NOT NULL REFERENCES event(id),
    created_at TEXT NOT NULL,
    CHECK ((origin = 'proposal') = (proposal_id IS NOT NULL))
)""",
    """
CREATE TABLE parent (
    child INTEGER NOT NULL REFERENCES candidate(id),
    parent INTEGER NOT NULL REFERENCES candidate(id),
    role TEXT NOT NULL CHECK (role IN ('explored_from', 'refined', 'combined', 'repaired')),
    position INTEGER NOT NULL,
    PRIMARY KEY (child, position),
    CHECK (parent < child)       -- so the lineage has no cycles
)""",
    """
CREATE TABLE verdict (
    candidate_id INTEGER PRIMARY KEY REFERENCES candidate(id),
    status TEXT NOT NULL CHECK (status IN ('accepted', 'refused', 'partial')),
    duplicate_of INTEGER REFERENCES candidate(id),
    duplicate_kind TEXT,
    graph TEXT,                  -- JSON of the loss graph
    hash TEXT,
    fingerprint TEXT,            -- JSON
    descriptors TEXT,            -- JSON
    entry TEXT,                  -- name of the function that was traced
    guarantees TEXT,             -- JSON
    milliseconds REAL,
    details TEXT NOT NULL,       -- JSON: whatever else the verdict said
    event_id INTEGER NOT NULL REFERENCES event(id)
)""",
    """
CREATE TABLE finding (
    id INTEGER PRIMARY KEY,
    candidate_id INTEGER NOT NULL REFERENCES verdict(candidate_id),
    position INTEGER NOT NULL,
    rule TEXT NOT NULL,
    severity TEXT NOT NULL,
    message TEXT NOT NULL,
    line INTEGER,
    column_number INTEGER,
    excerpt TEXT,
    remedy TEXT,
    counterexample TEXT,         -- JSON
    UNIQUE (candidate_id, position)
)""",
    """
CREATE TABLE evaluation (
    id INTEGER PRIMARY KEY,
    candidate_id INTEGER NOT NULL REFERENCES candidate(id),
    task TEXT NOT NULL,
    rung TEXT NOT NULL,
    seed INTEGER NOT NULL,
    beta REAL,                   -- NULL: the task's own
    learning_rate REAL,          -- NULL: the task's own
    state TEXT NOT NULL CHECK (state IN ('queued', 'running', 'scored', 'failed')),
    fitness REAL,                -- finite, or NULL
    metrics TEXT NOT NULL,       -- JSON; non-finite numbers as the strings "nan", "inf", "-inf"
    seconds REAL,
    tokens INTEGER,
    attempts INTEGER NOT NULL,
    reason TEXT,
    detail TEXT,
    queued_event INTEGER NOT NULL REFERENCES event(id),
    finished_event INTEGER REFERENCES event(id),
    CHECK ((state = 'scored') = (fitness IS NOT NULL)),
    CHECK ((state = 'failed') = (reason IS NOT NULL)),
    CHECK ((state IN ('scored', 'failed')) = (finished_event IS NOT NULL))
)""",
)


def allowed(table: str, column: str) -> tuple[str, ...]:
    """The values that the CHECK of a column allows, for columns whose values another package defines."""
    statement = next(sql for sql in TABLES_1 if sql.lstrip().startswith(f"CREATE TABLE {table} ("))
    return tuple(re.findall("'(.*?)'", statement.split(f"CHECK ({column} IN (")[1].split("))")[0]))


INDEXES_1 = (
    # coalesce, because UNIQUE treats NULLs as distinct, but two evaluations at the task's own settings are the same.
    """
CREATE UNIQUE INDEX evaluation_once ON evaluation
    (candidate_id, task, rung, seed, coalesce(beta, 'task'), coalesce(learning_rate, 'task'))""",
    "CREATE INDEX evaluation_state ON evaluation (state)",
    "CREATE INDEX verdict_hash ON verdict (hash)",
    "CREATE INDEX verdict_duplicate_of ON verdict (duplicate_of)",
    "CREATE INDEX parent_parent ON parent (parent)",
    "CREATE INDEX proposal_state ON proposal (state)",
    "CREATE INDEX event_candidate ON event (candidate_id)",
    "CREATE INDEX event_proposal ON event (proposal_id)",
    "CREATE INDEX event_evaluation ON event (evaluation_id)",
)

VIEWS_1 = (
    # The view must work in every SQLite, but sqrt() is an optional feature. So Newton's iteration computes the root; it decreases
    # until it has converged.
    """
CREATE VIEW leaderboard AS
WITH RECURSIVE
    score AS (
        SELECT candidate_id, task, rung, beta, learning_rate, count(fitness) AS seeds, avg(fitness) AS mean,
               sum(state = 'failed') AS failed_seeds, sum(seconds) AS seconds
        FROM evaluation WHERE state IN ('scored', 'failed') GROUP BY candidate_id, task, rung, beta, learning_rate
    ),
    spread AS (
        SELECT s.candidate_id, s.task, s.rung, s.beta, s.learning_rate, sum((e.fitness - s.mean) * (e.fitness - s.mean))
               / (s.seeds - 1) / s.seeds AS variance
        FROM score AS s JOIN evaluation AS e ON e.candidate_id = s.candidate_id AND e.task = s.task
               AND e.rung = s.rung AND e.beta IS s.beta AND e.learning_rate IS s.learning_rate AND e.state = 'scored'
        WHERE s.seeds > 1 GROUP BY s.candidate_id, s.task, s.rung, s.beta, s.learning_rate
    ),
    newton AS (
        SELECT candidate_id, task, rung, beta, learning_rate, variance, max(variance, 1.0) AS root
        FROM spread WHERE variance > 0
        UNION ALL
        SELECT candidate_id, task, rung, beta, learning_rate, variance, (root + variance / root) / 2 FROM newton
        WHERE (root + variance / root) / 2 < root
    ),
    deviation AS (
        SELECT candidate_id, task, rung, beta, learning_rate, min(root) AS standard_error FROM newton
        GROUP BY candidate_id, task, rung, beta, learning_rate
        UNION ALL
        SELECT candidate_id, task, rung, beta, learning_rate, 0.0 FROM spread WHERE variance = 0
    )
SELECT rank() OVER (PARTITION BY s.task, s.rung ORDER BY s.mean IS NULL, s.mean DESC) AS place,
       s.task, s.rung, s.beta, s.learning_rate, c.id AS candidate, c.name, s.mean AS fitness,
       d.standard_error, s.seeds, s.failed_seeds,
       s.seconds, v.status, c.origin, p.operator, p.model, c.thought
FROM score AS s
JOIN candidate AS c ON c.id = s.candidate_id
LEFT JOIN deviation AS d ON d.candidate_id = s.candidate_id AND d.task = s.task AND d.rung = s.rung AND d.beta IS s.beta
     AND d.learning_rate IS s.learning_rate
LEFT JOIN verdict AS v ON v.candidate_id = c.id
LEFT JOIN proposal AS p ON p.id = c.proposal_id
ORDER BY s.task, s.rung, place, c.id""",
    """
CREATE VIEW lineage AS
SELECT c.id AS candidate, c.name, v.status, v.duplicate_of, c.origin, p.operator, p.model, p.step,
       e.position, e.role, e.parent, parent_candidate.name AS parent_name
FROM candidate AS c
LEFT JOIN parent AS e ON e.child = c.id
LEFT JOIN candidate AS parent_candidate ON parent_candidate.id = e.parent
LEFT JOIN verdict AS v ON v.candidate_id = c.id
LEFT JOIN proposal AS p ON p.id = c.proposal_id
ORDER BY c.id, e.position""",
    """
CREATE VIEW refusals AS
SELECT f.candidate_id AS candidate, c.name, f.rule, f.message, f.line, f.excerpt, f.remedy, f.counterexample,
       p.operator, p.model, p.step
FROM finding AS f
JOIN verdict AS v ON v.candidate_id = f.candidate_id AND v.status = 'refused'
JOIN candidate AS c ON c.id = f.candidate_id
LEFT JOIN proposal AS p ON p.id = c.proposal_id
WHERE f.severity = 'refuse'
ORDER BY f.candidate_id, f.position""",
)

CHANGES_2 = (
    "ALTER TABLE run ADD COLUMN baseline TEXT",  # name of the seed loss that claims are made against
    """
CREATE TABLE text (
    hash TEXT PRIMARY KEY,   -- SHA-256 of the text, as hex
    content BLOB NOT NULL    -- zlib
)""",
    "ALTER TABLE proposal ADD COLUMN prompt TEXT",  # JSON: [[role, hash of text], ...]; NULL: no words were sent
    "ALTER TABLE evaluation ADD COLUMN items BLOB",  # zlib of JSON: fitness item by item
    "ALTER TABLE evaluation ADD COLUMN curves BLOB",  # zlib of JSON: {name: [[step, value], ...]}
    # Payment of a judge behind an endpoint. NULL: no judge was called; usd is also NULL if the price is unknown.
    "ALTER TABLE evaluation ADD COLUMN tokens_in INTEGER",
    "ALTER TABLE evaluation ADD COLUMN tokens_out INTEGER",
    "ALTER TABLE evaluation ADD COLUMN usd REAL",
)

CHANGES_3 = (
    # SQLite cannot change a CHECK of an existing table, so the table is created again. Views that read it are dropped first.
    "DROP VIEW leaderboard",
    "DROP VIEW lineage",
    "DROP VIEW refusals",
    """
CREATE TABLE proposal_3 (
    id INTEGER PRIMARY KEY,
    step INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    operator TEXT NOT NULL,      -- of the search: explore, refine, combine, repair, or one that was added
    proposer TEXT NOT NULL,
    model TEXT,
    temperature REAL,
    template TEXT NOT NULL,      -- hash of the prompt template
    "references" TEXT NOT NULL,  -- JSON: what the template was filled with
    seen_event INTEGER NOT NULL, -- the last event the step could see; 0: none
    state TEXT NOT NULL CHECK (state IN ('requested', 'received', 'failed', 'lost')),
    reply BLOB,                  -- zlib
    tokens_in INTEGER,
    tokens_out INTEGER,
    usd REAL,
    seconds REAL,
    error TEXT,
    requested_event INTEGER NOT NULL REFERENCES event(id),
    received_event INTEGER REFERENCES event(id),
    prompt TEXT,                 -- JSON: [[role, hash of text], ...]; NULL: no words were sent
    UNIQUE (step, attempt),
    CHECK ((state = 'requested') = (received_event IS NULL)),
    CHECK (state <> 'received' OR reply IS NOT NULL)
)""",
    "INSERT INTO proposal_3 SELECT * FROM proposal",
    "DROP TABLE proposal",
    "ALTER TABLE proposal_3 RENAME TO proposal",
    "CREATE INDEX proposal_state ON proposal (state)",
    *VIEWS_1,
)

CHANGES_4 = (
    # Tables are created again, so that `.schema` shows what their columns hold. Views that read them are dropped first.
    "DROP VIEW leaderboard",
    "DROP VIEW lineage",
    "DROP VIEW refusals",
    """
CREATE TABLE verdict_4 (
    candidate_id INTEGER PRIMARY KEY REFERENCES candidate(id),
    status TEXT NOT NULL CHECK (status IN ('accepted', 'refused', 'partial')),
    duplicate_of INTEGER REFERENCES candidate(id),
    duplicate_kind TEXT,
    graph BLOB,                  -- JSON of the loss graph, packed (archive.sqlite.packed); text in rows of older versions
    hash TEXT,
    fingerprint BLOB,            -- JSON, packed; text in rows of older versions
    descriptors BLOB,            -- JSON, packed; text in rows of older versions
    entry TEXT,                  -- name of the function that was traced
    guarantees BLOB,             -- JSON, packed; text in rows of older versions
    milliseconds REAL,
    details TEXT NOT NULL,       -- JSON: whatever else the verdict said
    event_id INTEGER NOT NULL REFERENCES event(id)
)""",
    "INSERT INTO verdict_4 SELECT * FROM verdict",
    "DROP TABLE verdict",
    "ALTER TABLE verdict_4 RENAME TO verdict",
    """
CREATE TABLE text_4 (
    id INTEGER PRIMARY KEY,
    hash BLOB NOT NULL UNIQUE,   -- SHA-256 of the text
    base INTEGER REFERENCES text(id), -- the text whose end is the dictionary of `content`; NULL: none. It has no base itself
    content BLOB NOT NULL        -- zlib
)""",
    "INSERT INTO text_4 (hash, content) SELECT from_hex(hash), content FROM text ORDER BY rowid",
    "DROP TABLE text",
    "ALTER TABLE text_4 RENAME TO text",
    "CREATE INDEX text_whole ON text (id) WHERE base IS NULL",
    "UPDATE proposal SET prompt = by_id(prompt) WHERE prompt IS NOT NULL",
    # Indexes hold only the rows that a query looks for.
    "DROP INDEX evaluation_state",
    "DROP INDEX proposal_state",
    "DROP INDEX event_candidate",
    "DROP INDEX event_proposal",
    "DROP INDEX event_evaluation",
    "DROP INDEX parent_parent",
    "CREATE INDEX evaluation_unfinished ON evaluation (id) WHERE finished_event IS NULL",
    "CREATE INDEX evaluation_fitness ON evaluation (task, rung, fitness) WHERE fitness IS NOT NULL",
    "CREATE INDEX proposal_unanswered ON proposal (id) WHERE received_event IS NULL",
    "CREATE INDEX evaluation_failed ON evaluation (id) WHERE reason IS NOT NULL",
    "CREATE INDEX verdict_duplicate_of ON verdict (duplicate_of)",
    "CREATE INDEX verdict_refused ON verdict (candidate_id) WHERE status = 'refused'",
    "CREATE INDEX event_proposal ON event (proposal_id) WHERE proposal_id IS NOT NULL",
    "CREATE INDEX event_evaluation ON event (evaluation_id) WHERE evaluation_id IS NOT NULL",
    *VIEWS_1,
)
"""Values that fill most of an archive are packed, and a message of a prompt is stored as its difference to a similar one. Prompts
name their texts by id. In SQL, `from_hex` gives the bytes of a hash, and `by_id` replaces hashes by ids (`migrations`)."""

CHANGES_5 = (
    """
CREATE TABLE variant (
    id INTEGER PRIMARY KEY,
    candidate_id INTEGER NOT NULL REFERENCES candidate(id),
    purpose TEXT NOT NULL,       -- what it was made for: parts (of evopo autopsy)
    edit TEXT NOT NULL,          -- JSON: the edits of the candidate's graph; []: none
    graph TEXT NOT NULL,         -- JSON of the edited graph
    hash TEXT NOT NULL,          -- canonical hash of the edited graph
    status TEXT CHECK (status IN ('accepted', 'refused', 'partial')),  -- of its verdict; NULL: not vetted yet
    rules TEXT,                  -- JSON: the rules that refused it
    event_id INTEGER NOT NULL REFERENCES event(id),
    vetted_event INTEGER REFERENCES event(id),
    UNIQUE (candidate_id, purpose, edit),
    CHECK ((status IS NULL) = (vetted_event IS NULL)),
    CHECK ((status IS NULL) = (rules IS NULL))
)""",
    # A row is written when its training has ended, so there is no state.
    """
CREATE TABLE variant_evaluation (
    id INTEGER PRIMARY KEY,
    variant_id INTEGER NOT NULL REFERENCES variant(id),
    rung TEXT NOT NULL,
    seed INTEGER NOT NULL,
    beta REAL,                   -- NULL: the task's own
    learning_rate REAL,          -- NULL: the task's own
    fitness REAL,                -- finite, or NULL if the training failed
    metrics TEXT NOT NULL,       -- JSON; non-finite numbers as the strings "nan", "inf", "-inf"
    items BLOB,                  -- zlib of JSON: fitness item by item
    seconds REAL,
    reason TEXT,
    detail TEXT,
    event_id INTEGER NOT NULL REFERENCES event(id),
    CHECK ((fitness IS NULL) = (reason IS NOT NULL))
)""",
    """
CREATE UNIQUE INDEX variant_evaluation_once ON variant_evaluation
    (variant_id, rung, seed, coalesce(beta, 'task'), coalesce(learning_rate, 'task'))""",
)

CHANGES_6 = (
    """
CREATE TABLE policy (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,          -- as it is shown
    kind TEXT NOT NULL CHECK (kind IN ('trained', 'reference', 'model', 'outputs')),
    loss TEXT,                   -- name of the loss that it was trained with
    seed INTEGER,                -- of that training
    digest TEXT NOT NULL UNIQUE, -- of its recipe, if it was trained here, else of its files
    recipe TEXT NOT NULL,        -- JSON: task, rung, beta, hash of the graph, ...
    event_id INTEGER NOT NULL REFERENCES event(id),
    CHECK ((kind = 'trained') = (loss IS NOT NULL)),
    CHECK ((kind = 'trained') = (seed IS NOT NULL))
)""",
    # Rows of `answer` and `judgement` are written when they are complete, so there is no state.
    """
CREATE TABLE answer (
    id INTEGER PRIMARY KEY,
    policy_id INTEGER NOT NULL REFERENCES policy(id),
    benchmark TEXT NOT NULL,
    question TEXT NOT NULL,      -- its id in the benchmark
    category TEXT NOT NULL,
    key TEXT NOT NULL,           -- hash of the question's text, and of how the policy writes
    sampling_seed INTEGER NOT NULL,
    turns BLOB NOT NULL,         -- packed JSON: one text per turn
    tokens INTEGER NOT NULL,
    metrics TEXT NOT NULL,       -- JSON, as in evaluation
    event_id INTEGER NOT NULL REFERENCES event(id),
    UNIQUE (policy_id, benchmark, key, sampling_seed)
)""",
    # Two answers with the same text share a reply: its key is the same, and only the first row has what it cost.
    """
CREATE TABLE judgement (
    id INTEGER PRIMARY KEY,
    benchmark TEXT NOT NULL,
    question TEXT NOT NULL,
    category TEXT NOT NULL,
    turn INTEGER NOT NULL,       -- 0: the whole answer
    form TEXT NOT NULL,          -- name of the judge's prompt
    prompt_hash TEXT NOT NULL,   -- SHA-256 of its template
    judge TEXT NOT NULL,         -- name of the judge's model
    key TEXT NOT NULL,           -- hash of all that was sent, and of the judge's name
    first INTEGER NOT NULL,      -- the answer that was shown first, or alone; 0: of the benchmark's data
    second INTEGER,              -- the answer that was shown second; NULL: one answer was graded
    grade REAL,                  -- NULL: the reply has none
    reply BLOB NOT NULL,         -- packed text
    alternatives TEXT NOT NULL,  -- JSON: log-probabilities of the first token's alternatives, nats
    tokens_in INTEGER,           -- NULL: nothing was asked for this row
    tokens_out INTEGER,
    usd REAL,
    event_id INTEGER NOT NULL REFERENCES event(id)
)""",
    "CREATE UNIQUE INDEX judgement_once ON judgement (key, turn, form, first, coalesce(second, 'none'))",
)
