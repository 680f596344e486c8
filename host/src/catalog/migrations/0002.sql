-- A copy that lost one of its files can never be completed; nobody tries again.
ALTER TABLE copies ADD COLUMN given_up INTEGER NOT NULL DEFAULT 0;
