-- Provider accounts through which a process sends nothing at present, and why. A process renews its rows.
CREATE TABLE account_holds (
    account TEXT NOT NULL,
    process UUID NOT NULL,
    channel TEXT NOT NULL,
    cause TEXT NOT NULL,
    ends_at TIMESTAMPTZ, -- null: one message goes first, and its outcome decides
    noted_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (account, process)
);
