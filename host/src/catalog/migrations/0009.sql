-- What is known of each check; `scope` keeps the checks of this machine apart from what is watched elsewhere. `state` is JSON.
CREATE TABLE checks (
    scope   TEXT NOT NULL,
    name    TEXT NOT NULL,
    first   TEXT NOT NULL,
    looked  TEXT NOT NULL,
    state   TEXT NOT NULL,
    PRIMARY KEY (scope, name)
) STRICT;
-- How full a disk was, once an hour; `at` is Unix time in seconds.
CREATE TABLE disk_samples (
    name    TEXT NOT NULL,
    at      INTEGER NOT NULL,
    used    INTEGER NOT NULL,
    PRIMARY KEY (name, at)
) STRICT, WITHOUT ROWID;
