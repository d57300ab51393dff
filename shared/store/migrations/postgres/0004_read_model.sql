-- What the status topic and the dead letter topics say, in the form in which it is asked for.

CREATE TABLE projection_offsets (
    consumer TEXT NOT NULL,
    topic TEXT NOT NULL,
    partition_id INTEGER NOT NULL,
    next_offset BIGINT NOT NULL,
    PRIMARY KEY (consumer, topic, partition_id)
);

-- A `*_of` column is the generation and attempt that said the value before it: the latest one that did stays,
-- whatever the order in which records come. Ties are broken by comparing texts, hence the collation of bytes.
CREATE TABLE deliveries (
    id UUID PRIMARY KEY,
    tenant TEXT NOT NULL,
    event_id TEXT NOT NULL,
    source TEXT NOT NULL,
    event_type TEXT NOT NULL,
    category TEXT NOT NULL,
    user_id TEXT,
    channel TEXT NOT NULL,
    status TEXT COLLATE "C" NOT NULL,
    generation INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    precedence BIGINT NOT NULL, -- generation, attempt, rank and status in one number: the greatest wins
    reason TEXT COLLATE "C",
    error_code TEXT COLLATE "C",
    to_masked TEXT COLLATE "C",
    to_masked_of BIGINT NOT NULL,
    provider TEXT COLLATE "C",
    provider_of BIGINT NOT NULL,
    provider_message_id TEXT COLLATE "C",
    provider_message_id_of BIGINT NOT NULL,
    template TEXT COLLATE "C",
    template_of BIGINT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
) WITH (fillfactor = 50); -- room for the update that nearly every row sees, so that it need not touch the indexes
CREATE INDEX deliveries_newest ON deliveries (tenant, created_at DESC, id DESC);
CREATE INDEX deliveries_of_user ON deliveries (tenant, user_id, created_at DESC, id DESC) WHERE user_id IS NOT NULL;
CREATE INDEX deliveries_of_event ON deliveries (tenant, event_id);

CREATE TABLE delivery_history (
    delivery_id UUID NOT NULL,
    generation INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    status TEXT NOT NULL,
    precedence BIGINT NOT NULL,
    at TIMESTAMPTZ NOT NULL,
    provider TEXT,
    code TEXT,
    detail TEXT,
    PRIMARY KEY (delivery_id, generation, attempt, status, at)
) PARTITION BY RANGE (at);
-- Days get partitions of their own ahead of time (read_model/partitions.rs); this one takes what no day fits.
CREATE TABLE delivery_history_default PARTITION OF delivery_history DEFAULT;

-- Named by the record that carried the event, so that a doubled record counts once.
CREATE TABLE decided_events (
    topic TEXT NOT NULL,
    partition_id INTEGER NOT NULL,
    record_offset BIGINT NOT NULL,
    part INTEGER NOT NULL,
    tenant TEXT NOT NULL,
    event_id TEXT NOT NULL,
    source TEXT NOT NULL,
    event_type TEXT NOT NULL,
    at TIMESTAMPTZ NOT NULL,
    verdict TEXT NOT NULL,
    via_gateway BOOLEAN NOT NULL,
    user_id TEXT, -- if all of it is about one user: what erasing them erases
    event JSON,
    decisions JSON NOT NULL,
    PRIMARY KEY (topic, partition_id, record_offset, part)
);
CREATE INDEX decided_events_by_event ON decided_events (tenant, event_id);
CREATE INDEX decided_events_of_user ON decided_events (tenant, user_id) WHERE user_id IS NOT NULL;

CREATE TABLE dead_letters (
    id UUID PRIMARY KEY,
    topic TEXT NOT NULL,
    partition_id INTEGER NOT NULL,
    record_offset BIGINT NOT NULL,
    tenant TEXT NOT NULL,
    queue TEXT NOT NULL, -- a channel or `events`
    source_topic TEXT NOT NULL,
    class TEXT NOT NULL,
    provider TEXT,
    code TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    reason TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    first_failed_at TIMESTAMPTZ NOT NULL,
    dead_at TIMESTAMPTZ NOT NULL,
    state TEXT NOT NULL, -- open, replayed, discarded
    delivery_id UUID,
    event_type TEXT,
    headers JSON NOT NULL,
    record_key BYTEA,
    value BYTEA NOT NULL
);
CREATE INDEX dead_letters_newest ON dead_letters (tenant, dead_at DESC, id DESC);
CREATE INDEX dead_letters_by_cause ON dead_letters (tenant, fingerprint, dead_at DESC, id DESC);
CREATE INDEX dead_letters_open ON dead_letters (queue) WHERE state = 'open';
