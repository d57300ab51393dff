-- Who calls, whom Carillon knows, and what they want. Native types of SQLite: UUIDs are 16-byte blobs, times RFC 3339 text
-- that sorts, documents JSON text.

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
    FOREIGN KEY (tenant, user_id) REFERENCES users ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX contact_points_of_user ON contact_points (tenant, user_id);
CREATE UNIQUE INDEX contact_points_by_token ON contact_points (tenant, token_hash) WHERE token_hash IS NOT NULL;

CREATE TABLE preferences (
    tenant TEXT NOT NULL,
    user_id TEXT NOT NULL,
    version INTEGER NOT NULL,
    document TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    PRIMARY KEY (tenant, user_id),
    FOREIGN KEY (tenant, user_id) REFERENCES users ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
