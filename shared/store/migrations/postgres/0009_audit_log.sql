-- Who was shown what is hidden from others. Entries are never deleted.

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
