-- The deliveries for which a row of waiting waits: those on earlier channels of a fallback order. One that reaches its
-- recipient, or fails for good, makes the row due at once.
CREATE TABLE fallback_waits (
    delivery_id BLOB NOT NULL, -- on the earlier channel
    waiting_id BLOB NOT NULL,
    added_at TEXT NOT NULL,
    PRIMARY KEY (delivery_id, waiting_id)
) STRICT;
CREATE INDEX fallback_waits_of_row ON fallback_waits (waiting_id);

-- Deliveries of which the app says that the recipient has seen them. The first acknowledgement of a delivery stays.
CREATE TABLE acknowledgements (
    delivery_id BLOB NOT NULL PRIMARY KEY,
    tenant TEXT NOT NULL,
    channel TEXT NOT NULL,
    generation INTEGER NOT NULL, -- with the next one: the attempt that the timeline shows with it
    attempt INTEGER NOT NULL,
    key_name TEXT NOT NULL, -- of the API key
    at TEXT NOT NULL
) STRICT;
