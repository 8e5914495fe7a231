-- Sessions that come from other cells.

-- Those that are being laid down: their events lie under their ids already,
-- and nobody finds them, for there is no row in `sessions` yet. `token` names
-- this attempt; `laid` is the last event that lies there.
CREATE TABLE imports (
    tenant TEXT NOT NULL,
    session TEXT NOT NULL,
    bundle BLOB NOT NULL,
    token BLOB NOT NULL,
    content_key BLOB NOT NULL,
    laid BIGINT NOT NULL,
    beat_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, session)
);

-- What became of bundles, for good: `imported` or `refused`. The row outlives
-- the session, so that no bundle brings back what was deleted.
CREATE TABLE bundles (
    tenant TEXT NOT NULL,
    session TEXT NOT NULL,
    bundle BLOB NOT NULL,
    outcome TEXT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (tenant, session, bundle)
);
