-- Why an address takes no more messages, and which delivery found it.

ALTER TABLE contact_points ADD COLUMN dead_reason TEXT;
ALTER TABLE contact_points ADD COLUMN dead_provider TEXT;
ALTER TABLE contact_points ADD COLUMN dead_delivery BLOB;
