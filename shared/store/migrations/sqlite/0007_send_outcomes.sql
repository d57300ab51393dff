-- What came of attempts, beside the claims: an outcome written into its claim's row made it three times as long, and the
-- page had to be split.

CREATE TABLE send_outcomes (
    accepted_at TEXT NOT NULL, -- with the next three: of the claim
    delivery_id BLOB NOT NULL,
    generation INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    recorded_at TEXT NOT NULL,
    outcome TEXT NOT NULL,
    PRIMARY KEY (accepted_at, delivery_id, generation, attempt)
) STRICT;
INSERT INTO send_outcomes
SELECT accepted_at, delivery_id, generation, attempt, claimed_at, outcome
FROM send_claims WHERE outcome IS NOT NULL ORDER BY rowid;
ALTER TABLE send_claims DROP COLUMN outcome;
