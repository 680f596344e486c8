CREATE TABLE runs (
    id        INTEGER PRIMARY KEY,
    verb      TEXT NOT NULL,
    set_name  TEXT,
    started   TEXT NOT NULL,
    finished  TEXT,
    outcome   TEXT,
    detail    TEXT
) STRICT;

CREATE TABLE sets (
    name      TEXT PRIMARY KEY,
    whole     INTEGER NOT NULL,
    plain     INTEGER NOT NULL,
    stored    INTEGER NOT NULL,
    artifacts INTEGER NOT NULL,
    warnings  INTEGER NOT NULL,
    finished  TEXT NOT NULL
) STRICT;

CREATE TABLE artifacts (
    set_name  TEXT NOT NULL,
    key       TEXT NOT NULL,
    kind      TEXT NOT NULL,
    source    TEXT NOT NULL,
    name      TEXT NOT NULL,
    plain     INTEGER NOT NULL,
    size      INTEGER NOT NULL,
    PRIMARY KEY (set_name, key)
) STRICT;

-- One row per set and destination: a copy is complete when its seal is there.
CREATE TABLE copies (
    set_name    TEXT NOT NULL,
    destination TEXT NOT NULL,
    complete    INTEGER NOT NULL,
    detail      TEXT NOT NULL,
    updated     TEXT NOT NULL,
    verified    TEXT,
    PRIMARY KEY (set_name, destination)
) STRICT;

-- Open upload sessions; losing one only means that its upload starts anew.
CREATE TABLE uploads (
    set_name    TEXT NOT NULL,
    destination TEXT NOT NULL,
    key         TEXT NOT NULL,
    token       TEXT NOT NULL,
    PRIMARY KEY (set_name, destination, key)
) STRICT;
