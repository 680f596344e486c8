-- What came of each backup, for the report: it outlives the sets, which retention removes.
CREATE TABLE results (
    run         INTEGER PRIMARY KEY,
    selected    INTEGER NOT NULL,
    databases   INTEGER NOT NULL,
    directories INTEGER NOT NULL,
    plain       INTEGER NOT NULL,
    stored      INTEGER NOT NULL,
    missing     INTEGER NOT NULL,
    warnings    INTEGER NOT NULL
) STRICT;

-- How each destination fared with each set, over all attempts; `free` is what it said was free at the last of them.
CREATE TABLE deliveries (
    set_name    TEXT NOT NULL,
    destination TEXT NOT NULL,
    at          TEXT NOT NULL,
    complete    INTEGER NOT NULL,
    bytes       INTEGER NOT NULL,
    seconds     REAL NOT NULL,
    attempts    INTEGER NOT NULL,
    free        INTEGER,
    detail      TEXT NOT NULL,
    PRIMARY KEY (set_name, destination)
) STRICT;

CREATE INDEX runs_started ON runs (started);
CREATE INDEX deliveries_at ON deliveries (at);
