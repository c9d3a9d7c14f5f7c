PRAGMA application_id = 1163284304;
PRAGMA user_version = 6;
BEGIN TRANSACTION;
CREATE TABLE "_sqlite_migrations" (
   "id" INTEGER PRIMARY KEY,
   "migration_set" TEXT,
   "name" TEXT,
   "applied_at" TEXT
);
INSERT INTO "_sqlite_migrations" VALUES(1,'evopo.archive','m001_first_release','2026-11-22 12:33:42.646594+00:00');
INSERT INTO "_sqlite_migrations" VALUES(2,'evopo.archive','m002_baseline_prompts_items_curves','2026-11-26 01:18:00.000192+00:00');
INSERT INTO "_sqlite_migrations" VALUES(3,'evopo.archive','m003_operators_by_name','2026-11-26 11:04:09.231357+00:00');
INSERT INTO "_sqlite_migrations" VALUES(4,'evopo.archive','m004_packed','2026-11-26 18:10:52.064999+00:00');
INSERT INTO "_sqlite_migrations" VALUES(5,'evopo.archive','m005_variants','2026-11-26 18:52:18.945116+00:00');
INSERT INTO "_sqlite_migrations" VALUES(6,'evopo.archive','m006_judgements','2026-11-27 03:49:43.536473+00:00');
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
);
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
);
INSERT INTO "candidate" VALUES(1,NULL,'seed','dpo','','def dpo(): ...','preference',2,'2026-11-22T12:33:42.651+00:00');
INSERT INTO "candidate" VALUES(2,1,'proposal','child','a thought','import os','preference',6,'2026-11-22T12:33:42.655+00:00');
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
    finished_event INTEGER REFERENCES event(id), items BLOB, curves BLOB, tokens_in INTEGER, tokens_out INTEGER, usd REAL,
    CHECK ((state = 'scored') = (fitness IS NOT NULL)),
    CHECK ((state = 'failed') = (reason IS NOT NULL)),
    CHECK ((state IN ('scored', 'failed')) = (finished_event IS NOT NULL))
);
INSERT INTO "evaluation" VALUES(1,1,'sentiment','full',0,NULL,NULL,'scored',0.5,'{"kl":1.5}',2.0,100,1,NULL,NULL,8,10,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "evaluation" VALUES(2,1,'sentiment','full',1,0.5,NULL,'failed',NULL,'{}',NULL,NULL,0,'diverged','loss is NaN',11,12,NULL,NULL,NULL,NULL,NULL);
CREATE TABLE event (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at TEXT NOT NULL,        -- ISO 8601, UTC
    kind TEXT NOT NULL,
    candidate_id INTEGER REFERENCES candidate(id) DEFERRABLE INITIALLY DEFERRED,
    proposal_id INTEGER REFERENCES proposal(id) DEFERRABLE INITIALLY DEFERRED,
    evaluation_id INTEGER REFERENCES evaluation(id) DEFERRABLE INITIALLY DEFERRED,
    payload TEXT NOT NULL    -- JSON
);
INSERT INTO "event" VALUES(1,'2026-11-22T12:33:42.647+00:00','run_created',NULL,NULL,NULL,'{"version":"0.1.0"}');
INSERT INTO "event" VALUES(2,'2026-11-22T12:33:42.651+00:00','candidate_added',1,NULL,NULL,'{}');
INSERT INTO "event" VALUES(3,'2026-11-22T12:33:42.652+00:00','verdict_recorded',1,NULL,NULL,'{"status":"accepted","rules":[]}');
INSERT INTO "event" VALUES(4,'2026-11-22T12:33:42.653+00:00','proposal_requested',NULL,1,NULL,'{}');
INSERT INTO "event" VALUES(5,'2026-11-22T12:33:42.654+00:00','proposal_received',NULL,1,NULL,'{}');
INSERT INTO "event" VALUES(6,'2026-11-22T12:33:42.654+00:00','candidate_added',2,1,NULL,'{}');
INSERT INTO "event" VALUES(7,'2026-11-22T12:33:42.655+00:00','verdict_recorded',2,NULL,NULL,'{"status":"refused","rules":["SBX105"]}');
INSERT INTO "event" VALUES(8,'2026-11-22T12:33:42.656+00:00','evaluation_queued',1,NULL,1,'{}');
INSERT INTO "event" VALUES(9,'2026-11-22T12:33:42.656+00:00','evaluation_started',1,NULL,1,'{}');
INSERT INTO "event" VALUES(10,'2026-11-22T12:33:42.657+00:00','evaluation_scored',1,NULL,1,'{}');
INSERT INTO "event" VALUES(11,'2026-11-22T12:33:42.658+00:00','evaluation_queued',1,NULL,2,'{}');
INSERT INTO "event" VALUES(12,'2026-11-22T12:33:42.659+00:00','evaluation_failed',1,NULL,2,'{"reason":"diverged"}');
INSERT INTO "event" VALUES(13,'2026-11-22T12:33:42.659+00:00','proposal_requested',NULL,2,NULL,'{}');
INSERT INTO "event" VALUES(14,'2026-11-22T12:33:42.660+00:00','proposal_lost',NULL,2,NULL,'{}');
INSERT INTO "event" VALUES(15,'2026-11-26T01:18:00.001+00:00','proposal_requested',NULL,3,NULL,'{}');
INSERT INTO "event" VALUES(16,'2026-11-26T01:18:00.002+00:00','proposal_failed',NULL,3,NULL,'{}');
INSERT INTO "event" VALUES(17,'2026-11-26T18:10:52.111+00:00','proposal_requested',NULL,4,NULL,'{}');
INSERT INTO "event" VALUES(18,'2026-11-26T18:10:52.113+00:00','proposal_received',NULL,4,NULL,'{}');
INSERT INTO "event" VALUES(19,'2026-11-26T18:10:52.115+00:00','proposal_requested',NULL,5,NULL,'{}');
INSERT INTO "event" VALUES(20,'2026-11-26T18:10:52.118+00:00','proposal_received',NULL,5,NULL,'{}');
INSERT INTO "event" VALUES(21,'2026-11-26T18:36:25.567+00:00','variant_added',1,NULL,NULL,'{"variant":1}');
INSERT INTO "event" VALUES(22,'2026-11-26T18:36:25.571+00:00','variant_vetted',1,NULL,NULL,'{"variant":1,"status":"accepted","rules":[]}');
INSERT INTO "event" VALUES(23,'2026-11-26T18:36:25.572+00:00','variant_scored',1,NULL,NULL,'{"variant":1}');
INSERT INTO "event" VALUES(24,'2026-11-26T18:36:25.578+00:00','variant_failed',1,NULL,NULL,'{"variant":1}');
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
);
INSERT INTO "finding" VALUES(1,2,0,'SBX105','refuse','import of os',1,1,NULL,NULL,NULL);
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
);
CREATE TABLE parent (
    child INTEGER NOT NULL REFERENCES candidate(id),
    parent INTEGER NOT NULL REFERENCES candidate(id),
    role TEXT NOT NULL CHECK (role IN ('explored_from', 'refined', 'combined', 'repaired')),
    position INTEGER NOT NULL,
    PRIMARY KEY (child, position),
    CHECK (parent < child)       -- so the lineage has no cycles
);
INSERT INTO "parent" VALUES(2,1,'refined',0);
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
);
CREATE TABLE "proposal" (
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
);
INSERT INTO "proposal" VALUES(1,0,0,'refine','llm','model-a',0.7,'t','{"parents":[1]}',3,'received',X'789C2BC94855284A2DC8A90400114F038E',10,20,0.01,1.5,NULL,4,5,NULL);
INSERT INTO "proposal" VALUES(2,1,0,'explore','llm','model-a',0.7,'t','{}',12,'lost',NULL,NULL,NULL,NULL,NULL,NULL,13,14,NULL);
INSERT INTO "proposal" VALUES(3,2,0,'refine','openai','m',0.5,'t','{"parents":[1]}',3,'failed',NULL,NULL,NULL,NULL,NULL,'no reply',15,16,'[["system", 1], ["user", 2]]');
INSERT INTO "proposal" VALUES(4,8,1,'refine','openai','m',0.5,'t','{"parents":[1]}',3,'received',X'0178F9DD62EEB94B0496FBC0DC096CC915E4540200248C053E',10,20,0.01,1.5,NULL,17,18,'[["system",1],["user",3]]');
INSERT INTO "proposal" VALUES(5,9,1,'refine','openai','m',0.5,'t','{"parents":[1]}',3,'received',X'0178F9DD62EEB94B5428C9C82C4A01B6E40A722A0120B204E9',10,20,0.01,1.5,NULL,19,20,'[["system",1],["user",4]]');
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
, baseline TEXT);
INSERT INTO "run" VALUES(1,'example',1,'sentiment','preference','{"task":"sentiment"}','{}','2026-01-01T00:00:00.000+00:00','0.1.0','dpo');
CREATE TABLE "text" (
    id INTEGER PRIMARY KEY,
    hash BLOB NOT NULL UNIQUE,   -- SHA-256 of the text
    base INTEGER REFERENCES text(id), -- the text whose end is the dictionary of `content`; NULL: none. It has no base itself
    content BLOB NOT NULL        -- zlib
);
INSERT INTO "text" VALUES(1,X'2CF24DBA5FB0A30E26E83B2AC5B9E29E1B161E5C1FA7425E73043362938B9824',NULL,X'789CCB48CDC9C90700062C0215');
INSERT INTO "text" VALUES(2,X'B4C9E14061C2FD453B36700E3B0DA008DB2189C711AC629F0F583089164E267D',NULL,X'789C4B4C4FCCCC030005E90201');
INSERT INTO "text" VALUES(3,X'5BA1BA5BFB49854F574A7E0BABF419E1338DAAF2D83A32F3B59D6F059462F46C',NULL,X'789C735448CB2C2A2E51C8C9CC4B5528C9482C51482D4B2DAA54284A2D2C4D058A672416EB718564A42A14A726E7E7A540D46516039502851273817AF2F3F5B81C81FCCCA2143D00463C1B27');
INSERT INTO "text" VALUES(4,X'D7888B94699B566814899C12214EFDC294E51F6C907E8B8AC078A144F493DDC9',3,X'78F9463C1B2773A4AA695C8E4025F94015F9690A9925C50AF9E5797A00A65921AD');
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
);
INSERT INTO "variant" VALUES(1,1,'autopsy','[["drop",3,0]]','{}','g1:a','accepted','[]',21,22);
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
);
INSERT INTO "variant_evaluation" VALUES(1,1,'full',7,NULL,NULL,0.25,'{"kl":1.0}',NULL,2.0,NULL,NULL,23);
INSERT INTO "variant_evaluation" VALUES(2,1,'full',8,NULL,NULL,NULL,'{}',NULL,NULL,'diverged','the loss became infinite',24);
CREATE TABLE "verdict" (
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
);
INSERT INTO "verdict" VALUES(1,'accepted',NULL,NULL,X'0178F9DD62EEB9ABAE0500017500F9','h',X'0178F9DD62EEB98369CE56AA0500155A036F',NULL,NULL,NULL,2.5,'{}',3);
INSERT INTO "verdict" VALUES(2,'refused',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'{}',7);
CREATE UNIQUE INDEX "idx__sqlite_migrations_migration_set_name"
    ON "_sqlite_migrations" ("migration_set", "name");
