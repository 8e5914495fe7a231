-- The tables of ../sqlite/0008_imports.sql, with text that sorts by its bytes.

CREATE TABLE imports (
    tenant TEXT COLLATE "C" NOT NULL,
    session TEXT COLLATE "C" NOT NULL,
    bundle BYTEA NOT NULL,
    token BYTEA NOT NULL,
    content_key BYTEA NOT NULL,
    laid BIGINT NOT NULL,
    beat_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, session)
);

CREATE TABLE bundles (
    tenant TEXT COLLATE "C" NOT NULL,
    session TEXT COLLATE "C" NOT NULL,
    bundle BYTEA NOT NULL,
    outcome TEXT COLLATE "C" NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (tenant, session, bundle)
);
