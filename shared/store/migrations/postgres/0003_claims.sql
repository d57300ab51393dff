-- Who works on what: events, requests with an Idempotency-Key, attempts. All of it is forgotten after a while; BRIN
-- indexes find the old rows.

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
    lease_until TIMESTAMPTZ NOT NULL,
    status INTEGER, -- with the next two: the answer, once there is one
    content_type TEXT,
    body BYTEA,
    PRIMARY KEY (tenant, route, idempotency_key)
);
CREATE INDEX idempotency_keys_by_age ON idempotency_keys USING brin (created_at);

CREATE TABLE send_claims (
    delivery_id UUID NOT NULL,
    generation INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    owner UUID NOT NULL,
    claimed_at TIMESTAMPTZ NOT NULL,
    lease_until TIMESTAMPTZ NOT NULL,
    outcome JSON,
    PRIMARY KEY (delivery_id, generation, attempt)
) WITH (fillfactor = 70);
CREATE INDEX send_claims_by_age ON send_claims USING brin (claimed_at);

-- The auditor's counts. A name has several rows, so that writers do not wait for each other; its count is their sum.
CREATE TABLE counters (
    name TEXT NOT NULL,
    shard INTEGER NOT NULL,
    value BIGINT NOT NULL,
    PRIMARY KEY (name, shard)
) WITH (fillfactor = 50);
