//! `[server]`: where it listens, where its data lies, and what one client
//! may take of it.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use freehold_gateway::options::At;
use serde::Deserialize;

use crate::http::body::BodyLimits;

/// The `[server]` table.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerOptions {
    /// Address and port; port 0 takes a free one. Needs a restart.
    /// Default: `127.0.0.1:8484`.
    pub listen: SocketAddr,
    /// The data folder. Needs a restart. Default: `freehold` in the user's
    /// data folder.
    pub data: Option<PathBuf>,
    /// Certificate and key; the files are read again when they change.
    pub tls: Option<TlsOptions>,
    /// Threads that serve; 0 is one per core. Needs a restart. Default: 0.
    pub workers: usize,
    /// Connections at one time; more wait in the system's queue.
    /// Default: 10,000.
    pub connections_max: usize,
    /// A request's head, in bytes. Default: 64 KiB.
    pub header_bytes_max: usize,
    /// A request's body, in bytes. Default: 32 MiB.
    pub body_bytes_max: usize,
    /// All request bodies in memory at one time, in bytes; a request beyond
    /// it is asked to come again. Default: 512 MiB.
    pub body_bytes_in_flight_max: usize,
    /// For a request's head to arrive, in milliseconds. Default: 10,000.
    pub header_timeout_ms: u64,
    /// Between two reads of a request's body, in milliseconds.
    /// Default: 20,000.
    pub body_timeout_ms: u64,
    /// How long an idle connection is kept, in milliseconds. Default: 75,000.
    pub keep_alive_ms: u64,
    /// How long a client may take nothing of what is sent to it, in
    /// milliseconds. Default: 30,000.
    pub write_stall_ms: u64,
    /// How long requests may finish after a signal to stop. Default: 30.
    pub drain_seconds: u64,
    /// Whether `/metrics` and the details of `/readyz` are told to everyone,
    /// not to this machine and admin keys only. Default: false.
    pub open_operations: bool,
}

/// A server certificate.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsOptions {
    /// PEM, the server's certificate first.
    pub cert: PathBuf,
    /// PEM.
    pub key: PathBuf,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8484)),
            data: None,
            tls: None,
            workers: 0,
            connections_max: 10_000,
            header_bytes_max: 64 << 10,
            body_bytes_max: 32 << 20,
            body_bytes_in_flight_max: 512 << 20,
            header_timeout_ms: 10_000,
            body_timeout_ms: 20_000,
            keep_alive_ms: 75_000,
            write_stall_ms: 30_000,
            drain_seconds: 30,
            open_operations: false,
        }
    }
}

impl ServerOptions {
    /// The limits of request bodies.
    pub fn body_limits(&self) -> BodyLimits {
        BodyLimits {
            bytes_max: self.body_bytes_max,
            in_flight_max: self.body_bytes_in_flight_max,
            stall: Duration::from_millis(self.body_timeout_ms),
        }
    }

    pub(super) fn validate(&self, at: &mut At<'_>) {
        for (key, value, least, most) in [
            ("workers", self.workers as u64, 0, 1024),
            ("connections_max", self.connections_max as u64, 1, 1_000_000),
            // hyper wants room for at least one read.
            ("header_bytes_max", self.header_bytes_max as u64, 8 << 10, 1 << 20),
            ("body_bytes_max", self.body_bytes_max as u64, 1 << 10, 1 << 30),
            ("header_timeout_ms", self.header_timeout_ms, 100, 600_000),
            ("body_timeout_ms", self.body_timeout_ms, 100, 600_000),
            ("keep_alive_ms", self.keep_alive_ms, 100, 3_600_000),
            ("write_stall_ms", self.write_stall_ms, 100, 600_000),
            ("drain_seconds", self.drain_seconds, 0, 3_600),
        ] {
            if value < least || value > most {
                at.add(key, format!("{value} is not between {least} and {most}"));
            }
        }
        if self.body_bytes_in_flight_max < self.body_bytes_max {
            at.add(
                "body_bytes_in_flight_max",
                "it is less than body_bytes_max, so the largest allowed request could never be taken",
            );
        }
    }
}
