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

-- The tables of 0004 move into a file of their own when the store is opened (db/read_model_file.rs).
