-- The tables of `store.db`. Native types of SQLite: UUIDs are 16-byte blobs, times RFC 3339 text that sorts, documents
-- JSON text.

-- Callers, users, and the wishes of users.

CREATE TABLE api_keys (
    id BLOB NOT NULL PRIMARY KEY, -- version 7, ordered by time
    tenant TEXT NOT NULL,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    secret_hash BLOB NOT NULL, -- SHA-256 of 256 random bits
    created_at TEXT NOT NULL,
    revoked_at TEXT,
    last_used_at TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX api_keys_of_tenant ON api_keys (tenant, created_at);

CREATE TABLE users (
    tenant TEXT NOT NULL,
    user_id TEXT NOT NULL,
    locale TEXT,
    timezone TEXT,
    version INTEGER NOT NULL,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    PRIMARY KEY (tenant, user_id)
) STRICT, WITHOUT ROWID;

-- A `dead_*` column says why the address takes no more messages, and which delivery found it.
CREATE TABLE contact_points (
    id BLOB NOT NULL PRIMARY KEY,
    tenant TEXT NOT NULL,
    user_id TEXT NOT NULL,
    channel TEXT NOT NULL,
    address TEXT NOT NULL,
    token_hash BLOB, -- SHA-256 of a device's token, by which its present user is found
    platform TEXT,
    registered_at TEXT NOT NULL,
    dead_code TEXT,
    dead_at TEXT,
    dead_reason TEXT,
    dead_provider TEXT,
    dead_delivery BLOB,
    FOREIGN KEY (tenant, user_id) REFERENCES users ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
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
    delivery BLOB,
    noted_at TEXT NOT NULL,
    PRIMARY KEY (tenant, user_id, channel, address),
    FOREIGN KEY (tenant, user_id) REFERENCES users ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE TABLE preferences (
    tenant TEXT NOT NULL,
    user_id TEXT NOT NULL,
    version INTEGER NOT NULL,
    document TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    PRIMARY KEY (tenant, user_id),
    FOREIGN KEY (tenant, user_id) REFERENCES users ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- Reveals of what is hidden from others, with the key that asked. Entries are never deleted.
CREATE TABLE audit_log (
    id BLOB NOT NULL PRIMARY KEY, -- version 7, ordered by time
    tenant TEXT NOT NULL,
    at TEXT NOT NULL,
    key_id BLOB NOT NULL,
    key_name TEXT NOT NULL,
    action TEXT NOT NULL,
    route TEXT NOT NULL
) STRICT;
CREATE INDEX audit_log_of_tenant ON audit_log (tenant, at, id);

-- Catalogs, templates, locales.

CREATE TABLE catalogs (
    tenant TEXT NOT NULL PRIMARY KEY,
    version INTEGER NOT NULL,
    document TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    former TEXT NOT NULL DEFAULT '{}' -- the masks of former versions, so that a new version uncovers no event
) STRICT, WITHOUT ROWID;

-- `locale` is '' for a template that serves every locale.
CREATE TABLE template_drafts (
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    locale TEXT NOT NULL,
    version INTEGER NOT NULL,
    parts TEXT NOT NULL,
    base_version INTEGER NOT NULL, -- the published version beside which it was written; 0: none
    updated_at TEXT NOT NULL,
    PRIMARY KEY (tenant, id, locale)
) STRICT, WITHOUT ROWID;

CREATE TABLE template_versions (
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    version INTEGER NOT NULL,
    locale TEXT NOT NULL,
    parts TEXT NOT NULL,
    created_at TEXT NOT NULL,
    PRIMARY KEY (tenant, id, version)
) STRICT, WITHOUT ROWID;

CREATE TABLE template_published (
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    locale TEXT NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (tenant, id, locale),
    FOREIGN KEY (tenant, id, version) REFERENCES template_versions
) STRICT, WITHOUT ROWID;

CREATE TABLE locales (
    tenant TEXT NOT NULL,
    tag TEXT NOT NULL,
    messages TEXT NOT NULL, -- Fluent
    PRIMARY KEY (tenant, tag)
) STRICT, WITHOUT ROWID;

-- Grows with every change of what is published, so that renderers need to poll one number.
CREATE TABLE template_revisions (
    tenant TEXT NOT NULL PRIMARY KEY,
    revision INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Claims of events, of requests with an Idempotency-Key, and of attempts. All are forgotten after a while, oldest row id
-- first, so these tables keep their row ids.

CREATE TABLE event_claims (
    tenant TEXT NOT NULL,
    event_id TEXT NOT NULL,
    source TEXT NOT NULL,
    event_type TEXT NOT NULL,
    fingerprint BLOB NOT NULL,
    state TEXT NOT NULL, -- pending, published
    via_gateway INTEGER NOT NULL,
    accepted_at TEXT NOT NULL,
    owner BLOB, -- of the lease
    lease_until TEXT,
    topic TEXT, -- with the next two: the record that is routed
    partition_id INTEGER,
    record_offset INTEGER,
    reads INTEGER NOT NULL, -- how often a router claimed it; the auditor counts the first
    PRIMARY KEY (tenant, event_id, source)
) STRICT;

CREATE TABLE idempotency_keys (
    tenant TEXT NOT NULL,
    route TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    fingerprint BLOB NOT NULL,
    created_at TEXT NOT NULL,
    owner BLOB NOT NULL, -- with the next: the lease of the request that is at work
    lease_until TEXT NOT NULL,
    status INTEGER, -- with the next two: the answer, once there is one
    content_type TEXT,
    body BLOB,
    PRIMARY KEY (tenant, route, idempotency_key)
) STRICT;

-- The keys of this table and the next begin with the time at which the bus took the event: a batch then writes pages that
-- lie side by side. Random keys cost a page for each row.
CREATE TABLE send_claims (
    accepted_at TEXT NOT NULL,
    delivery_id BLOB NOT NULL,
    generation INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    owner BLOB NOT NULL,
    claimed_at TEXT NOT NULL,
    lease_until TEXT NOT NULL,
    PRIMARY KEY (accepted_at, delivery_id, generation, attempt)
) STRICT;

-- Outcomes of attempts lie beside their claims: an outcome written into its claim's row makes it three times as long, and
-- the page has to be split.
CREATE TABLE send_outcomes (
    accepted_at TEXT NOT NULL, -- with the next three: of the claim
    delivery_id BLOB NOT NULL,
    generation INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    recorded_at TEXT NOT NULL,
    outcome TEXT NOT NULL,
    PRIMARY KEY (accepted_at, delivery_id, generation, attempt)
) STRICT;

-- The cause for which a worker process sends nothing on a channel at present: all its provider accounts are parked or
-- paused. The process renews its row; a row that is not renewed is of a process that has ended.
CREATE TABLE channel_holds (
    channel TEXT NOT NULL,
    process BLOB NOT NULL,
    cause TEXT NOT NULL,
    ends_at TEXT, -- null: one message goes first, and its outcome decides
    noted_at TEXT NOT NULL,
    PRIMARY KEY (channel, process)
) STRICT, WITHOUT ROWID;

-- The auditor's counts. A name has several rows, so that writers do not wait for each other; its count is their sum.
CREATE TABLE counters (
    name TEXT NOT NULL,
    shard INTEGER NOT NULL,
    value INTEGER NOT NULL,
    PRIMARY KEY (name, shard)
) STRICT, WITHOUT ROWID;

-- Differences of the auditor's books that an operator has accepted, for example after a restore. Rows are never changed or
-- deleted; an acceptance is taken back by accepting the opposite.
CREATE TABLE accepted_differences (
    number INTEGER NOT NULL PRIMARY KEY, -- 1, 2, 3, …: of two that accept the same difference, one is refused
    at TEXT NOT NULL,
    accepted_by TEXT NOT NULL,
    reason TEXT NOT NULL,
    events INTEGER NOT NULL,
    deliveries INTEGER NOT NULL
) STRICT;
