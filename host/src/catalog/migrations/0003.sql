-- A set of a run that was told to take only some things is no measure for the next.
ALTER TABLE sets ADD COLUMN selected INTEGER NOT NULL DEFAULT 0;
