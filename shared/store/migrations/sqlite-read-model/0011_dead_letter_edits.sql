-- The job whose replay has failed again, by the record's header.
ALTER TABLE dead_letters ADD COLUMN replay_job BLOB;
CREATE INDEX dead_letters_of_job ON dead_letters (replay_job) WHERE replay_job IS NOT NULL;
-- The page of a delivery shows the data with which it was sent again.
CREATE INDEX dead_letters_by_delivery ON dead_letters (delivery_id) WHERE delivery_id IS NOT NULL;
