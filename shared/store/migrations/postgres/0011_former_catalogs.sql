-- What former versions of a tenant's catalog covered (JSON), so that a new version uncovers no event.

ALTER TABLE catalogs ADD COLUMN former JSON NOT NULL DEFAULT '{}';
