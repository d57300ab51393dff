-- What retention looks for. Rows lie about in the order in which they came, which is what BRIN is for.
CREATE INDEX deliveries_by_age ON deliveries USING brin (created_at);
CREATE INDEX decided_events_by_age ON decided_events USING brin (at);
CREATE INDEX dead_letters_by_age ON dead_letters USING brin (dead_at);
-- A delivery stays as long as a letter of it is open.
CREATE INDEX dead_letters_of_delivery ON dead_letters (delivery_id) WHERE state = 'open';
-- Nobody counts these any more.
DELETE FROM counters WHERE name = 'gateway_routed';
