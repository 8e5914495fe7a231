-- The tables of ../sqlite/0002_lost_attempts.sql, with text that sorts by its
-- bytes.
-- Attempts that failed, or lost a race, and may be billed all the same: one
-- row each, with tokens of our own estimate. Their cost is in their exchange's.

CREATE TABLE lost_attempts (
    tenant TEXT COLLATE "C" NOT NULL,
    exchange TEXT COLLATE "C" NOT NULL,
    nth BIGINT NOT NULL,
    provider TEXT COLLATE "C" NOT NULL,
    deployment TEXT COLLATE "C" NOT NULL,
    model TEXT COLLATE "C" NOT NULL,
    input_tokens BIGINT NOT NULL,
    output_tokens BIGINT NOT NULL,
    cost_units BIGINT NOT NULL,
    cost_nanos BIGINT NOT NULL,
    unpriced BIGINT NOT NULL,
    PRIMARY KEY (tenant, exchange, nth)
);

-- In a day's sums they are counted here, and not among the exchanges.
ALTER TABLE usage_days ADD COLUMN lost BIGINT NOT NULL DEFAULT 0;
