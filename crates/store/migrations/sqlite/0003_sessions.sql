-- Sessions: their journals, what is projected from these, and who works on
-- them. Each unique key begins with the tenant and the session, and every
-- table but `nodes` can be spread over machines by the session's id.

-- The row that guards all writes of a session. It is written at every step, so
-- it is small, and no index holds what a step changes.
CREATE TABLE sessions (
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    head BIGINT NOT NULL,
    epoch BIGINT NOT NULL,
    timeline BIGINT NOT NULL,
    phase TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    due_at BIGINT,
    node TEXT,
    claim BLOB,
    sealed_for TEXT,
    deleted_at BIGINT,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX sessions_due ON sessions (tenant, due_at, id) WHERE due_at IS NOT NULL;
CREATE INDEX sessions_by_node ON sessions (node, tenant, id) WHERE node IS NOT NULL;
CREATE INDEX sessions_deleted ON sessions (tenant, id) WHERE deleted_at IS NOT NULL;

-- What a session is, as far as it seldom changes: JSON, and the key that its
-- content is sealed with.
CREATE TABLE profiles (
    tenant TEXT NOT NULL,
    session TEXT NOT NULL,
    about TEXT NOT NULL,
    content_key BLOB,
    PRIMARY KEY (tenant, session)
);

-- The journals, laid down in order of arrival. `write_id` names the append.
CREATE TABLE events (
    tenant TEXT NOT NULL,
    session TEXT NOT NULL,
    at_offset BIGINT NOT NULL,
    kind TEXT NOT NULL,
    version BIGINT NOT NULL,
    at BIGINT NOT NULL,
    write_id BLOB NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (tenant, session, at_offset)
);

-- Of each session the newest: what its events up to the offset come to.
CREATE TABLE snapshots (
    tenant TEXT NOT NULL,
    session TEXT NOT NULL,
    at_offset BIGINT NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (tenant, session)
);

-- Where a restored backup went on: after `base`.
CREATE TABLE timelines (
    tenant TEXT NOT NULL,
    session TEXT NOT NULL,
    timeline BIGINT NOT NULL,
    base BIGINT NOT NULL,
    PRIMARY KEY (tenant, session, timeline)
);

CREATE TABLE timers (
    tenant TEXT NOT NULL,
    session TEXT NOT NULL,
    id TEXT NOT NULL,
    due_at BIGINT NOT NULL,
    at_offset BIGINT NOT NULL,
    PRIMARY KEY (tenant, session, id)
);
CREATE INDEX timers_due ON timers (tenant, due_at, session, id);

-- What sessions wait for from outside: approvals, answers to calls, signals.
CREATE TABLE waits (
    tenant TEXT NOT NULL,
    session TEXT NOT NULL,
    id TEXT NOT NULL,
    kind TEXT NOT NULL,
    since BIGINT NOT NULL,
    expires_at BIGINT,
    at_offset BIGINT NOT NULL,
    PRIMARY KEY (tenant, session, id)
);
CREATE INDEX waits_by_kind ON waits (tenant, kind, since, session, id);

-- Requests that were accepted, each with the event that it became.
CREATE TABLE idempotency_keys (
    tenant TEXT NOT NULL,
    session TEXT NOT NULL,
    name TEXT NOT NULL,
    request_hash BLOB NOT NULL,
    at_offset BIGINT NOT NULL,
    PRIMARY KEY (tenant, session, name)
);

-- Content that is too large for the journal and lies beside it.
CREATE TABLE blob_refs (
    tenant TEXT NOT NULL,
    session TEXT NOT NULL,
    hash BLOB NOT NULL,
    size BIGINT NOT NULL,
    PRIMARY KEY (tenant, session, hash)
);

-- Processes that serve. Their beats are counted, not timed. Nobody's in
-- particular, so the one table without a tenant.
CREATE TABLE nodes (
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    address TEXT NOT NULL,
    started_at BIGINT NOT NULL,
    beat BIGINT NOT NULL,
    PRIMARY KEY (id)
);