CREATE UNIQUE INDEX evaluation_once ON evaluation
    (candidate_id, task, rung, seed, coalesce(beta, 'task'), coalesce(learning_rate, 'task'));
CREATE INDEX text_whole ON text (id) WHERE base IS NULL;
CREATE INDEX evaluation_unfinished ON evaluation (id) WHERE finished_event IS NULL;
CREATE INDEX evaluation_fitness ON evaluation (task, rung, fitness) WHERE fitness IS NOT NULL;
CREATE INDEX proposal_unanswered ON proposal (id) WHERE received_event IS NULL;
CREATE INDEX evaluation_failed ON evaluation (id) WHERE reason IS NOT NULL;
CREATE INDEX verdict_duplicate_of ON verdict (duplicate_of);
CREATE INDEX verdict_refused ON verdict (candidate_id) WHERE status = 'refused';
CREATE INDEX event_proposal ON event (proposal_id) WHERE proposal_id IS NOT NULL;
CREATE INDEX event_evaluation ON event (evaluation_id) WHERE evaluation_id IS NOT NULL;
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
ORDER BY s.task, s.rung, place, c.id;
CREATE VIEW lineage AS
SELECT c.id AS candidate, c.name, v.status, v.duplicate_of, c.origin, p.operator, p.model, p.step,
       e.position, e.role, e.parent, parent_candidate.name AS parent_name
FROM candidate AS c
LEFT JOIN parent AS e ON e.child = c.id
LEFT JOIN candidate AS parent_candidate ON parent_candidate.id = e.parent
LEFT JOIN verdict AS v ON v.candidate_id = c.id
LEFT JOIN proposal AS p ON p.id = c.proposal_id
ORDER BY c.id, e.position;
CREATE VIEW refusals AS
SELECT f.candidate_id AS candidate, c.name, f.rule, f.message, f.line, f.excerpt, f.remedy, f.counterexample,
       p.operator, p.model, p.step
FROM finding AS f
JOIN verdict AS v ON v.candidate_id = f.candidate_id AND v.status = 'refused'
JOIN candidate AS c ON c.id = f.candidate_id
LEFT JOIN proposal AS p ON p.id = c.proposal_id
WHERE f.severity = 'refuse'
ORDER BY f.candidate_id, f.position;
CREATE UNIQUE INDEX variant_evaluation_once ON variant_evaluation
    (variant_id, rung, seed, coalesce(beta, 'task'), coalesce(learning_rate, 'task'));
CREATE UNIQUE INDEX judgement_once ON judgement (key, turn, form, first, coalesce(second, 'none'));
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('event',24);
COMMIT;
