-- The table of ../sqlite/0007_session_secrets.sql, with text that sorts by its bytes.
-- Credentials that clients gave for a session's tools, sealed with its key.
CREATE TABLE session_secrets (
    tenant TEXT COLLATE "C" NOT NULL,
    session TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    sealed BYTEA NOT NULL,
    PRIMARY KEY (tenant, session, name)
);
