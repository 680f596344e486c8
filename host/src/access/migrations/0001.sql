-- Times are seconds since 1970, UTC. Of every secret but one only a hash is here; a TOTP secret has to be kept to be of use.
CREATE TABLE users (
    name         TEXT    PRIMARY KEY,
    role         TEXT    NOT NULL,
    password     TEXT    NOT NULL,
    totp         BLOB,
    totp_pending BLOB,
    totp_step    INTEGER NOT NULL DEFAULT 0,
    created      INTEGER NOT NULL,
    created_by   TEXT    NOT NULL,
    last_login   INTEGER
) STRICT;

CREATE TABLE recovery_codes (
    user TEXT NOT NULL REFERENCES users (name) ON DELETE CASCADE,
    hash BLOB NOT NULL,
    PRIMARY KEY (user, hash)
) STRICT;

CREATE TABLE sessions (
    hash    BLOB    PRIMARY KEY,
    user    TEXT    NOT NULL REFERENCES users (name) ON DELETE CASCADE,
    created INTEGER NOT NULL,
    seen    INTEGER NOT NULL
) STRICT;
CREATE INDEX sessions_of ON sessions (user);

CREATE TABLE tokens (
    id         TEXT    PRIMARY KEY,
    name       TEXT    NOT NULL,
    hash       BLOB    NOT NULL,
    scopes     TEXT    NOT NULL,
    tenants    TEXT,
    created    INTEGER NOT NULL,
    created_by TEXT    NOT NULL,
    expires    INTEGER,
    last_used  INTEGER,
    revoked    INTEGER
) STRICT;

CREATE TABLE setup (
    id      INTEGER PRIMARY KEY CHECK (id = 1),
    hash    BLOB    NOT NULL,
    expires INTEGER NOT NULL
) STRICT;

CREATE TABLE throttle (
    key      TEXT    PRIMARY KEY,
    failures INTEGER NOT NULL,
    last     INTEGER NOT NULL,
    until    INTEGER NOT NULL
) STRICT;
