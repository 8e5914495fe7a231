-- The tables of ../sqlite/0003_sessions.sql, with text that sorts by its bytes.
-- Rows that are written over and over have room beside them (fillfactor), so
-- that the new version stays on its page and no index hears of it.
-- Sessions: their journals, what is projected from these, and who works on
-- them. Each unique key begins with the tenant and the session, and every
-- table but `nodes` can be spread over machines by the session's id.

-- The row that guards all writes of a session. It is written at every step, so
-- it is small, and no index holds what a step changes.
CREATE TABLE sessions (
    tenant TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    head BIGINT NOT NULL,
    epoch BIGINT NOT NULL,
    timeline BIGINT NOT NULL,
    phase TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    due_at BIGINT,
    node TEXT COLLATE "C",
    claim BYTEA,
    sealed_for TEXT COLLATE "C",
    deleted_at BIGINT,
    PRIMARY KEY (tenant, id)
) WITH (fillfactor = 50);
CREATE INDEX sessions_due ON sessions (tenant, due_at, id) WHERE due_at IS NOT NULL;
CREATE INDEX sessions_by_node ON sessions (node, tenant, id) WHERE node IS NOT NULL;
CREATE INDEX sessions_deleted ON sessions (tenant, id) WHERE deleted_at IS NOT NULL;

-- What a session is, as far as it seldom changes: JSON, and the key that its
-- content is sealed with.
CREATE TABLE profiles (
    tenant TEXT COLLATE "C" NOT NULL,
    session TEXT COLLATE "C" NOT NULL,
    about TEXT COLLATE "C" NOT NULL,
    content_key BYTEA,
    PRIMARY KEY (tenant, session)
);

-- The journals, laid down in order of arrival. `write_id` names the append.
CREATE TABLE events (
    tenant TEXT COLLATE "C" NOT NULL,
    session TEXT COLLATE "C" NOT NULL,
    at_offset BIGINT NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    version BIGINT NOT NULL,
    at BIGINT NOT NULL,
    write_id BYTEA NOT NULL,
    body BYTEA NOT NULL,
    PRIMARY KEY (tenant, session, at_offset)
);

-- Of each session the newest: what its events up to the offset come to.
CREATE TABLE snapshots (
    tenant TEXT COLLATE "C" NOT NULL,
    session TEXT COLLATE "C" NOT NULL,
    at_offset BIGINT NOT NULL,
    body BYTEA NOT NULL,
    PRIMARY KEY (tenant, session)
);

-- Where a restored backup went on: after `base`.
CREATE TABLE timelines (
    tenant TEXT COLLATE "C" NOT NULL,
    session TEXT COLLATE "C" NOT NULL,
    timeline BIGINT NOT NULL,
    base BIGINT NOT NULL,
    PRIMARY KEY (tenant, session, timeline)
);

CREATE TABLE timers (
    tenant TEXT COLLATE "C" NOT NULL,
    session TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    due_at BIGINT NOT NULL,
    at_offset BIGINT NOT NULL,
    PRIMARY KEY (tenant, session, id)
);
CREATE INDEX timers_due ON timers (tenant, due_at, session, id);

-- What sessions wait for from outside: approvals, answers to calls, signals.
CREATE TABLE waits (
    tenant TEXT COLLATE "C" NOT NULL,
    session TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    since BIGINT NOT NULL,
    expires_at BIGINT,
    at_offset BIGINT NOT NULL,
    PRIMARY KEY (tenant, session, id)
);
CREATE INDEX waits_by_kind ON waits (tenant, kind, since, session, id);

-- Requests that were accepted, each with the event that it became.
CREATE TABLE idempotency_keys (
    tenant TEXT COLLATE "C" NOT NULL,
    session TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    request_hash BYTEA NOT NULL,
    at_offset BIGINT NOT NULL,
    PRIMARY KEY (tenant, session, name)
);

-- Content that is too large for the journal and lies beside it.
CREATE TABLE blob_refs (
    tenant TEXT COLLATE "C" NOT NULL,
    session TEXT COLLATE "C" NOT NULL,
    hash BYTEA NOT NULL,
    size BIGINT NOT NULL,
    PRIMARY KEY (tenant, session, hash)
);

-- Processes that serve. Their beats are counted, not timed. Nobody's in
-- particular, so the one table without a tenant.
CREATE TABLE nodes (
    id TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    address TEXT COLLATE "C" NOT NULL,
    started_at BIGINT NOT NULL,
    beat BIGINT NOT NULL,
    PRIMARY KEY (id)
) WITH (fillfactor = 50);
