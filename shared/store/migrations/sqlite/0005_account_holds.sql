-- Provider accounts through which a process sends nothing at present, and why. A process renews its rows.
CREATE TABLE account_holds (
    account TEXT NOT NULL,
    process BLOB NOT NULL,
    channel TEXT NOT NULL,
    cause TEXT NOT NULL,
    ends_at TEXT, -- null: one message goes first, and its outcome decides
    noted_at TEXT NOT NULL,
    PRIMARY KEY (account, process)
) STRICT, WITHOUT ROWID;
