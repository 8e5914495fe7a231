-- The table of ../sqlite/0005_tenant_keys.sql, with text that sorts by its bytes.
-- The key of each tenant, sealed with the master key, whose name stands beside
-- it. With it are sealed its credentials and the keys of its sessions' content.
CREATE TABLE tenant_keys (
    tenant TEXT COLLATE "C" NOT NULL,
    master TEXT COLLATE "C" NOT NULL,
    sealed BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tenant)
);
