-- What came of attempts, beside the claims: an outcome written into its claim's row was another version of the whole row.

CREATE TABLE send_outcomes (
    accepted_at TIMESTAMPTZ NOT NULL, -- with the next three: of the claim
    delivery_id UUID NOT NULL,
    generation INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    recorded_at TIMESTAMPTZ NOT NULL,
    outcome JSON NOT NULL,
    PRIMARY KEY (accepted_at, delivery_id, generation, attempt)
);
CREATE INDEX send_outcomes_by_age ON send_outcomes USING brin (recorded_at);
INSERT INTO send_outcomes
SELECT accepted_at, delivery_id, generation, attempt, claimed_at, outcome::json
FROM send_claims WHERE outcome IS NOT NULL;
ALTER TABLE send_claims DROP COLUMN outcome;
