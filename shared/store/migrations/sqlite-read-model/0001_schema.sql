-- The tables of the read model: the content of the status topic and the dead letter topics in the form in which it is
-- queried. They lie in a file of their own, so that claims, for which messages wait, never wait for them.

CREATE TABLE projection_offsets (
    consumer TEXT NOT NULL,
    topic TEXT NOT NULL,
    partition_id INTEGER NOT NULL,
    next_offset INTEGER NOT NULL,
    PRIMARY KEY (consumer, topic, partition_id)
) STRICT, WITHOUT ROWID;

-- Rebuilds of a projection. Each reads the status topic in a consumer group of its own, whose name ends with this number.
CREATE TABLE projection_rebuilds (
    consumer TEXT NOT NULL PRIMARY KEY,
    rebuilds INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- A `*_of` column is the generation and attempt that said the value before it: the latest one that did stays,
-- whatever the order in which records come.
CREATE TABLE deliveries (
    id BLOB NOT NULL PRIMARY KEY,
    tenant TEXT NOT NULL,
    event_id TEXT NOT NULL,
    source TEXT NOT NULL,
    event_type TEXT NOT NULL,
    category TEXT NOT NULL,
    user_id TEXT,
    channel TEXT NOT NULL,
    status TEXT NOT NULL,
    generation INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    precedence INTEGER NOT NULL, -- generation, attempt, rank and status in one number: the greatest wins
    reason TEXT,
    error_code TEXT,
    to_masked TEXT,
    to_masked_of INTEGER NOT NULL,
    provider TEXT,
    provider_of INTEGER NOT NULL,
    provider_message_id TEXT,
    provider_message_id_of INTEGER NOT NULL,
    template TEXT,
    template_of INTEGER NOT NULL,
    queued_at TEXT, -- with the next two: the decision to send it, the first step of its timeline
    queued_reason TEXT,
    queued_detail TEXT,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
) STRICT;
-- Ascending: new entries go to the end of the index, which is the cheapest place; it is read backwards as well. An event's
-- deliveries are named in its decisions.
CREATE INDEX deliveries_newest ON deliveries (tenant, created_at, id);
CREATE INDEX deliveries_of_user ON deliveries (tenant, user_id, created_at, id) WHERE user_id IS NOT NULL;

-- The steps of attempts: one row for each status record. The key begins with the time at which the bus took the event: a
-- batch then writes pages that lie side by side. Random keys cost a page for each row.
CREATE TABLE attempts (
    created_at TEXT NOT NULL, -- of the delivery
    delivery_id BLOB NOT NULL,
    generation INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    at TEXT NOT NULL, -- of the first step
    digest INTEGER NOT NULL, -- of the columns after it: a repeated record is one row
    provider TEXT,
    due_at TEXT, -- of the next attempt, if one follows the last step
    steps TEXT NOT NULL,
    PRIMARY KEY (created_at, delivery_id, generation, attempt, at, digest)
) STRICT;

-- Identified by the record that carried the event, so that a doubled record counts once.
CREATE TABLE decided_events (
    topic TEXT NOT NULL,
    partition_id INTEGER NOT NULL,
    record_offset INTEGER NOT NULL,
    part INTEGER NOT NULL,
    tenant TEXT NOT NULL,
    event_id TEXT NOT NULL,
    source TEXT NOT NULL,
    event_type TEXT NOT NULL,
    at TEXT NOT NULL,
    verdict TEXT NOT NULL,
    via_gateway INTEGER NOT NULL,
    user_id TEXT, -- if all of it is about one user, whose erasure erases it
    event TEXT,
    decisions TEXT NOT NULL,
    PRIMARY KEY (topic, partition_id, record_offset, part)
) STRICT;
CREATE INDEX decided_events_by_event ON decided_events (tenant, event_id);

CREATE TABLE dead_letters (
    id BLOB NOT NULL PRIMARY KEY,
    topic TEXT NOT NULL,
    partition_id INTEGER NOT NULL,
    record_offset INTEGER NOT NULL,
    tenant TEXT NOT NULL,
    queue TEXT NOT NULL, -- a channel or `events`
    source_topic TEXT NOT NULL,
    class TEXT NOT NULL,
    provider TEXT,
    code TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    reason TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    first_failed_at TEXT NOT NULL,
    dead_at TEXT NOT NULL,
    state TEXT NOT NULL, -- open, replayed, discarded
    delivery_id BLOB,
    event_type TEXT,
    headers TEXT NOT NULL,
    record_key BLOB,
    value BLOB NOT NULL
) STRICT;
CREATE INDEX dead_letters_newest ON dead_letters (tenant, dead_at DESC, id DESC);
CREATE INDEX dead_letters_by_cause ON dead_letters (tenant, fingerprint, dead_at DESC, id DESC);
CREATE INDEX dead_letters_open ON dead_letters (queue) WHERE state = 'open';
-- A delivery stays as long as a letter of it is open.
CREATE INDEX dead_letters_of_delivery ON dead_letters (delivery_id) WHERE state = 'open';

-- The auditor's counts of the projection.
CREATE TABLE counters (
    name TEXT NOT NULL,
    shard INTEGER NOT NULL,
    value INTEGER NOT NULL,
    PRIMARY KEY (name, shard)
) STRICT, WITHOUT ROWID;
