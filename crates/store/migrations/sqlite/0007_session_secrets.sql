-- Credentials that clients gave for a session's tools, sealed with its key.
CREATE TABLE session_secrets (
    tenant TEXT NOT NULL,
    session TEXT NOT NULL,
    name TEXT NOT NULL,
    sealed BLOB NOT NULL,
    PRIMARY KEY (tenant, session, name)
);
