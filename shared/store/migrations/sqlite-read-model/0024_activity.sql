-- Searches for events, each by an index that has its rows in the order of the list.

-- The record that stands for its event, newest last.
CREATE INDEX decided_events_newest ON decided_events (tenant, at, topic, partition_id, record_offset)
    WHERE part = 0 AND verdict <> 'duplicate';
CREATE INDEX decided_events_by_type ON decided_events (tenant, event_type, at, topic, partition_id, record_offset)
    WHERE part = 0 AND verdict <> 'duplicate';
-- The keyed hash of a guest's address, as in contact_points. The addresses of users are looked up there.
ALTER TABLE decisions ADD COLUMN address_hash BLOB;
CREATE INDEX decisions_of_guest ON decisions (tenant, address_hash, at, id) WHERE address_hash IS NOT NULL;
-- What was not sent, and what was sent for another reason than the usual one.
CREATE INDEX decisions_not_sent ON decisions (tenant, at, id) WHERE outcome IN ('suppress', 'drop', 'duplicate');
CREATE INDEX decisions_rarely_sent ON decisions (tenant, reason, at, id) WHERE outcome = 'send' AND reason <> 'allowed';
CREATE INDEX deliveries_by_code ON deliveries (tenant, error_code, created_at, id) WHERE error_code IS NOT NULL;
-- Deliveries by their providers' ids of messages, as on PostgreSQL.
CREATE TABLE delivery_messages (
    tenant TEXT NOT NULL,
    provider_message_id TEXT NOT NULL,
    delivery_id BLOB NOT NULL,
    created_at TEXT NOT NULL, -- of the delivery
    PRIMARY KEY (tenant, provider_message_id, delivery_id)
) STRICT;
