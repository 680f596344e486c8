-- What was wrong with a copy when it was read back; a copy that holds again has none.
ALTER TABLE copies ADD COLUMN problem TEXT;
-- What a run was told to take alone, as JSON: sets of the same selection are versions of one another.
ALTER TABLE sets ADD COLUMN selection TEXT NOT NULL DEFAULT '[]';
-- What a set is tagged with, as JSON.
ALTER TABLE sets ADD COLUMN tags TEXT NOT NULL DEFAULT '[]';
-- When sets were last removed from a destination by retention.
CREATE TABLE removals (
    destination TEXT PRIMARY KEY,
    at          TEXT NOT NULL
) STRICT;
-- How far each scheduled job is: everything up to `since` was seen to; `begun` counts starts since then that did not end.
CREATE TABLE jobs (
    name    TEXT PRIMARY KEY,
    since   TEXT NOT NULL,
    begun   INTEGER NOT NULL DEFAULT 0
) STRICT;
