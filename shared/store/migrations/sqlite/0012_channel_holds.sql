-- Why a worker process sends nothing on a channel at present: all its provider accounts are parked or paused. The process
-- renews its row; a row that is not renewed is of a process that has ended.

CREATE TABLE channel_holds (
    channel TEXT NOT NULL,
    process BLOB NOT NULL,
    cause TEXT NOT NULL,
    ends_at TEXT, -- null: one message goes first, and its outcome decides
    noted_at TEXT NOT NULL,
    PRIMARY KEY (channel, process)
) STRICT, WITHOUT ROWID;
