//! Starts a server, and ends it in order.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use freehold_types::Env;
use tokio::net::{TcpListener, TcpStream};

use crate::app::App;
use crate::config::watch::Watcher;
use crate::config::{Config, Live, Source};
use crate::edge::{self, Surface};
use crate::http::accept::accept;
use crate::http::body::BodyBudget;
use crate::http::connection::{Limits, serve_tcp};
use crate::http::drain::Drain;
use crate::http::tls::{self, Certificates};
use crate::http::workers::Workers;
use crate::telemetry::logs::Logs;
use crate::{admin, admin_key, config, data_folder};

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration cannot be used.
    #[error("{0}")]
    Config(#[from] config::Error),
    /// The data folder cannot be used.
    #[error("the data folder {} cannot be used", .0.display())]
    Data(PathBuf, #[source] io::Error),
    /// The address cannot be listened on.
    #[error("cannot listen on {0}")]
    Listen(SocketAddr, #[source] io::Error),
    /// The store does not open.
    #[error("{0}")]
    Store(#[from] freehold_store::OpenError),
    /// What is stored cannot be taken up.
    #[error("the stored keys cannot be taken up")]
    Control(#[from] freehold_control::Error),
    /// No first admin key.
    #[error("{0}")]
    AdminKey(#[from] admin_key::Error),
    /// The certificate cannot be used.
    #[error("{0}")]
    Tls(#[from] tls::Error),
    /// The system does not give what a server needs.
    #[error("{0}")]
    System(&'static str, #[source] io::Error),
}
