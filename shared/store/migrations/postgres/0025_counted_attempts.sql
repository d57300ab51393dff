-- The number of attempts that count against the retry policy, the row's own attempt included. Attempts are numbered whether they count
-- or not. Null in rows of the former release, and in those that belong to no attempt of a worker.
ALTER TABLE attempts ADD COLUMN counted INTEGER;
