-- The tables of a Carillon. Documents are `json`, not `jsonb`: they are read whole, and jsonb refuses strings that contain
-- \u0000.

-- Callers, users, and the wishes of users.

CREATE TABLE api_keys (
    id UUID PRIMARY KEY, -- version 7, ordered by time
    tenant TEXT NOT NULL,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    secret_hash BYTEA NOT NULL, -- SHA-256 of 256 random bits
    created_at TIMESTAMPTZ NOT NULL,
    revoked_at TIMESTAMPTZ,
    last_used_at TIMESTAMPTZ
);
CREATE INDEX api_keys_of_tenant ON api_keys (tenant, created_at);

CREATE TABLE users (
    tenant TEXT NOT NULL,
    user_id TEXT NOT NULL,
    locale TEXT,
    timezone TEXT,
    version BIGINT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (tenant, user_id)
);

-- A `dead_*` column says why the address takes no more messages, and which delivery found it.
CREATE TABLE contact_points (
    id UUID PRIMARY KEY,
    tenant TEXT NOT NULL,
    user_id TEXT NOT NULL,
    channel TEXT NOT NULL,
    address TEXT NOT NULL,
    token_hash BYTEA, -- SHA-256 of a device's token, by which its present user is found
    platform TEXT,
    registered_at TIMESTAMPTZ NOT NULL,
    dead_code TEXT,
    dead_at TIMESTAMPTZ,
    dead_reason TEXT,
    dead_provider TEXT,
    dead_delivery UUID,
    FOREIGN KEY (tenant, user_id) REFERENCES users ON DELETE CASCADE
);
CREATE INDEX contact_points_of_user ON contact_points (tenant, user_id);
CREATE UNIQUE INDEX contact_points_by_token ON contact_points (tenant, token_hash) WHERE token_hash IS NOT NULL;

-- Addresses whose owner has told a provider to stop (STOP to a text message). A profile that is written again, with or
-- without the address, does not undo it; only an explicit consent removes the row.
CREATE TABLE opt_outs (
    tenant TEXT NOT NULL,
    user_id TEXT NOT NULL,
    channel TEXT NOT NULL,
    address TEXT NOT NULL,
    code TEXT NOT NULL,
    provider TEXT,
    delivery UUID,
    noted_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (tenant, user_id, channel, address),
    FOREIGN KEY (tenant, user_id) REFERENCES users ON DELETE CASCADE
);

CREATE TABLE preferences (
    tenant TEXT NOT NULL,
    user_id TEXT NOT NULL,
    version BIGINT NOT NULL,
    document JSON NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (tenant, user_id),
    FOREIGN KEY (tenant, user_id) REFERENCES users ON DELETE CASCADE
);

-- Reveals of what is hidden from others, with the key that asked. Entries are never deleted.
CREATE TABLE audit_log (
    id UUID PRIMARY KEY, -- version 7, ordered by time
    tenant TEXT NOT NULL,
    at TIMESTAMPTZ NOT NULL,
    key_id UUID NOT NULL,
    key_name TEXT NOT NULL,
    action TEXT NOT NULL,
    route TEXT NOT NULL
);
CREATE INDEX audit_log_of_tenant ON audit_log (tenant, at, id);

-- Catalogs, templates, locales.

CREATE TABLE catalogs (
    tenant TEXT PRIMARY KEY,
    version BIGINT NOT NULL,
    document JSON NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    former JSON NOT NULL DEFAULT '{}' -- the masks of former versions, so that a new version uncovers no event
);

-- `locale` is '' for a template that serves every locale.
CREATE TABLE template_drafts (
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    locale TEXT NOT NULL,
    version BIGINT NOT NULL,
    parts JSON NOT NULL,
    base_version BIGINT NOT NULL, -- the published version beside which it was written; 0: none
    updated_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (tenant, id, locale)
);

