-- What waits until a time: events with a future sendat, and deliveries that are deferred. A row is released by moving its
-- record to the outbox in one transaction. Released and cancelled rows stay for the dedupe window: they are the claims of
-- released records.
CREATE TABLE waiting (
    id UUID PRIMARY KEY, -- derived from the event, so that a record that is read again is one row
    tenant TEXT NOT NULL,
    event_id TEXT NOT NULL,
    source TEXT NOT NULL,
    event_type TEXT NOT NULL,
    user_id TEXT, -- if the event is for one user alone, whose erasure erases it
    kind TEXT NOT NULL, -- event, deliveries
    reason TEXT NOT NULL,
    number INTEGER NOT NULL, -- of its release, from 1
    due TIMESTAMPTZ NOT NULL,
    state TEXT NOT NULL, -- waiting, released, cancelled
    changed_at TIMESTAMPTZ NOT NULL, -- when it reached its state
    out_topic TEXT, -- with the next three: the record to be released; null once it does not wait any more
    record_key BYTEA,
    headers BYTEA,
    value BYTEA,
    topic TEXT, -- with the next two: the released record that is decided
    partition_id INTEGER,
    record_offset BIGINT
);
CREATE INDEX waiting_due ON waiting (due, id) WHERE state = 'waiting';
CREATE INDEX waiting_of_event ON waiting (tenant, event_id, source);
CREATE INDEX waiting_of_user ON waiting (tenant, user_id) WHERE user_id IS NOT NULL AND state = 'waiting';
CREATE INDEX waiting_by_age ON waiting USING brin (changed_at);

-- Set if the event was cancelled before a router claimed it.
ALTER TABLE event_claims ADD COLUMN cancelled_at TIMESTAMPTZ;

-- The time until which an event waits, and the number of records into which its decisions were divided.
ALTER TABLE decided_events ADD COLUMN due_at TIMESTAMPTZ;
ALTER TABLE decided_events ADD COLUMN parts INTEGER;
