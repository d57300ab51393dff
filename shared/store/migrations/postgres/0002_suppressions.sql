-- The suppression list: addresses that take no messages. An entry belongs to the tenant and the address, so it holds for
-- every user and guest with that address, and stays when a user is erased. The address itself is not stored.
CREATE TABLE suppressions (
    tenant TEXT NOT NULL,
    address_hash UUID NOT NULL, -- HMAC under `security.address_key` of channel and address, so it also tells channels apart
    channel TEXT NOT NULL,
    reason TEXT NOT NULL,
    masked TEXT, -- the address, masked for display; NULL after the user was erased
    note TEXT,
    provider TEXT, -- the provider account, its code and the delivery, where an answer is the cause
    code TEXT,
    delivery_id UUID,
    actor TEXT, -- the name of the API key, where a person is the cause
    created_at TIMESTAMPTZ NOT NULL,
    expires_at TIMESTAMPTZ, -- an entry that has expired does not count; one that a person has lifted expires at once
    version BIGINT NOT NULL,
    PRIMARY KEY (tenant, address_hash)
);
CREATE INDEX suppressions_newest ON suppressions (tenant, created_at DESC, address_hash DESC);
CREATE INDEX suppressions_by_expiry ON suppressions (expires_at) WHERE expires_at IS NOT NULL;

-- The keyed hash of a contact point's address. SQL cannot compute it: rows without one were written by the release
-- before this one, and the tracker's retention fills it in and moves `dead_*` and `opt_outs` over (`suppressions/former.rs`).
ALTER TABLE contact_points ADD COLUMN address_hash UUID;
CREATE INDEX contact_points_by_address ON contact_points (tenant, address_hash);
CREATE INDEX contact_points_of_former_release ON contact_points (id) WHERE address_hash IS NULL;

-- The columns `dead_*` and the table `opt_outs` are not used any more. Roles of the release before this one still read and
-- write them during an upgrade, so a migration of the next release drops them, together with this trigger: a row that
-- such a role changes loses its hash, and is moved over again.
CREATE FUNCTION contact_points_of_former_release() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.address_hash := NULL;
    RETURN NEW;
END $$;
CREATE TRIGGER contact_points_of_former_release BEFORE UPDATE ON contact_points FOR EACH ROW
    WHEN (NEW.address_hash IS NOT DISTINCT FROM OLD.address_hash
        AND (NEW.address <> OLD.address OR NEW.dead_at IS DISTINCT FROM OLD.dead_at))
    EXECUTE FUNCTION contact_points_of_former_release();
