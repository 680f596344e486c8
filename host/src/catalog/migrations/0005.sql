-- Alerts on their way: a letter is one alert for one notifier.
CREATE TABLE letters (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    notifier TEXT NOT NULL,
    alert    TEXT NOT NULL,              -- JSON
    words    TEXT,                       -- JSON; where absent, the words are made of the alert
    created  TEXT NOT NULL,
    due      TEXT NOT NULL,
    claimed  TEXT,                       -- until then another process delivers it
    attempts INTEGER NOT NULL DEFAULT 0,
    state    TEXT NOT NULL DEFAULT 'waiting',
    error    TEXT
) STRICT;
CREATE INDEX letters_due ON letters (state, due);
CREATE TABLE letter_files (
    letter     INTEGER NOT NULL REFERENCES letters (id) ON DELETE CASCADE,
    name       TEXT NOT NULL,
    media_type TEXT NOT NULL,
    content_id TEXT,
    bytes      BLOB NOT NULL
) STRICT;
CREATE INDEX letter_files_of ON letter_files (letter);
-- What is wrong right now, and who was told of it.
CREATE TABLE problems (
    key   TEXT PRIMARY KEY,
    since TEXT NOT NULL,
    alert TEXT NOT NULL                  -- JSON, the newest
) STRICT;
CREATE TABLE told (
    problem     TEXT NOT NULL REFERENCES problems (key) ON DELETE CASCADE,
    notifier    TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    at          TEXT NOT NULL,
    PRIMARY KEY (problem, notifier)
) STRICT;
