-- The time until which an event waits, and the number of records into which its decisions were divided.
ALTER TABLE decided_events ADD COLUMN due_at TEXT;
ALTER TABLE decided_events ADD COLUMN parts INTEGER;
