-- Keys begin with the time at which the bus took the event: a batch then writes pages that lie side by side. Random ones
-- cost a page for each row.

ALTER TABLE send_claims ADD COLUMN accepted_at TIMESTAMPTZ;
UPDATE send_claims c SET accepted_at =
    COALESCE((SELECT d.created_at FROM deliveries d WHERE d.id = c.delivery_id), c.claimed_at);
ALTER TABLE send_claims ALTER COLUMN accepted_at SET NOT NULL;
ALTER TABLE send_claims DROP CONSTRAINT send_claims_pkey;
ALTER TABLE send_claims ADD PRIMARY KEY (accepted_at, delivery_id, generation, attempt);

ALTER TABLE delivery_history ADD COLUMN created_at TIMESTAMPTZ; -- of the delivery
UPDATE delivery_history h SET created_at =
    COALESCE((SELECT d.created_at FROM deliveries d WHERE d.id = h.delivery_id), h.at);
ALTER TABLE delivery_history ALTER COLUMN created_at SET NOT NULL;
ALTER TABLE delivery_history DROP CONSTRAINT delivery_history_pkey;
ALTER TABLE delivery_history ADD PRIMARY KEY (created_at, delivery_id, generation, attempt, status, at);

-- Ascending: new entries go to the end of the index; it is read backwards as well.
DROP INDEX deliveries_newest;
CREATE INDEX deliveries_newest ON deliveries (tenant, created_at, id);
DROP INDEX deliveries_of_user;
CREATE INDEX deliveries_of_user ON deliveries (tenant, user_id, created_at, id) WHERE user_id IS NOT NULL;
-- An event's deliveries are named in its decisions.
DROP INDEX deliveries_of_event;
