-- Addresses whose owner has told a provider to stop (STOP to a text message). A profile that is written again, with or
-- without the address, does not undo it; only an explicit consent removes the row.

CREATE TABLE opt_outs (
    tenant TEXT NOT NULL,
    user_id TEXT NOT NULL,
    channel TEXT NOT NULL,
    address TEXT NOT NULL,
    code TEXT NOT NULL,
    provider TEXT,
    delivery UUID,
    noted_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (tenant, user_id, channel, address),
    FOREIGN KEY (tenant, user_id) REFERENCES users ON DELETE CASCADE
);

INSERT INTO opt_outs (tenant, user_id, channel, address, code, provider, delivery, noted_at)
SELECT tenant, user_id, channel, address, dead_code, dead_provider, dead_delivery, dead_at FROM contact_points
WHERE dead_reason = 'opted_out' AND dead_code IS NOT NULL AND dead_at IS NOT NULL;
