-- Retention walks the rows in the order in which they came, and needs no index.
-- A delivery stays as long as a letter of it is open.
CREATE INDEX dead_letters_of_delivery ON dead_letters (delivery_id) WHERE state = 'open';
-- Nobody counts these any more.
DELETE FROM counters WHERE name = 'gateway_routed';
