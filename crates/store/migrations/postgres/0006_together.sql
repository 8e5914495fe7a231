-- The tables of ../sqlite/0006_together.sql, with text that sorts by its bytes.
-- What nodes over one database must know of each other.

-- How often something of a kind was changed: nodes look here, and read anew
-- what moved. Nobody's in particular, so without a tenant.
CREATE TABLE changes (
    kind TEXT COLLATE "C" NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (kind)
);
INSERT INTO changes (kind, version) VALUES ('keys', 0), ('groups', 0), ('budgets', 0);

-- Who opened an exchange, to settle it if that node dies. '' is nobody known.
ALTER TABLE exchanges ADD COLUMN node TEXT COLLATE "C" NOT NULL DEFAULT '';
CREATE INDEX exchanges_open_by_node ON exchanges (node, tenant, id) WHERE state = 'open';

-- What of a budget each node may spend without asking: JSON, so that one row
-- holds them all and guards them all by its version.
CREATE TABLE budget_shares (
    tenant TEXT COLLATE "C" NOT NULL,
    budget TEXT COLLATE "C" NOT NULL,
    period_start BIGINT NOT NULL,
    version BIGINT NOT NULL,
    shares TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, budget)
);
