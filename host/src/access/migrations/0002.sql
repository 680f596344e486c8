-- Where a session was begun from, so that whoever looks at theirs knows which one it is.
ALTER TABLE sessions ADD COLUMN peer TEXT NOT NULL DEFAULT '';
