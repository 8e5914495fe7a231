-- The tables of ../sqlite/0004_forks.sql, with text that sorts by its bytes.
-- Forks: sessions that begin as a copy of another one, without a copy being
-- made. What a fork must know lies with itself, and who still needs a session
-- lies with that one, so that no unit writes to two sessions.

-- Of each fork: what it was made of. `token` names this making of it; `held` is
-- 1 once the parent knows.
CREATE TABLE forks (
    tenant TEXT COLLATE "C" NOT NULL,
    session TEXT COLLATE "C" NOT NULL,
    parent TEXT COLLATE "C" NOT NULL,
    base BIGINT NOT NULL,
    generation BIGINT NOT NULL,
    token BYTEA NOT NULL,
    held BIGINT NOT NULL,
    PRIMARY KEY (tenant, session)
);

-- Whose events a fork begins with, in order: those of `ancestor` after the
-- row before and up to `up_to`; and the key of their content, itself sealed.
CREATE TABLE ancestors (
    tenant TEXT COLLATE "C" NOT NULL,
    session TEXT COLLATE "C" NOT NULL,
    up_to BIGINT NOT NULL,
    ancestor TEXT COLLATE "C" NOT NULL,
    content_key BYTEA,
    PRIMARY KEY (tenant, session, up_to)
);

-- Who still needs a session's events, and up to which.
CREATE TABLE holds (
    tenant TEXT COLLATE "C" NOT NULL,
    session TEXT COLLATE "C" NOT NULL,
    child TEXT COLLATE "C" NOT NULL,
    up_to BIGINT NOT NULL,
    token BYTEA NOT NULL,
    PRIMARY KEY (tenant, session, child)
);
