//! Opens connections, over TLS or not, and sets them up.

use std::sync::Arc;

use futures_util::future::join_all;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;
use tokio_postgres::{Client, Connection, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::address::{Address, Tls};
use super::fault::words;
use crate::OpenError;

/// Makes connections to one database.
#[derive(Clone)]
pub(super) struct Connector {
    address: Address,
    tls: Option<MakeRustlsConnect>,
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Units.
    Writing,
    /// Queries, which may not write.
    Reading,
    /// Migrations, which take as long as they take.
    Migrating,
}

/// A connection, and the task that moves its bytes.
pub(super) struct Link {
    pub(super) client: Client,
    pub(super) driver: JoinHandle<()>,
}

impl Connector {
    pub(super) fn new(address: Address) -> Result<Self, OpenError> {
        let tls = match &address.tls {
            Tls::Off => None,
            Tls::Verified(roots) => {
                let config =
                    client_config(roots.as_deref()).map_err(|why| OpenError::Tls { why })?;
                Some(MakeRustlsConnect::new(config))
            }
        };
        Ok(Self { address, tls })
    }

    /// Where it connects to, for people.
    pub(super) fn shown(&self) -> &str {
        &self.address.shown
    }

    /// Whether connections are protected by TLS.
    pub(super) fn is_protected(&self) -> bool {
        self.tls.is_some()
    }

    /// Opens a connection. The error is for people.
    pub(super) async fn connect(&self, purpose: Purpose) -> Result<Link, String> {
        let config = &self.address.config;
        let link = match &self.tls {
            None => config.connect(NoTls).await.map(drive),
            Some(tls) => config.connect(tls.clone()).await.map(drive),
        };
        let link = link.map_err(|error| words(&error))?;
        set_up(&link.client, purpose).await;
        Ok(link)
    }
}

fn drive<S, T>((client, connection): (Client, Connection<S, T>)) -> Link
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    // How it ended, the client's calls tell.
    let driver = tokio::spawn(async move { drop(connection.await) });
    Link { client, driver }
}

/// What each connection is told. An engine that does not know one of these
/// works without it; `freehold db check` says so.
const ALWAYS: [&str; 2] =
    // A short query gains nothing from being compiled.
    ["SET default_transaction_isolation = 'read committed'", "SET jit = off"];
/// A unit is short. If we are paused in the midst of one, its locks must not
/// stop others for longer than this.
const WRITING: [&str; 4] = [
    "SET statement_timeout = '10s'",
    "SET lock_timeout = '5s'",
    "SET idle_in_transaction_session_timeout = '5s'",
    "SET default_transaction_read_only = off",
];
const READING: [&str; 2] =
    ["SET statement_timeout = '30s'", "SET default_transaction_read_only = on"];
const MIGRATING: [&str; 2] =
    ["SET statement_timeout = 0", "SET default_transaction_read_only = off"];

async fn set_up(client: &Client, purpose: Purpose) {
    let own: &[&str] = match purpose {
        Purpose::Writing => &WRITING,
        Purpose::Reading => &READING,
        Purpose::Migrating => &MIGRATING,
    };
    // All in one round trip, and each by itself, for one that is not known
    // must not undo the others.
    drop(join_all(ALWAYS.iter().chain(own).map(|set| client.batch_execute(set))).await);
    if purpose == Purpose::Reading {
        return;
    }
    // What is acknowledged is on a disk, whatever the server's default; any
    // setting but `off` says so, or more.
    let shown = client.query_one("SHOW synchronous_commit", &[]).await;
    if shown.is_ok_and(|row| row.try_get::<_, String>(0).is_ok_and(|value| value == "off")) {
        drop(client.batch_execute("SET synchronous_commit = on").await);
    }
}

fn client_config(roots: Option<&std::path::Path>) -> Result<ClientConfig, String> {
    let mut trusted = RootCertStore::empty();
    match roots {
        // The owner named who is trusted, and so nobody else is.
        Some(path) => {
            let found = CertificateDer::pem_file_iter(path)
                .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
            trusted.add_parsable_certificates(found);
        }
        None => {
            trusted.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    if trusted.is_empty() {
        return Err(match roots {
            Some(path) => format!("{} has no certificate that can be used", path.display()),
            None => "this machine has no certificate authorities: install its ca-certificates \
                     package, or name a CA file with sslrootcert"
                .to_owned(),
        });
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    Ok(builder.with_root_certificates(trusted).with_no_client_auth())
}
