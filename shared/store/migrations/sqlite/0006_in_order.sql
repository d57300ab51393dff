-- Keys begin with the time at which the bus took the event: a batch then writes pages that lie side by side. Random ones
-- cost a page for each row.

CREATE TABLE send_claims_in_order (
    accepted_at TEXT NOT NULL,
    delivery_id BLOB NOT NULL,
    generation INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    owner BLOB NOT NULL,
    claimed_at TEXT NOT NULL,
    lease_until TEXT NOT NULL,
    outcome TEXT,
    PRIMARY KEY (accepted_at, delivery_id, generation, attempt)
) STRICT;
INSERT INTO send_claims_in_order
SELECT COALESCE((SELECT d.created_at FROM deliveries d WHERE d.id = c.delivery_id), c.claimed_at),
    c.delivery_id, c.generation, c.attempt, c.owner, c.claimed_at, c.lease_until, c.outcome
FROM send_claims c ORDER BY c.rowid;
DROP TABLE send_claims;
ALTER TABLE send_claims_in_order RENAME TO send_claims;

CREATE TABLE delivery_history_in_order (
    created_at TEXT NOT NULL, -- of the delivery
    delivery_id BLOB NOT NULL,
    generation INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    status TEXT NOT NULL,
    precedence INTEGER NOT NULL,
    at TEXT NOT NULL,
    provider TEXT,
    code TEXT,
    detail TEXT,
    PRIMARY KEY (created_at, delivery_id, generation, attempt, status, at)
) STRICT;
INSERT INTO delivery_history_in_order
SELECT COALESCE((SELECT d.created_at FROM deliveries d WHERE d.id = h.delivery_id), h.at),
    h.delivery_id, h.generation, h.attempt, h.status, h.precedence, h.at, h.provider, h.code, h.detail
FROM delivery_history h ORDER BY h.rowid;
DROP TABLE delivery_history;
ALTER TABLE delivery_history_in_order RENAME TO delivery_history;

-- Ascending: new entries go to the end of the index, which is the cheapest place; it is read backwards as well.
DROP INDEX deliveries_newest;
CREATE INDEX deliveries_newest ON deliveries (tenant, created_at, id);
DROP INDEX deliveries_of_user;
CREATE INDEX deliveries_of_user ON deliveries (tenant, user_id, created_at, id) WHERE user_id IS NOT NULL;
-- An event's deliveries are named in its decisions.
DROP INDEX deliveries_of_event;
-- Only erasing a user asked for it, which may walk the table.
DROP INDEX decided_events_of_user;
