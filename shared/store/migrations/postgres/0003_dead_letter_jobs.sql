-- Dead letters are worked off by jobs. The verdicts are authoritative; the state of a letter in the read model follows them.

CREATE TABLE dead_letter_jobs (
    id UUID PRIMARY KEY, -- version 7, ordered by time
    tenant TEXT NOT NULL,
    kind TEXT NOT NULL, -- replay, discard
    selection JSON NOT NULL,
    state TEXT NOT NULL, -- running, done, cancelled, failed
    total BIGINT NOT NULL, -- letters that the selection had when the job was made
    settled BIGINT NOT NULL, -- letters with this job's verdict
    skipped JSON NOT NULL, -- numbers of letters that stay as they are, by reason
    after_at TIMESTAMPTZ, -- with the next: the last letter that was worked off, oldest first
    after_id UUID,
    rate INTEGER, -- the most letters a second; null: as fast as they are read
    note TEXT,
    key_id UUID NOT NULL, -- with the next: the API key that asked for it
    key_name TEXT NOT NULL,
    error TEXT, -- the reason of the state failed
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    ended_at TIMESTAMPTZ,
    next_step_at TIMESTAMPTZ NOT NULL,
    owner UUID, -- with the next: the lease of the process that is at a step
    lease_until TIMESTAMPTZ
);
CREATE INDEX dead_letter_jobs_of_tenant ON dead_letter_jobs (tenant, created_at, id);
CREATE INDEX dead_letter_jobs_running ON dead_letter_jobs (next_step_at, id) WHERE state = 'running';

CREATE TABLE dead_letter_verdicts (
    letter_id UUID PRIMARY KEY,
    tenant TEXT NOT NULL,
    verdict TEXT NOT NULL, -- replayed, discarded
    generation INTEGER, -- of the delivery that was put back
    job_id UUID NOT NULL,
    at TIMESTAMPTZ NOT NULL,
    actor TEXT NOT NULL -- the name of the API key
);
CREATE INDEX dead_letter_verdicts_by_age ON dead_letter_verdicts USING brin (at);

-- Records that are on their way to the bus. They are written in the transaction that decides on them, and deleted once the
-- bus has them.
CREATE TABLE outbox (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic TEXT NOT NULL,
    record_key BYTEA,
    headers BYTEA NOT NULL,
    value BYTEA NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    owner UUID, -- with the next: the lease of the process that is publishing it
    lease_until TIMESTAMPTZ
);
