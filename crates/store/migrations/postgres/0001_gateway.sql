-- The tables of ../sqlite/0001_gateway.sql. What differs, and why:
-- BYTEA is what PostgreSQL calls BLOB; and text sorts by its bytes
-- (COLLATE "C"), as it does in SQLite, whatever the database's own collation:
-- pages and ids rely on it.
-- What the gateway keeps: who may call, what they may spend, what they did.
-- Times are microseconds since 1970 (UTC), flags 0 or 1, money whole units and
-- nanos (0..999999999), JSON is text that no query looks into.

CREATE TABLE groups (
    tenant TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    parent TEXT COLLATE "C",
    limits TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, name)
);

CREATE TABLE keys (
    tenant TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    group_name TEXT COLLATE "C",
    name TEXT COLLATE "C" NOT NULL,
    hash BYTEA NOT NULL,
    prefix TEXT COLLATE "C" NOT NULL,
    admin BIGINT NOT NULL,
    routes TEXT COLLATE "C",
    limits TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    revoked_at BIGINT,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX keys_by_hash ON keys (hash);

CREATE TABLE budgets (
    tenant TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    scope TEXT COLLATE "C" NOT NULL,
    subject TEXT COLLATE "C" NOT NULL,
    period TEXT COLLATE "C" NOT NULL,
    amount_units BIGINT NOT NULL,
    amount_nanos BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
);

-- What was settled against a budget in one of its periods.
CREATE TABLE budget_spend (
    tenant TEXT COLLATE "C" NOT NULL,
    budget TEXT COLLATE "C" NOT NULL,
    period_start BIGINT NOT NULL,
    spent_units BIGINT NOT NULL,
    spent_nanos BIGINT NOT NULL,
    PRIMARY KEY (tenant, budget, period_start)
);

-- One row an exchange, laid down in order of arrival. '' is no group.
CREATE TABLE exchanges (
    tenant TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    group_name TEXT COLLATE "C" NOT NULL,
    key_id TEXT COLLATE "C" NOT NULL,
    route TEXT COLLATE "C" NOT NULL,
    dialect TEXT COLLATE "C" NOT NULL,
    stream BIGINT NOT NULL,
    opened_at BIGINT NOT NULL,
    reserved_units BIGINT NOT NULL,
    reserved_nanos BIGINT NOT NULL,
    closed_at BIGINT,
    provider TEXT COLLATE "C",
    deployment TEXT COLLATE "C",
    model TEXT COLLATE "C",
    status BIGINT,
    error TEXT COLLATE "C",
    attempts BIGINT,
    input_tokens BIGINT,
    cache_read_tokens BIGINT,
    cache_write_tokens BIGINT,
    cache_write_long_tokens BIGINT,
    output_tokens BIGINT,
    reasoning_tokens BIGINT,
    cost_units BIGINT,
    cost_nanos BIGINT,
    cost_rounding BIGINT,
    estimated BIGINT,
    unpriced BIGINT,
    PRIMARY KEY (tenant, id)
);
-- Small: an exchange is open for seconds.
CREATE INDEX exchanges_open ON exchanges (tenant, id) WHERE state = 'open';

-- Sums of closed exchanges by day (UTC, YYYY-MM-DD). '' is none.
CREATE TABLE usage_days (
    tenant TEXT COLLATE "C" NOT NULL,
    day TEXT COLLATE "C" NOT NULL,
    group_name TEXT COLLATE "C" NOT NULL,
    key_id TEXT COLLATE "C" NOT NULL,
    route TEXT COLLATE "C" NOT NULL,
    provider TEXT COLLATE "C" NOT NULL,
    model TEXT COLLATE "C" NOT NULL,
    exchanges BIGINT NOT NULL,
    errors BIGINT NOT NULL,
    interrupted BIGINT NOT NULL,
    estimated BIGINT NOT NULL,
    unpriced BIGINT NOT NULL,
    input_tokens BIGINT NOT NULL,
    cache_read_tokens BIGINT NOT NULL,
    cache_write_tokens BIGINT NOT NULL,
    cache_write_long_tokens BIGINT NOT NULL,
    output_tokens BIGINT NOT NULL,
    reasoning_tokens BIGINT NOT NULL,
    cost_units BIGINT NOT NULL,
    cost_nanos BIGINT NOT NULL,
    PRIMARY KEY (tenant, day, group_name, key_id, route, provider, model)
);
