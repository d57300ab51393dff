-- A replay may begin with a canary, and may edit its letter. A scheduler of the former release knows neither: such a job has
-- `step_at`, and its `next_step_at`, by which that release looks for work, lies in the year 9999.
ALTER TABLE dead_letter_jobs ADD COLUMN step_at TIMESTAMPTZ;
ALTER TABLE dead_letter_jobs ADD COLUMN canary INTEGER; -- letters that go first
ALTER TABLE dead_letter_jobs ADD COLUMN canary_tolerance INTEGER; -- percent of them that may fail again
ALTER TABLE dead_letter_jobs ADD COLUMN canary_phase TEXT; -- sending, watching, passed, failed, overruled
ALTER TABLE dead_letter_jobs ADD COLUMN canary_sent INTEGER; -- with the next two: their fates, as last seen
ALTER TABLE dead_letter_jobs ADD COLUMN canary_ended INTEGER;
ALTER TABLE dead_letter_jobs ADD COLUMN canary_failed INTEGER;
ALTER TABLE dead_letter_jobs ADD COLUMN edit JSON; -- a JSON Patch
CREATE INDEX dead_letter_jobs_due ON dead_letter_jobs (COALESCE(step_at, next_step_at), id) WHERE state = 'running';
CREATE INDEX dead_letter_verdicts_of_job ON dead_letter_verdicts (job_id, letter_id);

-- The job whose replay has failed again, by the record's header.
ALTER TABLE dead_letters ADD COLUMN replay_job UUID;
CREATE INDEX dead_letters_of_job ON dead_letters (replay_job) WHERE replay_job IS NOT NULL;
-- The page of a delivery shows the data with which it was sent again.
CREATE INDEX dead_letters_by_delivery ON dead_letters (delivery_id) WHERE delivery_id IS NOT NULL;
