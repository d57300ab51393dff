-- Dead letters are worked off by jobs. The verdicts are authoritative; the state of a letter in the read model follows them.

CREATE TABLE dead_letter_jobs (
    id BLOB NOT NULL PRIMARY KEY, -- version 7, ordered by time
    tenant TEXT NOT NULL,
    kind TEXT NOT NULL, -- replay, discard
    selection TEXT NOT NULL,
    state TEXT NOT NULL, -- running, done, cancelled, failed
    total INTEGER NOT NULL, -- letters that the selection had when the job was made
    settled INTEGER NOT NULL, -- letters with this job's verdict
    skipped TEXT NOT NULL, -- numbers of letters that stay as they are, by reason
    after_at TEXT, -- with the next: the last letter that was worked off, oldest first
    after_id BLOB,
    rate INTEGER, -- the most letters a second; null: as fast as they are read
    note TEXT,
    key_id BLOB NOT NULL, -- with the next: the API key that asked for it
    key_name TEXT NOT NULL,
    error TEXT, -- the reason of the state failed
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    ended_at TEXT,
    next_step_at TEXT NOT NULL,
    owner BLOB, -- with the next: the lease of the process that is at a step
    lease_until TEXT
) STRICT;
CREATE INDEX dead_letter_jobs_of_tenant ON dead_letter_jobs (tenant, created_at, id);
CREATE INDEX dead_letter_jobs_running ON dead_letter_jobs (next_step_at, id) WHERE state = 'running';

CREATE TABLE dead_letter_verdicts (
    letter_id BLOB NOT NULL PRIMARY KEY,
    tenant TEXT NOT NULL,
    verdict TEXT NOT NULL, -- replayed, discarded
    generation INTEGER, -- of the delivery that was put back
    job_id BLOB NOT NULL,
    at TEXT NOT NULL,
    actor TEXT NOT NULL -- the name of the API key
) STRICT;

-- Records that are on their way to the bus. They are written in the transaction that decides on them, and deleted once the
-- bus has them.
CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    topic TEXT NOT NULL,
    record_key BLOB,
    headers BLOB NOT NULL,
    value BLOB NOT NULL,
    created_at TEXT NOT NULL,
    owner BLOB, -- with the next: the lease of the process that is publishing it
    lease_until TEXT
) STRICT;
