//! `[store]`: where state lives.

use std::path::Path;

use freehold_gateway::options::{At, SecretRef, Secrets};
use freehold_store::{PostgresOptions, SqliteOptions, StoreOptions as Resolved};
use serde::Deserialize;

/// The `[store]` table. It needs a restart.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreOptions {
    /// `postgres://user@host:port/database`, without a password, for a store
    /// that many nodes may share. `sslmode` (`verify-full`, `disable`) and
    /// `sslrootcert` are as in libpq; over a network the server must show a
    /// certificate unless `disable` is said. Without it, a file in the data
    /// folder.
    pub url: Option<String>,
    /// The password for it.
    pub password: Option<SecretRef>,
    /// Connections of this node that write, and so units under way at one
    /// time. Default: 16.
    pub connections: usize,
    /// Connections of this node that read. Default: 4.
    pub read_connections: usize,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self { url: None, password: None, connections: 16, read_connections: 4 }
    }
}

/// More than a database can serve.
const CONNECTIONS_MAX: usize = 1024;

impl StoreOptions {
    pub(super) fn validate(&self, at: &mut At<'_>) {
        if let Some(options) = self.postgres(None)
            && let Err(error) = options.validate()
        {
            let told = error.to_string();
            at.add("url", told.strip_prefix("store.url: ").unwrap_or(&told).to_owned());
        }
        if self.url.is_none() && self.password.is_some() {
            at.add("password", "there is no url that it belongs to".to_owned());
        }
        let counts =
            [("connections", self.connections), ("read_connections", self.read_connections)];
        for (field, count) in counts {
            if !(1..=CONNECTIONS_MAX).contains(&count) {
                at.add(field, format!("{count} is not between 1 and {CONNECTIONS_MAX}"));
            }
        }
    }

    /// As the store takes it, for a node with this data folder.
    pub fn resolve(&self, folder: &Path, secrets: &Secrets) -> Resolved {
        match self.postgres(Some(secrets)) {
            Some(options) => Resolved::Postgres(options, folder.to_owned()),
            None => Resolved::Sqlite(SqliteOptions::new(folder)),
        }
    }

    /// The database's address and password, unless the store is a file.
    pub fn postgres(&self, secrets: Option<&Secrets>) -> Option<PostgresOptions> {
        let mut options = PostgresOptions::new(self.url.as_deref()?);
        let password = self.password.as_ref().zip(secrets);
        options.password = password.and_then(|(at, secrets)| secrets.get(at)).cloned();
        (options.writers, options.readers) = (self.connections, self.read_connections);
        Some(options)
    }
}
