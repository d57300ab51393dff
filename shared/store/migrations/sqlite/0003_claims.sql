-- Who works on what: events, requests with an Idempotency-Key, attempts. All of it is forgotten after a while, oldest
-- row id first, so these tables keep their row ids.

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
    lease_until TEXT NOT NULL,
    status INTEGER, -- with the next two: the answer, once there is one
    content_type TEXT,
    body BLOB,
    PRIMARY KEY (tenant, route, idempotency_key)
) STRICT;

CREATE TABLE send_claims (
    delivery_id BLOB NOT NULL,
    generation INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    owner BLOB NOT NULL,
    claimed_at TEXT NOT NULL,
    lease_until TEXT NOT NULL,
    outcome TEXT,
    PRIMARY KEY (delivery_id, generation, attempt)
) STRICT;

-- The auditor's counts. A name has several rows, so that writers do not wait for each other; its count is their sum.
CREATE TABLE counters (
    name TEXT NOT NULL,
    shard INTEGER NOT NULL,
    value INTEGER NOT NULL,
    PRIMARY KEY (name, shard)
) STRICT, WITHOUT ROWID;
