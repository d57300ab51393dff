-- Why a worker process sends nothing on a channel at present: all its provider accounts are parked or paused. The process
-- renews its row; a row that is not renewed is of a process that has ended.

CREATE TABLE channel_holds (
    channel TEXT NOT NULL,
    process UUID NOT NULL,
    cause TEXT NOT NULL,
    ends_at TIMESTAMPTZ, -- null: one message goes first, and its outcome decides
    noted_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (channel, process)
);
