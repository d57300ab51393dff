-- Digests: messages of a category to one recipient on one channel that are sent as one at the end of a window. A digest is closed by
-- moving its event to the outbox in one transaction. Closed rows stay for the dedupe window, so that a member that comes late
-- finds its digest closed and is decided again.
CREATE TABLE digests (
    id BLOB NOT NULL PRIMARY KEY, -- derived from recipient, category, key, channel and the end of the window
    tenant TEXT NOT NULL,
    user_id TEXT, -- null for a guest
    category TEXT NOT NULL,
    channel TEXT NOT NULL,
    event_type TEXT NOT NULL, -- the type of the event by which it is sent
    recipient TEXT NOT NULL, -- JSON; empty once it is closed
    max_items INTEGER NOT NULL,
    members INTEGER NOT NULL, -- those that were collected
    due TEXT NOT NULL,
    state TEXT NOT NULL, -- open, closed
    owner BLOB, -- with the next one: the scheduler that is closing it
    lease_until TEXT,
    changed_at TEXT NOT NULL -- when it reached its state
) STRICT;
CREATE INDEX digests_due ON digests (due, id) WHERE state = 'open';
CREATE INDEX digests_of_user ON digests (tenant, user_id) WHERE user_id IS NOT NULL AND state = 'open';

-- The members of digests. Closed ones stay without their records, so that a record that is read again joins no other digest.
CREATE TABLE digest_members (
    id BLOB NOT NULL PRIMARY KEY, -- derived from digest, event and recipient, so that a record that is read again is one row
    digest_id BLOB NOT NULL,
    event_id TEXT NOT NULL,
    source TEXT NOT NULL,
    accepted_at TEXT NOT NULL, -- of its event, by which members are sorted
    state TEXT NOT NULL, -- collected, closed
    changed_at TEXT NOT NULL, -- when it reached its state
    headers BLOB, -- with the next one: the record of its event; null once it is closed
    value BLOB
) STRICT;
CREATE INDEX digest_members_of_digest ON digest_members (digest_id, accepted_at, id);
