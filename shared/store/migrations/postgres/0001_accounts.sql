-- Who calls, whom Carillon knows, and what they want. Documents are `json`, not `jsonb`: they are read whole, and jsonb
-- refuses strings that contain \u0000.

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
    FOREIGN KEY (tenant, user_id) REFERENCES users ON DELETE CASCADE
);
CREATE INDEX contact_points_of_user ON contact_points (tenant, user_id);
CREATE UNIQUE INDEX contact_points_by_token ON contact_points (tenant, token_hash) WHERE token_hash IS NOT NULL;

CREATE TABLE preferences (
    tenant TEXT NOT NULL,
    user_id TEXT NOT NULL,
    version BIGINT NOT NULL,
    document JSON NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (tenant, user_id),
    FOREIGN KEY (tenant, user_id) REFERENCES users ON DELETE CASCADE
);
