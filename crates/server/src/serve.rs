//! Starts a server, and ends it in order.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use freehold_types::Env;
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::task::JoinHandle;

use crate::app::{self, App, Place};
use crate::config::{self, Config, Source};
use crate::edge::Edge;
use crate::http::accept::accept;
use crate::http::connection::{Limits, serve_tcp};
use crate::http::lag::Lag;
use crate::http::tls::{self, Certificates};
use crate::http::workers::{Workers, cores};
use crate::surface::{Dialects, State};
use crate::telemetry::Telemetry;
use crate::{admin, admin_key, data_folder, master_key, resident, sweep, together};

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A configured tool cannot be used.
    #[error("{0}")]
    Tools(String),
    /// The configuration cannot be used.
    #[error("{0}")]
    Config(#[from] config::Error),
    /// A configured route or provider cannot be used.
    #[error("{0}")]
    Gateway(#[from] freehold_gateway::Error),
    /// The data folder cannot be used.
    #[error("the data folder {} cannot be used", .0.display())]
    Data(PathBuf, #[source] io::Error),
    /// The address cannot be listened on.
    #[error("cannot listen on {0}")]
    Listen(SocketAddr, #[source] io::Error),
    /// The store does not open.
    #[error(transparent)]
    Store(#[from] freehold_store::OpenError),
    /// The blob store does not open.
    #[error(transparent)]
    Blobs(#[from] freehold_store::blob_store::OpenError),
    /// What is stored cannot be taken up.
    #[error(transparent)]
    Control(#[from] freehold_control::Error),
    /// The master key is missing or wrong.
    #[error(transparent)]
    MasterKey(#[from] master_key::Error),
    /// The other nodes over the store cannot be joined.
    #[error("cannot join the nodes that use this store")]
    Join(#[source] freehold_types::DbError),
    /// The store does not say on which timeline it is.
    #[error("cannot read the store's timeline")]
    Timeline(#[source] freehold_types::DbError),
    /// No first admin key.
    #[error(transparent)]
    AdminKey(#[from] admin_key::Error),
    /// The certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] tls::Error),
    /// The system does not give what a server needs.
    #[error("{0}")]
    System(&'static str, #[source] io::Error),
}

/// What a server is started with.
pub struct Start {
    /// Where its configuration comes from.
    pub source: Source,
    /// Whether it serves TLS with a certificate of its own making.
    pub tls_dev: bool,
    /// Time and chance.
    pub env: Arc<dyn Env>,
    /// The model in this process, if it is built in.
    pub engine: Option<Arc<dyn freehold_gateway::engine::Engine>>,
}

/// A server that serves.
pub struct Server {
    app: Arc<App>,
    /// Where it listens.
    pub address: SocketAddr,
    /// Where its admin key is kept.
    pub admin_key: PathBuf,
    workers: Workers,
    listener: Option<TcpListener>,
    usage: JoinHandle<()>,
    socket: PathBuf,
}

impl Server {
    /// Opens everything, in the order in which it may fail, and listens.
    pub async fn start(start: Start, config: Config, telemetry: Telemetry) -> Result<Self, Error> {
        let data = config.server.data.clone().unwrap_or_else(data_folder::usual);
        data_folder::open(&data).map_err(|error| Error::Data(data.clone(), error))?;
        let listen = config.server.listen;
        let bound = TcpListener::bind(listen).await;
        let listener = bound.map_err(|error| Error::Listen(listen, error))?;
        let address = listener.local_addr().map_err(|error| Error::Listen(listen, error))?;
        let tls = certificates(&config, start.tls_dev, &data)?;
        let workers = match config.server.workers {
            0 => cores(),
            set => set,
        };
        let limits = Limits::from(&config.server);
        let scheme = if tls.is_some() { "https" } else { "http" };
        let place =
            Place { data: &data, workers, tls: tls.clone(), url: format!("{scheme}://{address}") };
        let opened = app::open(start, config, telemetry, place).await?;
        let app = opened.app;
        let usage = tokio::spawn(opened.writer.run());
        together::begin(&app).await;

        let socket = admin::socket_path(&data);
        listen_for_admin(&app, &socket)?;
        if tls.is_none() && !address.ip().is_loopback() {
            tracing::warn!(%address, "it is reached without TLS: keys are sent in the clear");
        }
        drop(tokio::spawn(confirm_keys(Arc::clone(&app))));
        drop(tokio::spawn(forget_old_exchanges(Arc::clone(&app))));
        drop(tokio::spawn(sweep::run(Arc::clone(&app))));
        drop(tokio::spawn(settle_down(Arc::clone(&app))));
        let watcher = Arc::clone(&app.watcher);
        drop(tokio::spawn(async move { watcher.run().await }));
        let workers = serve_on(workers, &app, tls, limits)
            .map_err(|error| Error::System("a worker does not start", error))?;
        let admin_key = admin_key::path(&data);
        let listener = Some(listener);
        Ok(Self { app, address, admin_key, workers, listener, usage, socket })
    }

    /// Its parts.
    pub fn app(&self) -> &Arc<App> {
        &self.app
    }

    /// The line that tells that it serves.
    pub fn ready_line(&self) -> String {
        format!("freehold is ready on {} (admin key: {})", self.app.url, self.admin_key.display())
    }

    /// Serves until [`Drain::begin`](crate::http::drain::Drain::begin), then
    /// lets requests finish, until they have or `hurry` resolves. What was
    /// accepted is in the store when it returns.
    pub async fn run(mut self, hurry: impl Future<Output = ()>) {
        let drain = self.app.drain.clone();
        if let Some(listener) = self.listener.take() {
            accept(listener, &mut self.workers, &drain).await;
        }
        let limit = Duration::from_secs(self.app.config.load().server.drain_seconds);
        tracing::info!(open = drain.open(), "stopping");
        let drained = async {
            tokio::select! {
                left = drain.finished(limit) => left,
                () = hurry => drain.open(),
            }
        };
        // Sessions go to other nodes at once: whoever asks for one meanwhile
        // is not kept waiting for the last connection.
        let (left, ()) = tokio::join!(drained, self.app.sessions.stop());
        if left > 0 {
            tracing::warn!(connections = left, "connections were cut");
        }
        let Self { app, workers, usage, socket, .. } = self;
        // Whatever still runs is dropped with its worker, and settled.
        if tokio::task::spawn_blocking(move || workers.stop()).await.is_err() {
            tracing::error!("the workers did not stop");
        }
        let unwritten = app.control.close().await;
        if unwritten > 0 {
            tracing::error!(records = unwritten, "usage was lost: the store was down to the end");
        }
        if usage.await.is_err() {
            tracing::error!("the usage writer panicked");
        }
        together::end(&app).await;
        drop(std::fs::remove_file(socket));
        app.store.close().await;
        tracing::info!("stopped");
    }
}

fn certificates(
    config: &Config,
    development: bool,
    data: &Path,
) -> Result<Option<Arc<Certificates>>, Error> {
    let made = if development { Some(tls::development(data)?) } else { None };
    let options = made.as_ref().or(config.server.tls.as_ref());
    Ok(options.map(Certificates::load).transpose()?.map(Arc::new))
}

fn serve_on(
    count: usize,
    app: &Arc<App>,
    tls: Option<Arc<Certificates>>,
    limits: Limits,
) -> io::Result<Workers> {
    let app = Arc::clone(app);
    Workers::start(count, move |index| {
        freehold_gateway::transport::set_worker(index);
        freehold_runtime::sessions::work_here();
        let lag = app.lags.get(index).cloned().unwrap_or_else(|| {
            // There is one for each; this one is of no number.
            Arc::new(Lag::new(Arc::clone(&app.env)))
        });
        drop(tokio::spawn(Arc::clone(&lag).watch()));
        let surface = Dialects::new(
            State::of(&app),
            Arc::clone(&app.control),
            app.config.clone(),
            app.bodies.clone(),
            app.telemetry.traces.clone(),
            lag,
        );
        let edge = Edge::new(&app, surface);
        let (drain, tls) = (app.drain.clone(), tls.clone());
        move |stream: TcpStream, address: SocketAddr| {
            let edge = Arc::clone(&edge);
            serve_tcp(stream, address, tls.clone(), limits, drain.clone(), |peer| {
                edge.service(peer)
            })
        }
    })
}

/// How often the store is asked whether it is there.
const CONFIRM: Duration = Duration::from_secs(10);

/// Keeps the age of the keys in memory true, and tells when the store goes and
/// comes back.
async fn confirm_keys(app: Arc<App>) {
    let mut down = false;
    loop {
        app.env.sleep(CONFIRM).await;
        match app.control.confirm().await {
            Ok(()) if down => tracing::info!("the store answers again"),
            Err(error) if !down => {
                tracing::error!(%error, "the store does not answer; serving from memory");
            }
            Ok(()) | Err(_) => continue,
        }
        down = !down;
    }
}

/// How often exchanges are looked at that may be old enough to forget; a new
/// retention is in force within this time.
const FORGET: Duration = Duration::from_secs(600);

/// Keeps exchanges for as long as the configuration says.
async fn forget_old_exchanges(app: Arc<App>) {
    loop {
        match app.control.forget_old_exchanges().await {
            Ok(0) => {}
            Ok(exchanges) => tracing::info!(exchanges, "forgotten: older than retention_days"),
            Err(error) => tracing::warn!(%error, "old exchanges are not forgotten now"),
        }
        app.env.sleep(FORGET).await;
    }
}

/// How long starting goes on in the background.
const SETTLED: Duration = Duration::from_millis(250);

/// Gives back what only starting needed.
async fn settle_down(app: Arc<App>) {
    app.env.sleep(SETTLED).await;
    // It reads files, and page tables are taken apart: half a millisecond.
    drop(tokio::task::spawn_blocking(resident::give_back).await);
}

/// The admin API for whoever may open the data folder.
fn listen_for_admin(app: &Arc<App>, socket: &Path) -> Result<(), Error> {
    let fail = |error| Error::System("the admin socket cannot be opened", error);
    // The store's lock is ours, so a socket that is there is a dead one.
    match std::fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(fail(error)),
        _ => {}
    }
    let listener = UnixListener::bind(socket).map_err(fail)?;
    data_folder::keep_private(socket).map_err(fail)?;
    drop(tokio::spawn(admin::serve_socket(listener, Arc::clone(app))));
    Ok(())
}
