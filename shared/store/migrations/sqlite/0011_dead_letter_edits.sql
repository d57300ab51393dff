-- A replay may begin with a canary, and may edit its letter.
ALTER TABLE dead_letter_jobs ADD COLUMN step_at TEXT; -- as on PostgreSQL, where two releases may run at once
ALTER TABLE dead_letter_jobs ADD COLUMN canary INTEGER; -- letters that go first
ALTER TABLE dead_letter_jobs ADD COLUMN canary_tolerance INTEGER; -- percent of them that may fail again
ALTER TABLE dead_letter_jobs ADD COLUMN canary_phase TEXT; -- sending, watching, passed, failed, overruled
ALTER TABLE dead_letter_jobs ADD COLUMN canary_sent INTEGER; -- with the next two: their fates, as last seen
ALTER TABLE dead_letter_jobs ADD COLUMN canary_ended INTEGER;
ALTER TABLE dead_letter_jobs ADD COLUMN canary_failed INTEGER;
ALTER TABLE dead_letter_jobs ADD COLUMN edit TEXT; -- a JSON Patch
CREATE INDEX dead_letter_jobs_due ON dead_letter_jobs (COALESCE(step_at, next_step_at), id) WHERE state = 'running';
CREATE INDEX dead_letter_verdicts_of_job ON dead_letter_verdicts (job_id, letter_id);
