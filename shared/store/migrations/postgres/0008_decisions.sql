-- Decisions, one row each: every recipient, channel and address, sent or not. They repeat `decided_events` in the form in
-- which they are searched, and are pruned with it.
CREATE TABLE decisions (
    tenant TEXT NOT NULL,
    at TIMESTAMPTZ NOT NULL,
    id UUID NOT NULL,
    event_id TEXT NOT NULL,
    source TEXT NOT NULL,
    event_type TEXT NOT NULL,
    category TEXT NOT NULL,
    recipient TEXT NOT NULL, -- for display
    user_id TEXT,
    channel TEXT NOT NULL,
    outcome TEXT NOT NULL,
    reason TEXT NOT NULL,
    sentence TEXT NOT NULL,
    to_masked TEXT,
    until TIMESTAMPTZ, -- the end of a wait
    delivery_id UUID,
    PRIMARY KEY (tenant, at, id)
);
CREATE INDEX decisions_of_user ON decisions (tenant, user_id, at, id) WHERE user_id IS NOT NULL;
-- Most messages are sent, so searches for the others read only those.
CREATE INDEX decisions_by_outcome ON decisions (tenant, outcome, at, id) WHERE outcome <> 'send';
CREATE INDEX decisions_by_reason ON decisions (tenant, reason, at, id) WHERE outcome <> 'send';
CREATE INDEX decisions_by_age ON decisions USING brin (at);
