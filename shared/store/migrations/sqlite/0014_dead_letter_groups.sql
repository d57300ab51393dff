-- What people say of a cause of dead letters. A row outlasts the letters, because a cause may come again.
CREATE TABLE dead_letter_groups (
    tenant TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    version INTEGER NOT NULL,
    note TEXT,
    owner TEXT,
    ignored_at TEXT, -- with the next: since when, and by which API key's name
    ignored_by TEXT,
    plan_id BLOB, -- the latest planned replay
    updated_at TEXT NOT NULL,
    updated_by TEXT NOT NULL, -- the name of the API key
    PRIMARY KEY (tenant, fingerprint)
) STRICT;
CREATE INDEX dead_letter_groups_ignored ON dead_letter_groups (tenant, fingerprint) WHERE ignored_at IS NOT NULL;

-- Replays of a cause that begin by themselves once their condition holds. The id is that of the job to be made, and the job
-- is made in the transaction that ends the wait, so that there is one job whatever happens.
CREATE TABLE planned_replays (
    id BLOB NOT NULL PRIMARY KEY, -- version 7, ordered by time
    tenant TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    kind TEXT NOT NULL, -- template, account
    subject TEXT NOT NULL, -- the template's id, or the account's name
    after_version INTEGER, -- a published version of the template above it meets the condition
    rate INTEGER, -- with the next three: as in dead_letter_jobs
    note TEXT,
    canary INTEGER,
    canary_tolerance INTEGER,
    key_id BLOB NOT NULL, -- with the next: the API key that planned it
    key_name TEXT NOT NULL,
    state TEXT NOT NULL, -- waiting, started, cancelled
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX planned_replays_waiting ON planned_replays (tenant, fingerprint) WHERE state = 'waiting';
