-- A fingerprint of the key under which the addresses of users are hashed: one row, after all hashes are under that key.
CREATE TABLE address_keys (
    fingerprint BLOB NOT NULL PRIMARY KEY
) STRICT, WITHOUT ROWID;
