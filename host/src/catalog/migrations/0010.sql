-- Whom a letter goes to, as a JSON list, where those are not in its notifier's settings.
ALTER TABLE letters ADD COLUMN recipients TEXT;

-- Files that somebody was given an address of: each goes once its address has expired.
CREATE TABLE shared (
    destination TEXT NOT NULL,
    key         TEXT NOT NULL,
    expires     TEXT NOT NULL,
    PRIMARY KEY (destination, key)
) STRICT;
