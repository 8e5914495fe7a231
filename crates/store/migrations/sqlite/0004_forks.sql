-- Forks: sessions that begin as a copy of another one, without a copy being
-- made. What a fork must know lies with itself, and who still needs a session
-- lies with that one, so that no unit writes to two sessions.

-- Of each fork: what it was made of. `token` names this making of it; `held` is
-- 1 once the parent knows.
CREATE TABLE forks (
    tenant TEXT NOT NULL,
    session TEXT NOT NULL,
    parent TEXT NOT NULL,
    base BIGINT NOT NULL,
    generation BIGINT NOT NULL,
    token BLOB NOT NULL,
    held BIGINT NOT NULL,
    PRIMARY KEY (tenant, session)
);

-- Whose events a fork begins with, in order: those of `ancestor` after the
-- row before and up to `up_to`; and the key of their content, itself sealed.
CREATE TABLE ancestors (
    tenant TEXT NOT NULL,
    session TEXT NOT NULL,
    up_to BIGINT NOT NULL,
    ancestor TEXT NOT NULL,
    content_key BLOB,
    PRIMARY KEY (tenant, session, up_to)
);

-- Who still needs a session's events, and up to which.
CREATE TABLE holds (
    tenant TEXT NOT NULL,
    session TEXT NOT NULL,
    child TEXT NOT NULL,
    up_to BIGINT NOT NULL,
    token BLOB NOT NULL,
    PRIMARY KEY (tenant, session, child)
);
