-- When a verification that reads only a share of the sets began at a destination: from these it is told which sets are due.
CREATE TABLE verify_rounds (
    destination TEXT NOT NULL,
    at          TEXT NOT NULL
) STRICT;
-- Drills that restored all they were to: how long it took, for comparison with the next one.
CREATE TABLE drills (
    id        INTEGER PRIMARY KEY,
    set_name  TEXT NOT NULL,
    at        TEXT NOT NULL,
    good      INTEGER NOT NULL,
    stored    INTEGER NOT NULL,
    plain     INTEGER NOT NULL,
    download  REAL NOT NULL,
    restore   REAL NOT NULL,
    compare   REAL NOT NULL,
    total     REAL NOT NULL
) STRICT;