CREATE TABLE template_versions (
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    version BIGINT NOT NULL,
    locale TEXT NOT NULL,
    parts JSON NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (tenant, id, version)
);

CREATE TABLE template_published (
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    locale TEXT NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (tenant, id, locale),
    FOREIGN KEY (tenant, id, version) REFERENCES template_versions
);

CREATE TABLE locales (
    tenant TEXT NOT NULL,
    tag TEXT NOT NULL,
    messages TEXT NOT NULL, -- Fluent
    PRIMARY KEY (tenant, tag)
);

-- Grows with every change of what is published, so that renderers need to poll one number.
CREATE TABLE template_revisions (
    tenant TEXT PRIMARY KEY,
    revision BIGINT NOT NULL
);

-- Claims of events, of requests with an Idempotency-Key, and of attempts. All are forgotten after a while; BRIN indexes
-- find the old rows.

CREATE TABLE event_claims (
    tenant TEXT NOT NULL,
    event_id TEXT NOT NULL,
    source TEXT NOT NULL,
    event_type TEXT NOT NULL,
    fingerprint BYTEA NOT NULL,
    state TEXT NOT NULL, -- pending, published
    via_gateway BOOLEAN NOT NULL,
    accepted_at TIMESTAMPTZ NOT NULL,
    owner UUID, -- of the lease
    lease_until TIMESTAMPTZ,
    topic TEXT, -- with the next two: the record that is routed
    partition_id INTEGER,
    record_offset BIGINT,
    reads BIGINT NOT NULL, -- how often a router claimed it; the auditor counts the first
    PRIMARY KEY (tenant, event_id, source)
) WITH (fillfactor = 70); -- room for the two updates that every row sees
CREATE INDEX event_claims_by_age ON event_claims USING brin (accepted_at);

CREATE TABLE idempotency_keys (
    tenant TEXT NOT NULL,
    route TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    fingerprint BYTEA NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    owner UUID NOT NULL, -- with the next: the lease of the request that is at work
    lease_until TIMESTAMPTZ NOT NULL,
    status INTEGER, -- with the next two: the answer, once there is one
    content_type TEXT,
    body BYTEA,
    PRIMARY KEY (tenant, route, idempotency_key)
);
CREATE INDEX idempotency_keys_by_age ON idempotency_keys USING brin (created_at);

-- The keys of this table and the next begin with the time at which the bus took the event: a batch then writes pages that
-- lie side by side. Random keys cost a page for each row.
CREATE TABLE send_claims (
    accepted_at TIMESTAMPTZ NOT NULL,
    delivery_id UUID NOT NULL,
    generation INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    owner UUID NOT NULL,
    claimed_at TIMESTAMPTZ NOT NULL,
    lease_until TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (accepted_at, delivery_id, generation, attempt)
) WITH (fillfactor = 70);
CREATE INDEX send_claims_by_age ON send_claims USING brin (claimed_at);

-- Outcomes of attempts lie beside their claims: an outcome written into its claim's row is another version of the whole
-- row.
CREATE TABLE send_outcomes (
    accepted_at TIMESTAMPTZ NOT NULL, -- with the next three: of the claim
    delivery_id UUID NOT NULL,
    generation INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    recorded_at TIMESTAMPTZ NOT NULL,
    outcome JSON NOT NULL,
    PRIMARY KEY (accepted_at, delivery_id, generation, attempt)
);
CREATE INDEX send_outcomes_by_age ON send_outcomes USING brin (recorded_at);

-- The cause for which a worker process sends nothing on a channel at present: all its provider accounts are parked or
-- paused. The process renews its row; a row that is not renewed is of a process that has ended.
CREATE TABLE channel_holds (
    channel TEXT NOT NULL,
    process UUID NOT NULL,
    cause TEXT NOT NULL,
    ends_at TIMESTAMPTZ, -- null: one message goes first, and its outcome decides
    noted_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (channel, process)
);

