-- Who was shown what is hidden from others. Entries are never deleted.

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
