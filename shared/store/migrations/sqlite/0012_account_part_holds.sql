-- Parts of provider accounts (a recipient's domain, a device's platform, a country's numbers) to which a process sends
-- nothing at present, or one message first. A process renews its rows. A worker that starts takes them over.
CREATE TABLE account_part_holds (
    account TEXT NOT NULL,
    part TEXT NOT NULL, -- domain:example.com, platform:ios or country:+7
    process BLOB NOT NULL,
    channel TEXT NOT NULL,
    cause TEXT NOT NULL,
    ends_at TEXT, -- null: one message goes first, and its outcome decides
    noted_at TEXT NOT NULL,
    PRIMARY KEY (account, part, process)
) STRICT, WITHOUT ROWID;