-- The auditor's counts. A name has several rows, so that writers do not wait for each other; its count is their sum.
CREATE TABLE counters (
    name TEXT NOT NULL,
    shard INTEGER NOT NULL,
    value BIGINT NOT NULL,
    PRIMARY KEY (name, shard)
) WITH (fillfactor = 50);

-- Differences of the auditor's books that an operator has accepted, for example after a restore. Rows are never changed or
-- deleted; an acceptance is taken back by accepting the opposite.
CREATE TABLE accepted_differences (
    number BIGINT NOT NULL PRIMARY KEY, -- 1, 2, 3, …: of two that accept the same difference, one is refused
    at TIMESTAMPTZ NOT NULL,
    accepted_by TEXT NOT NULL,
    reason TEXT NOT NULL,
    events BIGINT NOT NULL,
    deliveries BIGINT NOT NULL
);

-- The read model: the content of the status topic and the dead letter topics in the form in which it is queried.

CREATE TABLE projection_offsets (
    consumer TEXT NOT NULL,
    topic TEXT NOT NULL,
    partition_id INTEGER NOT NULL,
    next_offset BIGINT NOT NULL,
    PRIMARY KEY (consumer, topic, partition_id)
);

-- Rebuilds of a projection. Each reads the status topic in a consumer group of its own, whose name ends with this number.
CREATE TABLE projection_rebuilds (
    consumer TEXT PRIMARY KEY,
    rebuilds BIGINT NOT NULL
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
    queued_at TIMESTAMPTZ, -- with the next two: the decision to send it, the first step of its timeline
    queued_reason TEXT COLLATE "C",
    queued_detail TEXT COLLATE "C",
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
) WITH (fillfactor = 50); -- room for the update that nearly every row sees, so that it need not touch the indexes
-- Ascending: new entries go to the end of the index, which is the cheapest place; it is read backwards as well. An event's
-- deliveries are named in its decisions.
CREATE INDEX deliveries_newest ON deliveries (tenant, created_at, id);
CREATE INDEX deliveries_of_user ON deliveries (tenant, user_id, created_at, id) WHERE user_id IS NOT NULL;
CREATE INDEX deliveries_by_age ON deliveries USING brin (created_at);

-- The steps of attempts: one row for each status record. The key begins with the time at which the bus took the event: a
-- batch then writes pages that lie side by side. Random keys cost a page for each row.
CREATE TABLE attempts (
    created_at TIMESTAMPTZ NOT NULL, -- of the delivery
    delivery_id UUID NOT NULL,
    generation INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    at TIMESTAMPTZ NOT NULL, -- of the first step
    digest BIGINT NOT NULL, -- of the columns after it: a repeated record is one row
    provider TEXT,
    due_at TIMESTAMPTZ, -- of the next attempt, if one follows the last step
    steps JSON NOT NULL,
    PRIMARY KEY (created_at, delivery_id, generation, attempt, at, digest)
) PARTITION BY RANGE (at);
-- Days get partitions of their own ahead of time (read_model/partitions.rs); this one takes the rows that fit no day.
CREATE TABLE attempts_default PARTITION OF attempts DEFAULT;

-- Identified by the record that carried the event, so that a doubled record counts once.
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
    user_id TEXT, -- if all of it is about one user, whose erasure erases it
    event JSON,
    decisions JSON NOT NULL,
    PRIMARY KEY (topic, partition_id, record_offset, part)
);
CREATE INDEX decided_events_by_event ON decided_events (tenant, event_id);
CREATE INDEX decided_events_of_user ON decided_events (tenant, user_id) WHERE user_id IS NOT NULL;
CREATE INDEX decided_events_by_age ON decided_events USING brin (at);

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
-- A delivery stays as long as a letter of it is open.
CREATE INDEX dead_letters_of_delivery ON dead_letters (delivery_id) WHERE state = 'open';
CREATE INDEX dead_letters_by_age ON dead_letters USING brin (dead_at);
