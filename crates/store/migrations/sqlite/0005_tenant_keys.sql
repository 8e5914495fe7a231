-- The key of each tenant, sealed with the master key, whose name stands beside
-- it. With it are sealed its credentials and the keys of its sessions' content.
CREATE TABLE tenant_keys (
    tenant TEXT NOT NULL,
    master TEXT NOT NULL,
    sealed BLOB NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tenant)
);
