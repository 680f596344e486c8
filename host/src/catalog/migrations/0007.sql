-- Where the audit log ended when it was last written to, so that a log cut short together with its own head is found.
CREATE TABLE audit_head (
    id    INTEGER PRIMARY KEY CHECK (id = 1),
    count INTEGER NOT NULL,
    hash  TEXT NOT NULL
) STRICT;
-- The configurations that were seen last, by their files.
CREATE TABLE configurations (
    path   TEXT PRIMARY KEY,
    sha256 TEXT NOT NULL
) STRICT;
