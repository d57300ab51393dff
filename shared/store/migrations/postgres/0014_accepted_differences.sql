-- Differences of the auditor's books that an operator has accepted, for example after a restore. Rows are never changed or
-- deleted; an acceptance is taken back by accepting the opposite.

CREATE TABLE accepted_differences (
    number BIGINT NOT NULL PRIMARY KEY, -- 1, 2, 3, …: of two that accept the same difference, one is refused
    at TIMESTAMPTZ NOT NULL,
    accepted_by TEXT NOT NULL,
    reason TEXT NOT NULL,
    events BIGINT NOT NULL,
    deliveries BIGINT NOT NULL
);
