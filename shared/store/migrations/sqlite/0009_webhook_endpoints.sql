-- Endpoints of users, which receive webhooks. They are no contact points, because roles of the former release know no channel
-- `webhook` and would not read a user's other addresses beside one.
CREATE TABLE webhook_endpoints (
    id BLOB NOT NULL PRIMARY KEY,
    tenant TEXT NOT NULL,
    user_id TEXT NOT NULL,
    name TEXT NOT NULL, -- the caller's, unique for the user; the id is derived from it
    url TEXT NOT NULL,
    address_hash BLOB NOT NULL,
    secrets TEXT NOT NULL, -- the present one first, separated by spaces
    registered_at TEXT NOT NULL,
    FOREIGN KEY (tenant, user_id) REFERENCES users ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX webhook_endpoints_of_user ON webhook_endpoints (tenant, user_id);
CREATE INDEX webhook_endpoints_by_address ON webhook_endpoints (tenant, address_hash);
