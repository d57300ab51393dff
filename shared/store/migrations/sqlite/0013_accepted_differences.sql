-- Differences of the auditor's books that an operator has accepted, for example after a restore. Rows are never changed or
-- deleted; an acceptance is taken back by accepting the opposite.

CREATE TABLE accepted_differences (
    number INTEGER NOT NULL PRIMARY KEY, -- 1, 2, 3, …: of two that accept the same difference, one is refused
    at TEXT NOT NULL,
    accepted_by TEXT NOT NULL,
    reason TEXT NOT NULL,
    events INTEGER NOT NULL,
    deliveries INTEGER NOT NULL
) STRICT;
